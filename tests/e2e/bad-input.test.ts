// Everything malformed that a plugin can meet, given to the compiled executables by exec: each gets one error
// document with the code of the specification and words that name the value, and leaves nothing behind. Every case
// has a throwaway host of its own, and the host before and after is compared as a whole.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";

type Json = Readonly<Record<string, unknown>>;

/** What one malformed call looks like, and what it has to be told. `$DIR` stands for the case's directory. */
interface Case {
  readonly name: string;
  readonly plugin?: "bridge" | "ipam" | "loopback";
  readonly verb?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Keys of the config that replace the good ones; undefined takes one away. */
  readonly config?: Json;
  /** Keys of its `ipam`. */
  readonly ipam?: Json;
  /** Standard input instead of any config. */
  readonly stdin?: string | Uint8Array;
  /** A shell script that spoils the host, in $DIR. */
  readonly prepare?: string;
  /** A script that stands in the place of the ipam plugin. */
  readonly delegate?: string;
  readonly code: number;
  /** What the message has to contain. */
  readonly message: string;
  /** What message and details together have to contain: the value, where a message is one that clients compare. */
  readonly value?: string;
}

/** Cases that have most of their keys in common. */
function group(
  common: Partial<Case>,
  cases: readonly (Partial<Case> & Pick<Case, "name" | "message">)[],
): Case[] {
  return cases.map((one) => ({ code: 7, ...common, ...one }));
}

const LONG_NAME = "sixteen-is-a-lot";

const ENVIRONMENT = group({ code: 4 }, [
  { name: "no container id", env: { CNI_CONTAINERID: "" }, message: "[CNI_CONTAINERID]" },
  {
    name: "no variable at all",
    env: { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "", CNI_PATH: "" },
    message: "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH]",
  },
  { name: "no namespace", verb: "CHECK", env: { CNI_NETNS: "" }, message: "[CNI_NETNS]" },
  { name: "no namespace for lo", plugin: "loopback", env: { CNI_NETNS: "" }, message: "[CNI_NETNS]" },
  { name: "no interface", verb: "DEL", env: { CNI_IFNAME: "" }, message: "[CNI_IFNAME]" },
  { name: "no path for STATUS", verb: "STATUS", env: { CNI_PATH: "" }, message: "[CNI_PATH]" },
  { name: "no path for GC", verb: "GC", env: { CNI_PATH: "" }, message: "[CNI_PATH]" },
  { name: "an unknown verb", verb: "EXPLODE", message: "EXPLODE" },
  { name: "a verb in lower case", verb: "add", message: "add" },
  { name: "a path as id", env: { CNI_CONTAINERID: "../etc" }, message: "containerID", value: "../etc" },
  { name: "an id with a space", env: { CNI_CONTAINERID: "a b" }, message: "containerID", value: "a b" },
  { name: "an id with a quote", env: { CNI_CONTAINERID: "a'b" }, message: "containerID", value: "a'b" },
  { name: "a long interface name", env: { CNI_IFNAME: LONG_NAME }, message: "too long", value: LONG_NAME },
  {
    name: "an interface name that is a path",
    env: { CNI_IFNAME: "a/b" },
    message: "contains /",
    value: "a/b",
  },
  { name: "an interface name with a space", env: { CNI_IFNAME: "a b" }, message: "whitespace", value: "a b" },
  { name: "an interface name with a colon", env: { CNI_IFNAME: "a:1" }, message: "or :", value: "a:1" },
  { name: "an interface called ..", env: { CNI_IFNAME: ".." }, message: ".." },
  { name: "half an argument", env: { CNI_ARGS: "IP" }, message: 'invalid pair "IP"' },
  { name: "an unknown argument", env: { CNI_ARGS: "COLOUR=red" }, message: "COLOUR=red" },
  { name: "an undecided IgnoreUnknown", env: { CNI_ARGS: "A=b;IgnoreUnknown=maybe" }, message: '"maybe"' },
  { name: "a MAC that is none", env: { CNI_ARGS: "MAC=zz" }, code: 7, message: '"zz"' },
  {
    name: "a group's MAC",
    env: { CNI_ARGS: "MAC=01:00:5e:00:00:01" },
    code: 7,
    message: "01:00:5e:00:00:01",
  },
  { name: "an IP that is none", env: { CNI_ARGS: "IP=10.1.0" }, code: 7, message: '"10.1.0"' },
  { name: "an IP outside the pool", env: { CNI_ARGS: "IP=10.2.0.5" }, code: 7, message: "10.2.0.5" },
]);

const NAMESPACES = group({ code: 8 }, [
  { name: "a missing namespace", env: { CNI_NETNS: "/run/netns/none" }, message: "/run/netns/none" },
  {
    name: "a file as namespace",
    env: { CNI_NETNS: "$DIR/file" },
    prepare: "touch $DIR/file",
    message: "$DIR/file",
  },
  { name: "a directory as namespace", env: { CNI_NETNS: "$DIR" }, message: "$DIR" },
  {
    name: "a mount namespace as network namespace",
    env: { CNI_NETNS: "/proc/self/ns/mnt" },
    message: "/proc/self/ns/mnt",
  },
  { name: "a device as namespace", env: { CNI_NETNS: "/dev/null" }, message: "/dev/null" },
  {
    name: "the plugin's own namespace",
    env: { CNI_NETNS: "/proc/self/ns/net" },
    message: "should not be the same",
    value: "/proc/self/ns/net",
  },
  { name: "a missing namespace for lo", plugin: "loopback", env: { CNI_NETNS: "/none" }, message: "/none" },
  {
    name: "a file as namespace for lo",
    plugin: "loopback",
    env: { CNI_NETNS: "/etc/passwd" },
    message: "/etc/passwd",
  },
  {
    name: "a missing namespace for CHECK",
    verb: "CHECK",
    env: { CNI_NETNS: "/none" },
    config: { prevResult: {} },
    message: "/none",
  },
]);

const INPUT = group({ code: 6 }, [
  { name: "no input", stdin: "", message: "not JSON" },
  { name: "half an object", stdin: '{"cniVersion": "1.1.0",', message: "not JSON" },
  { name: "bytes that are no UTF-8", stdin: new Uint8Array([0x7b, 0xff, 0xfe]), message: "not JSON" },
  { name: "NUL bytes", stdin: "\0\0", message: "not JSON" },
  { name: "two objects", stdin: "{}{}", message: "not JSON" },
  { name: "a list", stdin: "[1]", message: "[1]" },
  { name: "null", stdin: "null", message: "null" },
  { name: "a number", stdin: "7", message: "7" },
  { name: "17 MiB", stdin: " ".repeat(17 << 20), code: 5, message: "stdin" },
  { name: "a version that is no string", config: { cniVersion: 1.1 }, message: '"cniVersion" is 1.1' },
  {
    name: "a version to come",
    config: { cniVersion: "9.0.0" },
    code: 1,
    message: "incompatible",
    value: '"9.0.0"',
  },
  {
    name: "STATUS before its time",
    verb: "STATUS",
    config: { cniVersion: "1.0.0" },
    code: 1,
    message: "STATUS",
  },
  { name: "GC before its time", verb: "GC", config: { cniVersion: "0.4.0" }, code: 1, message: "GC" },
  {
    name: "CHECK before its time",
    verb: "CHECK",
    config: { cniVersion: "0.3.1" },
    code: 1,
    message: "CHECK",
  },
  { name: "no name", config: { name: undefined }, code: 7, message: "missing network name" },
  {
    name: "a name that is a path",
    config: { name: "../lab" },
    code: 7,
    message: "network name",
    value: "../lab",
  },
  { name: "a name that is a number", config: { name: 7 }, code: 7, message: '"name" is 7' },
  { name: "a prevResult that is text", config: { prevResult: "x" }, message: 'prevResult: it is "x"' },
  { name: "no input for lo", plugin: "loopback", stdin: "", message: "not JSON" },
  {
    name: "no name for lo",
    plugin: "loopback",
    config: { name: null },
    code: 7,
    message: "missing network name",
  },
  {
    name: "a version to come for lo",
    plugin: "loopback",
    config: { cniVersion: "9" },
    code: 1,
    message: "versions",
  },
  {
    name: "a prevResult for lo that is a list",
    plugin: "loopback",
    config: { prevResult: [7] },
    message: "[7]",
  },
  { name: "a prevResult to come", config: { prevResult: { cniVersion: "9.0.0" } }, message: '"9.0.0"' },
]);

const BRIDGE = group({ plugin: "bridge" }, [
  { name: "a long bridge name", config: { bridge: LONG_NAME }, message: LONG_NAME },
  { name: "a bridge that is a path", config: { bridge: "a/b" }, message: '"a/b"' },
  { name: "a bridge that is a number", config: { bridge: 7 }, message: '"bridge" is 7' },
  { name: "a flag that is text", config: { isGateway: "yes" }, message: '"isGateway" is "yes"' },
  { name: "a negative MTU", config: { mtu: -1 }, message: '"mtu" is -1' },
  { name: "an MTU beyond a veth's", config: { mtu: 70_000 }, message: '"mtu" is 70000' },
  { name: "half an MTU", config: { mtu: 1499.5 }, message: '"mtu" is 1499.5' },
  { name: "an MTU in quotes", config: { mtu: "1500" }, message: '"mtu" is "1500"' },
  {
    name: "hairpin and promiscuous",
    config: { hairpinMode: true, promiscMode: true },
    message: "hairpin mode",
  },
  { name: "addresses for no interface", config: { disableContainerInterface: true }, message: "IPAM" },
  { name: "a VLAN that is none", config: { vlan: 4095 }, message: "invalid VLAN ID 4095" },
  { name: "a trunk of nothing", config: { vlanTrunk: [{ minID: 5 }] }, message: "maxID is missing" },
  { name: "spoof checks that are text", config: { macspoofchk: "yes" }, message: '"macspoofchk" is "yes"' },
  { name: "an unknown backend", config: { ipMasqBackend: "ebtables" }, message: '"ebtables"' },
  { name: "DNS that is text", config: { dns: "10.1.0.1" }, message: '"dns" is "10.1.0.1"' },
  {
    name: "a name server that is a number",
    config: { dns: { nameservers: [7] } },
    message: '"dns.nameservers[0]" is 7',
  },
  { name: "an ipam that is text", config: { ipam: "warren-ipam" }, message: '"ipam" is "warren-ipam"' },
  { name: "an ipam that is a list", config: { ipam: [] }, message: '"ipam" is []' },
  { name: "a MAC by capability", config: { runtimeConfig: { mac: "0a:00" } }, message: '"0a:00"' },
  {
    name: "a MAC by args",
    config: { args: { cni: { mac: "ff:ff:ff:ff:ff:ff" } } },
    message: "ff:ff:ff:ff:ff:ff",
  },
  { name: "a relative store", config: { dataDir: "store" }, message: '"dataDir" is "store"' },
  { name: "a store with a NUL", config: { dataDir: "/store\0" }, message: '"/store\\u0000"' },
  {
    name: "a bridge that is none",
    prepare: "ip link add lab0 type veth peer name lab1",
    code: 102,
    message: "lab0",
  },
  {
    name: "a bridge with another gateway",
    // without addresses of its own, which would be tentative before the call and not behind it
    prepare: `ip link add lab0 type bridge; ip addr add 10.1.0.9/24 dev lab0
       ip link set lab0 addrgenmode none; ip link set lab0 up`,
    config: { isGateway: true },
    code: 102,
    message: "lab0",
    value: "10.1.0.9/24",
  },
  {
    name: "an interface that is there",
    prepare: "ip -n pod link add eth0 type veth peer name eth1",
    code: 102,
    message: '"eth0"',
    value: "it is a veth interface",
  },
  { name: "CHECK without a result", verb: "CHECK", message: "Required prevResult missing" },
  {
    name: "CHECK with a result of another interface",
    verb: "CHECK",
    config: { prevResult: { interfaces: [{ name: "eth7", sandbox: "x" }] } },
    message: '"eth0"',
  },
  {
    name: "CHECK of what was never added",
    verb: "CHECK",
    config: { prevResult: { interfaces: [{ name: "eth0", sandbox: "x" }] } },
    code: 103,
    message: "lab0",
  },
  {
    name: "GC with a list that is none",
    verb: "GC",
    config: { "cni.dev/valid-attachments": "all" },
    message: '"all"',
  },
  {
    name: "GC with half an attachment",
    verb: "GC",
    config: { "cni.dev/valid-attachments": [{ containerID: "a" }] },
    message: '"[0].ifname"',
  },
]);

const range = (keys: Json): Pick<Case, "ipam"> => ({ ipam: { subnet: undefined, ranges: [[keys]] } });

const IPAM = group({ plugin: "ipam" }, [
  { name: "no ipam", config: { ipam: undefined }, message: "'ipam'" },
  { name: "an ipam that is null", config: { ipam: null }, message: "'ipam'" },
  { name: "an unknown key", ipam: { subnets: "10.1.0.0/24" }, message: 'unknown key "ipam.subnets"' },
  { name: "no type", ipam: { type: undefined }, message: '"ipam.type"' },
  { name: "no ranges", ipam: { subnet: undefined }, message: "no IP ranges" },
  { name: "a subnet without length", ipam: { subnet: "10.1.0.0" }, message: '"10.1.0.0"' },
  { name: "a subnet that is a number", ipam: { subnet: 10 }, message: '"ipam.subnet" is 10' },
  { name: "a subnet too long", ipam: { subnet: "fd00::/129" }, message: '"fd00::/129"' },
  { name: "a subnet in octal", ipam: { subnet: "010.1.0.0/24" }, message: '"010.1.0.0/24"' },
  {
    name: "a subnet with host bits",
    ipam: { subnet: "10.1.0.7/24" },
    message: "10.1.0.0",
    value: "10.1.0.7/24",
  },
  {
    name: "a start outside",
    ...range({ subnet: "10.1.0.0/24", rangeStart: "10.2.0.1" }),
    message: "10.2.0.1",
  },
  {
    name: "an end of the other family",
    ...range({ subnet: "10.1.0.0/24", rangeEnd: "::1" }),
    message: "::1",
  },
  {
    name: "an end before the start",
    ...range({ subnet: "10.1.0.0/24", rangeStart: "10.1.0.9", rangeEnd: "10.1.0.3" }),
    message: "10.1.0.9 is after RangeEnd 10.1.0.3",
  },
  { name: "a gateway that is none", ...range({ subnet: "10.1.0.0/24", gateway: "gw" }), message: '"gw"' },
  {
    name: "a gateway of the other family",
    ...range({ subnet: "10.1.0.0/24", gateway: "fd00::1" }),
    message: "fd00::1",
  },
  { name: "a set that is empty", ipam: { ranges: [[]] }, message: "range set 1" },
  {
    name: "a set that is an object",
    ipam: { ranges: [{ subnet: "10.3.0.0/24" }] },
    message: '"ipam.ranges[0]"',
  },
  {
    name: "a set of both families",
    ipam: { ranges: [[{ subnet: "10.3.0.0/24" }, { subnet: "fd00::/64" }]] },
    message: "10.3.0.0/24 and fd00::/64",
  },
  {
    name: "sets that overlap",
    ipam: { ranges: [[{ subnet: "10.1.0.0/25" }]] },
    message: "range set 0 overlaps with 1",
  },
  { name: "an exclusion that is none", ipam: { exclude: ["10.1.0.300"] }, message: '"10.1.0.300"' },
  {
    name: "an exclusion backwards",
    ipam: { exclude: ["10.1.0.9-10.1.0.3"] },
    message: '"10.1.0.9-10.1.0.3"',
  },
  {
    name: "a fixed address without length",
    ipam: { addresses: [{ address: "10.5.0.9" }] },
    message: "'10.5.0.9'",
  },
  {
    name: "a fixed gateway elsewhere",
    ipam: { addresses: [{ address: "10.5.0.9/24", gateway: "10.6.0.1" }] },
    message: "10.6.0.1",
  },
  {
    name: "a route without length",
    ipam: { routes: [{ dst: "10.0.0.0" }] },
    message: '"ipam.routes[0].dst" is "10.0.0.0"',
  },
  {
    name: "a route through a name",
    ipam: { routes: [{ dst: "::/0", gw: "gw" }] },
    message: '"ipam.routes[0].gw" is "gw"',
  },
  { name: "an unknown order", ipam: { order: "random" }, message: '"random"' },
  { name: "a negative cooldown", ipam: { cooldownSeconds: -5 }, message: '"ipam.cooldownSeconds" is -5' },
  { name: "a resolver config that is missing", ipam: { resolvConf: "/none" }, code: 5, message: '"/none"' },
  { name: "a resolver config that is a directory", ipam: { resolvConf: "$DIR" }, code: 5, message: '"$DIR"' },
  {
    name: "a request that is a number",
    config: { runtimeConfig: { ips: [7] } },
    message: '"runtimeConfig.ips[0]" is 7',
  },
  {
    name: "a request for the gateway",
    config: { runtimeConfig: { ips: ["10.1.0.1"] } },
    message: "10.1.0.1",
  },
  {
    name: "a request for the network",
    config: { args: { cni: { ips: ["10.1.0.0/24"] } } },
    message: "10.1.0.0",
  },
  {
    name: "a request of the other family",
    config: { runtimeConfig: { ips: ["fd00::5"] } },
    message: "fd00::5",
  },
  { name: "CHECK of no lease", verb: "CHECK", code: 103, message: "container pod" },
  {
    name: "the same on STATUS",
    verb: "STATUS",
    ipam: { subnet: "10.1.0.7/24" },
    message: "10.1.0.0",
    value: "10.1.0.7/24",
  },
]);

const DELEGATES = group({ plugin: "bridge", code: 106 }, [
  {
    name: "a delegate that is missing",
    ipam: { type: "nobody" },
    message: 'failed to find plugin "nobody" in path [',
  },
  { name: "a delegate that is a path", ipam: { type: "../nobody" }, code: 7, message: '"../nobody"' },
  { name: "a delegate that is a folder", ipam: { type: ".." }, code: 7, message: '".."' },
  {
    name: "a delegate that is not executable",
    ipam: { type: "plain" },
    prepare: "mkdir -p $DIR/bin; echo hello > $DIR/bin/plain",
    message: "$DIR/bin/plain can't be run",
  },
  { name: "a delegate without a word", delegate: "exit 0", message: "plugin other printed no result" },
  { name: "a delegate that prints no JSON", delegate: "echo hello", code: 6, message: '"hello\\n"' },
  {
    name: "a delegate that prints half a JSON",
    delegate: "printf '{\"ips\":'",
    code: 6,
    message: "is not JSON",
  },
  { name: "a delegate that prints a list", delegate: "echo '[]'", code: 6, message: "it is []" },
  {
    name: "a delegate of a version to come",
    delegate: 'echo \'{"cniVersion":"9.0.0"}\'',
    code: 6,
    message: '"9.0.0"',
  },
  {
    name: "a delegate without addresses",
    delegate: "echo '{}'",
    message: "IPAM plugin returned missing IP config",
  },
  {
    name: "a delegate with an address that is none",
    delegate: 'echo \'{"ips":[{"address":"10.1.0.300/24"}]}\'',
    code: 6,
    message: '"10.1.0.300/24"',
  },
  {
    name: "a delegate that complains in plain text",
    delegate: "echo broken; exit 1",
    message: '"broken\\n"',
  },
  { name: "a delegate that complains on stderr", delegate: "echo broken >&2; exit 1", message: '"broken"' },
  { name: "a delegate that fails in silence", delegate: "exit 7", message: "exit status 7" },
  { name: "a delegate that is killed", delegate: "kill -9 $$", message: "killed by SIGKILL" },
  {
    name: "a delegate with an error of its own",
    delegate: 'echo \'{"code":123,"msg":"no more of 10.9.9.9"}\'; exit 1',
    code: 123,
    message: "no more of 10.9.9.9",
  },
  {
    name: "a delegate that fails",
    verb: "STATUS",
    delegate: "echo broken >&2; exit 1",
    code: 50,
    message: '"broken"',
  },
  {
    name: "a delegate that is not there",
    verb: "STATUS",
    ipam: { type: "nobody" },
    code: 50,
    message: '"nobody"',
  },
  {
    name: "a delegate with a code of its own",
    verb: "STATUS",
    delegate: 'echo \'{"code":51,"msg":"half of 10.1.0.0/24 is cut off"}\'; exit 1',
    code: 51,
    message: "half of 10.1.0.0/24 is cut off",
  },
]);

const SPOILED_STORES: readonly Pick<Case, "name" | "prepare" | "message">[] = [
  { name: "its parent missing", message: "$DIR/store/none, which", prepare: "mkdir $DIR/store" },
  {
    name: "a file in its directory's place",
    message: "is in something that is not a directory",
    prepare: "touch $DIR/store",
  },
  {
    name: "a read-only file system",
    message: "is on a read-only file system",
    prepare: "mkdir $DIR/store; mount --bind $DIR/store $DIR/store; mount -o remount,bind,ro $DIR/store",
  },
  {
    name: "a file system that became read-only",
    message: "is on a read-only file system",
    prepare: "$STATUS; mount --bind $DIR/store $DIR/store; mount -o remount,bind,ro $DIR/store",
  },
  {
    name: "a full disk",
    message: "the disk is full",
    prepare:
      "mkdir $DIR/store; mount -t tmpfs -o size=64k tmpfs $DIR/store; cat /dev/zero > $DIR/store/fill || true",
  },
  {
    name: "a disk that became full",
    message: "the disk is full",
    prepare:
      "mkdir $DIR/store; mount -t tmpfs -o size=1m tmpfs $DIR/store; $STATUS; cat /dev/zero > $DIR/store/fill || true",
  },
  {
    name: "a file that is no database",
    message: "is not an SQLite database",
    prepare: "mkdir $DIR/store; yes | head -c 9000 > $DIR/store/warren.db",
  },
  {
    name: "a damaged database",
    message: "is corrupt",
    prepare:
      "$STATUS; rm $DIR/store/warren.db-*; yes | head -c 16000 | dd of=$DIR/store/warren.db bs=1 seek=100 conv=notrunc",
  },
  {
    name: "a link in the file's place",
    message: "is a symbolic link",
    prepare: "mkdir $DIR/store; ln -s /none $DIR/store/warren.db",
  },
  {
    name: "a directory in the file's place",
    message: "is a directory, not a file",
    prepare: "mkdir -p $DIR/store/warren.db",
  },
  {
    name: "a newer schema",
    message: "has schema version 99, this executable knows versions up to",
    prepare: "$NEWER",
  },
];

const STORES = SPOILED_STORES.flatMap((one): Case[] =>
  (["ipam", "bridge"] as const).flatMap((plugin) =>
    ["STATUS", "ADD"].map((verb) => ({
      ...one,
      name: `S0-04 ${verb} of ${plugin} on a store with ${one.name}`,
      plugin,
      verb,
      code: verb === "STATUS" ? 50 : 105,
      value: "$DIR/store",
      ...(one.name === "its parent missing" ? { ipam: { dataDir: "$DIR/store/none/here" } } : {}),
    })),
  ),
);

/** A host with a pod, a good config, and the ways to spoil them. */
class Place implements AsyncDisposable {
  private constructor(
    readonly host: Sandbox,
    readonly one: Case,
  ) {}

  static async create(one: Case): Promise<Place> {
    const place = new Place(await Sandbox.create(), one);
    await place.host.addNetns("pod");
    mkdirSync(join(place.host.directory, "bin"));
    mkdirSync(join(place.host.directory, "tmp"));
    return place;
  }

  fill(text: string): string {
    return text.replaceAll("$DIR", this.host.directory);
  }

  get env(): Record<string, string> {
    return {
      CNI_COMMAND: this.one.verb ?? "ADD",
      CNI_CONTAINERID: "pod",
      CNI_NETNS: "/run/netns/pod",
      CNI_IFNAME: "eth0",
      CNI_PATH: `${dirname(WARREN)}:${this.host.directory}/bin`,
      CNI_ARGS: "",
      TMPDIR: `${this.host.directory}/tmp`,
    };
  }

  config(plugin: string, changes: Json = {}, ipam: Json = {}): string {
    const type = this.one.delegate === undefined ? "warren-ipam" : "other";
    const good = {
      cniVersion: "1.1.0",
      name: "lab",
      type: `warren-${plugin}`,
      bridge: "lab0",
      ipam: { type, dataDir: "$DIR/store", subnet: "10.1.0.0/24", ...ipam },
    };
    return this.fill(JSON.stringify({ ...good, ...changes }));
  }

  call(
    plugin: string,
    stdin: string | Uint8Array,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    const filled = Object.entries(env).map(([name, value]) => [name, this.fill(value)]);
    return this.host.run([`${WARREN}-${plugin}`], {
      stdin,
      env: { ...this.env, ...Object.fromEntries(filled) },
    });
  }

  /** Runs the case's preparations: `$STATUS` makes a good store, `$NEWER` one that is too new. */
  async prepare(): Promise<void> {
    const { prepare = "", delegate } = this.one;
    if (delegate !== undefined) {
      const file = join(this.host.directory, "bin/other");
      await Bun.write(file, `#!/bin/sh\ncat > /dev/null\n${delegate}\n`);
      await this.host.text(["chmod", "+x", file]);
    }
    if (prepare === "$NEWER") {
      mkdirSync(join(this.host.directory, "store"));
      using database = new Database(join(this.host.directory, "store/warren.db"));
      database.run("PRAGMA user_version=99");
      return;
    }
    const input = join(this.host.directory, "bin/good.json");
    await Bun.write(input, this.config("ipam"));
    const status = `CNI_COMMAND=STATUS CNI_PATH=/none ${WARREN}-ipam < ${input}`;
    await this.host.text(["sh", "-ec", this.fill(prepare).replaceAll("$STATUS", status)]);
  }

  /** Everything that a call could leave behind: links and rules of host and pod, files, and the rows of the store. */
  async remains(): Promise<{ readonly host: string; readonly rows: readonly unknown[] }> {
    const look = `
      ip -o link; ip -o addr; ip route; ip -n pod -o link; ip -n pod -o addr; nft list ruleset
      find $DIR /run /var/lib -not -path "$DIR/store/warren.db*" -not -path $DIR/store`;
    return { host: await this.host.text(["sh", "-ec", this.fill(look)]), rows: this.rows() };
  }

  rows(): unknown[] {
    const file = join(this.host.directory, "store/warren.db");
    const isSpoiled = this.one.prepare?.includes("$DIR/store") === true || this.one.prepare === "$NEWER";
    if (isSpoiled || !existsSync(file)) return [];
    using database = new Database(file, { readwrite: true, create: false });
    return ["leases", "runs", "attachments", "objects"].flatMap((table) =>
      database.query(`SELECT * FROM ${table}`).values(),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

/** Checks that the answer is one error document, as the case wants it. */
function expectError(place: Place, { exitCode, stdout }: Outcome): void {
  const { code, message, value = message } = place.one;
  let document: Json = {};
  try {
    document = JSON.parse(stdout);
  } catch {
    // the comparison shows what came instead
  }
  expect(stdout).toBe(JSON.stringify(document, null, 4));
  expect([document.code, exitCode, typeof document.cniVersion]).toEqual([code, 1, "string"]);
  expect(document.msg).toContain(place.fill(message));
  expect(`${document.msg} ${document.details}`).toContain(place.fill(value));
  const keys = ["cniVersion", "code", "msg", "details"].filter((key) => key in document);
  expect(Object.keys(document)).toEqual(keys);
}

const CASES = [...ENVIRONMENT, ...NAMESPACES, ...INPUT, ...BRIDGE, ...IPAM, ...DELEGATES, ...STORES];

for (const one of CASES) {
  const plugin = one.plugin ?? "bridge";
  test.concurrent(one.name.startsWith("S0-")
    ? one.name
    : `${one.verb ?? "ADD"} of ${plugin} with ${one.name} is code ${one.code}`, async () => {
    await using place = await Place.create(one);
    await place.prepare();
    const before = await place.remains();
    const stdin = one.stdin ?? place.config(plugin, one.config, one.ipam);
    expectError(place, await place.call(plugin, stdin, one.env));
    const after = await place.remains();
    expect(after.host).toBe(before.host);
    expect(after.rows).toEqual([]);
  }, 30_000);
}

test("there are more than seventy cases, and no two of them are the same", () => {
  expect(CASES.length).toBeGreaterThan(70);
  const names = CASES.map(({ name, plugin, verb }) => `${name} ${plugin} ${verb}`);
  expect(new Set(names).size).toBe(CASES.length);
});

test.concurrent("S0-04 a store that is locked for longer than the time-out is code 50 on STATUS, and code 11, try again, on ADD", async () => {
  await using place = await Place.create({
    name: "locked",
    code: 50,
    message: "was locked for more than 10000 ms",
  });
  const config = place.config("ipam");
  await place.call("ipam", config, { CNI_COMMAND: "STATUS" });
  using database = new Database(join(place.host.directory, "store/warren.db"));
  database.run("BEGIN IMMEDIATE");
  const [status, add] = await Promise.all(
    ["STATUS", "ADD"].map((CNI_COMMAND) => place.call("ipam", config, { CNI_COMMAND })),
  );
  database.run("ROLLBACK");
  for (const [outcome, code] of [
    [status, 50],
    [add, 11],
  ] as const) {
    const document: Json = JSON.parse(outcome?.stdout ?? "");
    expect([outcome?.exitCode, document.code]).toEqual([1, code]);
    expect(document.msg).toBe(
      `the store ${place.host.directory}/store/warren.db was locked for more than 10000 ms`,
    );
  }
  expect(place.rows()).toEqual([]);
}, 40_000);

test.concurrent("S0-04 a pool that is used up is code 50 on STATUS of bridge and ipam, and ADD leaves nothing of a bridge", async () => {
  await using place = await Place.create({ name: "exhausted", code: 101, message: "10.1.0.4-10.1.0.5" });
  const config = place.config("bridge", {}, { subnet: "10.1.0.4/31" });
  for (const CNI_CONTAINERID of ["a", "b"]) {
    expect((await place.call("ipam", config, { CNI_CONTAINERID })).exitCode).toBe(0);
  }
  const before = await place.remains();
  for (const plugin of ["ipam", "bridge"]) {
    const { stdout } = await place.call(plugin, config, { CNI_COMMAND: "STATUS" });
    expect(JSON.parse(stdout)).toMatchObject({ code: 50, msg: "no free addresses in 10.1.0.4/31" });
    expectError(place, await place.call(plugin, config));
  }
  expect(await place.remains()).toEqual(before);
});

test.concurrent("a config of almost 16 MiB is a config: a long value, half a million keys, a long list of what is valid", async () => {
  await using place = await Place.create({ name: "large", code: 0, message: "" });
  const call = (CNI_COMMAND: string, more: Readonly<Record<string, unknown>>) =>
    place.call("ipam", place.config("ipam", more), { CNI_COMMAND });
  expect((await call("ADD", { note: "x".repeat(16_000_000) })).exitCode).toBe(0);
  const valid = Array.from({ length: 300_000 }, (_, number) => ({
    containerID: `c${number}`,
    ifname: "eth0",
  }));
  const here = { containerID: place.env.CNI_CONTAINERID, ifname: place.env.CNI_IFNAME };
  expect(await call("GC", { "cni.dev/valid-attachments": [...valid, here] })).toMatchObject({
    exitCode: 0,
    stderr: "",
  });
  expect(place.rows()).not.toEqual([]);
  const keys = Object.fromEntries(
    Array.from({ length: 500_000 }, (_, number) => [`someKey${number}`, number]),
  );
  expect(await call("DEL", keys)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  expect(place.rows()).toEqual([]);
}, 60_000);
