// S1-23: `warren pair`, links tied by hand. What it says it made is looked for in the kernel, packets pass by it, and after
// a failure, a refusal or a --delete the namespaces are as they were.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";

/** A host with the namespaces a and b, an interface up0 in a that leads to up0 in b, and eth0 everywhere. */
class Stage implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(): Promise<Stage> {
    const stage = new Stage(await Sandbox.create());
    const lines = [
      ...[
        "netns add a",
        "netns add b",
        "link add eth0 type veth peer name eth1",
        "link set eth0 up",
        "link set eth1 up",
      ],
      "link add up0 netns a type veth peer name up0 netns b",
    ];
    await stage.host.text(["ip", "-batch", "-"], { stdin: lines.join("\n") });
    for (const [name, address] of [
      ["a", "10.9.0.1/24"],
      ["b", "10.9.0.2/24"],
    ] as const) {
      const inside = ["link set lo up", "link set up0 up", `addr add ${address} dev up0`];
      await stage.host.text(["ip", "-n", name, "-batch", "-"], { stdin: inside.join("\n") });
    }
    return stage;
  }

  /** Runs `warren pair` with these words, which have no blanks in them. */
  pair(words: string): Promise<Outcome> {
    return this.host.run([WARREN, "pair", ...words.split(" ")]);
  }

  async succeed(words: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.pair(words);
    if (exitCode !== 0) throw new Error(`pair ${words}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }

  /** Asserts that it fails so, with nothing changed. */
  async refuse(words: string, message: string): Promise<void> {
    const before = await this.traces();
    const { exitCode, stdout, stderr } = await this.pair(words);
    expect([exitCode, stdout, stderr]).toEqual([1, "", `Error: ${message}\n`]);
    expect(await this.traces()).toEqual(before);
  }

  /** All interfaces with their addresses, and all filters. */
  async traces(): Promise<string> {
    const look = `
      for netns in "" a b; do
        in=; [ -z "$netns" ] || in="-n $netns"
        ip $in -br addr | awk '{ $2 = ""; print }'
        tc $in qdisc
        for link in lo eth0 up0; do tc $in filter show dev $link ingress 2>/dev/null; done
        echo --
      done`;
    // operational states, link-local addresses and what the other end is called by come and go by themselves
    const text = await this.host.text(["sh", "-c", look]);
    return text.replace(/fe80\S+/g, "").replace(/@\w+| +$/gm, "");
  }

  async reaches(address: string, from: string): Promise<boolean> {
    return (
      (await this.host.run([WARREN, "lab", "ping", address, "--from", from, "--count", "2"])).exitCode === 0
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

test("S1-23 -n ties two namespaces in place, with addresses of both families and an MTU; --delete takes both ends", async () => {
  await using stage = await Stage.create();
  const before = await stage.traces();
  const addresses = ["10.0.0.1/24,fd00::1/64,10.1.0.1/30", "10.0.0.2/24,fd00::2/64"];
  const printed = await stage.succeed(
    `-n a,eth0,${addresses[0]} -n /run/netns/b,link2,${addresses[1]} --mtu 1400 --json`,
  );
  expect(JSON.parse(printed)).toEqual([
    { netns: "a", link: "eth0", kind: "veth", mtu: 1400, addresses: addresses[0]?.split(","), mirrors: [] },
    {
      netns: "/run/netns/b",
      link: "link2",
      kind: "veth",
      mtu: 1400,
      addresses: addresses[1]?.split(","),
      mirrors: [],
    },
  ]);
  const [one, other] = [await seenLink(stage.host, "eth0", "a"), await seenLink(stage.host, "link2", "b")];
  expect([one?.mtu, other?.mtu, one?.flags.includes("UP"), other?.flags.includes("UP")]).toEqual([
    1400,
    1400,
    true,
    true,
  ]);
  expect(globalAddressesOf(one).sort()).toEqual((addresses[0] ?? "").split(",").sort());
  expect(await stage.reaches("10.0.0.2", "a")).toBe(true);
  expect(await stage.reaches("fd00::1", "b")).toBe(true);
  expect(await stage.succeed("--delete -n b,link2")).toBe("");
  expect(await stage.traces()).toBe(before);
  // what is missing is success
  const again = await stage.pair("-N b,link2");
  expect([again.exitCode, again.stderr]).toEqual([0, "there is no interface link2 in b\n"]);
});

test("S1-23 -p, -c and pid: name processes and the namespace of the call; -P deletes", async () => {
  await using stage = await Stage.create();
  const before = await stage.traces();
  const child = stage.host.start(["ip", "netns", "exec", "a", "sleep", "60"]);
  while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep")) await Bun.sleep(10);
  await stage.succeed(`-p ${child.pid},in1,10.0.0.1/24 -c in2,10.0.0.2/24`);
  expect(await stage.reaches("10.0.0.2", `pid:${child.pid}`)).toBe(true);
  await stage.succeed(`-P ${child.pid},in1`);
  await stage.succeed(`-n pid:${child.pid},in1 -n b,in2`);
  await stage.succeed("--delete -n a,in1 -n b,in2");
  await stage.succeed("-c in1,10.0.0.1/24 -c in2");
  await stage.succeed("--delete -c in2");
  expect(await stage.traces()).toBe(before);
  child.kill();
  await child.exited;
  await stage.refuse(
    `-p ${child.pid},in1 -n b,in2`,
    `there is no process ${child.pid}; it may have ended, or be hidden by /proc`,
  );
});

test("S1-23 an existing link is detected at either end and named, also the very same one; nothing is changed", async () => {
  await using stage = await Stage.create();
  await stage.succeed("-n a,link1,10.0.0.1/24 -n b,link2,10.0.0.2/24");
  const taken = (name: string, netns: string) =>
    `there is an interface ${name} in /var/run/netns/${netns} already; it is a veth interface; ` +
    "choose another name, or remove it by pair --delete";
  await stage.refuse("-n a,link1,10.0.0.1/24 -n b,link2,10.0.0.2/24", taken("link1", "a"));
  await stage.refuse("-n a,new -n b,link2", taken("link2", "b"));
  await stage.refuse(
    "-n a,link1 -x up0,10.9.0.2,7",
    `there is no interface "up0" on the host; name one that ip link shows`,
  );
  await stage.refuse("-n a,link1 -x eth0,10.9.0.2,7", taken("link1", "a"));
  await stage.refuse("-n a,link1 -M eth0,bridge", taken("link1", "a"));
  expect(await stage.reaches("10.0.0.2", "a")).toBe(true);
}, 30_000);

test("S1-23 whatever fails, nothing half-made is left", async () => {
  await using stage = await Stage.create();
  await stage.refuse(
    "-n nowhere,x -n b,y",
    'network namespace "/var/run/netns/nowhere" is missing; see ip netns, or warren pod list',
  );
  await stage.refuse(
    "-n a,x -n nowhere,y",
    'network namespace "/var/run/netns/nowhere" is missing; see ip netns, or warren pod list',
  );
  await stage.refuse(
    "-n a,x -n b,y,mirror:both:none",
    'there is no interface "none" to copy the traffic of; nothing was made',
  );
  await stage.refuse(
    "-n a,x,mirror:both:up0 -n b,y,mirror:both:none",
    'there is no interface "none" to copy the traffic of; nothing was made',
  );
  await stage.refuse(
    "-n a,x,mirror:both:x -n b,y",
    "interface x can't carry a copy of its own traffic; nothing was made",
  );
  await stage.refuse(
    "-n a,x,mirror:both:none -M eth0,bridge",
    'there is no interface "none" to copy the traffic of; nothing was made',
  );
  await stage.refuse(
    "-n a,x,mirror:both:none -x eth0,10.9.0.2,7",
    'there is no interface "none" to copy the traffic of; nothing was made',
  );
  await stage.refuse(
    "-n a,x -M none,bridge",
    'there is no interface "none" on the host; name one that ip link shows',
  );
  await stage.refuse(
    "--delete -n a,lo",
    "interface lo in /var/run/netns/a is a physical interface, none that is made here; only veth, vxlan, vlan and macvlan are removed",
  );
  const before = await stage.traces();
  // an address that the kernel refuses
  expect((await stage.pair("-n a,x,10.0.0.1/24 -n b,y,224.0.0.1/24 --mtu 70,")).exitCode).toBe(2);
  const { exitCode } = await stage.pair("-n a,x,10.0.0.1/24 -n b,y,ff02::1/64");
  expect(exitCode).toBe(1);
  expect(await stage.traces()).toBe(before);
}, 30_000);

test("S1-23 -x makes a vxlan to another node on both of them, with port= and mtu=; a VNI that is taken is named", async () => {
  await using stage = await Stage.create();
  for (const pod of ["pod1", "pod2"]) await stage.host.addNetns(pod);
  // a and b are the nodes here
  const on = (node: string, words: string) =>
    stage.host.run(["ip", "netns", "exec", node, WARREN, "pair", ...words.split(" ")]);
  expect(
    await on("a", "-n pod1,up0,10.3.0.1/30,fd03::1/64 -x up0,10.9.0.2,11,port=4790,mtu=1300"),
  ).toMatchObject({
    ...{ exitCode: 0, stderr: "" },
    stdout: "NETNS   LINK   KIND    MTU    ADDRESSES\npod1    up0    vxlan   1300   10.3.0.1/30 fd03::1/64\n",
  });
  expect((await on("b", "-X up0,10.9.0.1,11,port=4790 -n pod2,in2,10.3.0.2/30,fd03::2/64")).exitCode).toBe(0);
  const [one, other] = [await seenLink(stage.host, "up0", "pod1"), await seenLink(stage.host, "in2", "pod2")];
  expect(one?.linkinfo).toMatchObject({
    info_kind: "vxlan",
    info_data: { id: 11, remote: "10.9.0.2", port: 4790 },
  });
  expect([one?.mtu, other?.mtu]).toEqual([1300, 1450]);
  expect(await stage.reaches("10.3.0.2", "pod1")).toBe(true);
  expect(await stage.reaches("fd03::1", "pod2")).toBe(true);
  const taken = await on("a", "-n pod1,other --vxlan up0,10.9.0.2,11,port=4790");
  expect([taken.exitCode, taken.stderr]).toEqual([
    1,
    "Error: the host has a vxlan with the VNI 11 on UDP port 4790 already; choose another VNI or port\n",
  ]);
  expect(await seenLink(stage.host, "other", "pod1")).toBeUndefined();
  for (const end of ["pod1,up0", "pod2,in2"]) await stage.succeed(`--delete -n ${end}`);
  expect(await seenLink(stage.host, "up0", "pod1")).toBeUndefined();
});

test.each(["bridge", "private", "vepa", "passthru", "default"])(
  "S1-23 -M makes a macvlan of mode %s, which --delete removes",
  async (mode) => {
    await using stage = await Stage.create();
    const before = await stage.traces();
    // the pod's interface has the name of the parent
    await stage.succeed(`-n a,eth0,10.4.0.1/24 -M eth0,${mode} --mtu 1400`);
    const link = await seenLink(stage.host, "eth0", "a");
    expect([link?.linkinfo?.info_kind, link?.linkinfo?.info_data?.mode, link?.mtu]).toEqual([
      ...["macvlan", mode === "default" ? "vepa" : mode],
      1400,
    ]);
    await stage.host.text(["ip", "addr", "add", "10.4.0.2/24", "dev", "eth1"]);
    expect(await stage.reaches("10.4.0.2", "a")).toBe(true);
    await stage.host.text(["ip", "addr", "del", "10.4.0.2/24", "dev", "eth1"]);
    await stage.succeed("--delete -n a,eth0");
    expect(await stage.traces()).toBe(before);
  },
);

test("S1-23 -V says on a kernel without vlans what is missing, and leaves nothing", async () => {
  await using stage = await Stage.create();
  const before = await stage.traces();
  const { exitCode, stderr } = await stage.pair("-n a,x -V eth0,5");
  // where there are vlans, tests/vm shows what they do
  if (exitCode === 0) await stage.succeed("--delete -n a,x");
  else expect(stderr).toBe("Error: the kernel has no vlan; load the module 8021q\n");
  expect(await stage.traces()).toBe(before);
});

test.each(["a,tap0", "b,tap1"])(
  "S1-23 S1-24 mirror:both:up0 copies what passes up0 out by the link, until --delete of %s",
  async (end) => {
    await using stage = await Stage.create();
    const before = await stage.traces();
    await stage.succeed("-n a,tap0,mirror:both:up0 -n b,tap1");
    const received = async () => {
      const [link] = (await stage.host.json(["ip", "-n", "b", "-s", "-j", "link", "show", "tap1"])) as {
        stats64: { rx: { packets: number } };
      }[];
      return link?.stats64.rx.packets ?? 0;
    };
    await Bun.sleep(100);
    const start = await received();
    await stage.host.run([WARREN, "lab", "ping", "10.9.0.2", "--from", "a", "--count", "5"]);
    expect((await received()) - start).toBeGreaterThanOrEqual(10);
    await stage.succeed(`--delete -n ${end}`);
    expect(await stage.traces()).toBe(before);
  },
);

const unused = await Stage.create();
process.on("exit", () => void unused[Symbol.asyncDispose]());

const EXPECTED_TWO = "expected two ends, or one and --vxlan, --vlan or --macvlan";

test.each<[args: string[], words: string]>([
  [[], EXPECTED_TWO],
  [["-n", "a,x"], EXPECTED_TWO],
  [["-n", "a,x", "-n", "b,x", "-c", "y"], EXPECTED_TWO],
  [["-n", "a,x", "-n", "b,x", "-M", "eth0,bridge"], EXPECTED_TWO],
  [["-n", "a,x", "-M", "eth0,bridge", "-x", "eth0,10.0.0.1,5"], EXPECTED_TWO],
  [["-n", "a,x", "surplus"], 'unexpected argument "surplus"'],
  [["-n", "a"], "--netns: no interface name"],
  [["-n", ",x", "-n", "b,x"], "no namespace; expected NETNS,LINK"],
  [["-n", "", "-n", "b,x"], "--netns needs a value"],
  [["-n", "a,sixteen-is-a-lot", "-n", "b,x"], "interface name is too long"],
  [["-n", "a,..", "-n", "b,x"], "interface name is . or .."],
  [["-n", "a,x y", "-n", "b,x"], "whitespace"],
  [["-n", "a,x\n", "-n", "b,x"], "whitespace"],
  [["-n", `a,${"x".repeat(10_240)}`, "-n", "b,x"], "interface name is too long"],
  [["-n", `${"x/".repeat(5000)}\n,x`, "-n", "b,x,1"], "is no address with its prefix length"],
  [["-n", "a,x,10.0.0.1", "-n", "b,x"], '"10.0.0.1" is no address with its prefix length'],
  [["-n", "a,x,10.0.0.1/33", "-n", "b,x"], '"10.0.0.1/33" is no address'],
  [["-n", "a,x,", "-n", "b,x"], '"" is no address'],
  [["-n", "a,x,mirror:up:eth0", "-n", "b,x"], '"mirror:up:eth0" is no address'],
  [["-n", "a,x,10.0.0.1/24,10.0.0.1/24", "-n", "b,x"], "--netns gives 10.0.0.1/24 twice"],
  [["-n", "a,x", "-n", "a,x"], "both ends are to be x in one namespace"],
  [["-p", "zero,x", "-n", "a,x"], "expected pid: and the number of a process"],
  [["-d", "--rm,x", "-n", "a,x"], "expected docker: and the name or id of a container"],
  [["-n", "a,x", "-x", "eth0,10.0.0.1"], "something is missing; expected PARENT,REMOTE,VNI"],
  [["-n", "a,x", "-x", "eth0,host,5"], '"host" is no address'],
  [["-n", "a,x", "-x", "eth0,10.0.0.1,16777216"], "a VNI is a number from 0 to 16777215"],
  [["-n", "a,x", "-x", "eth0,10.0.0.1,5,port=0"], '"0" is no port'],
  [["-n", "a,x", "-x", "eth0,10.0.0.1,5,mtu=1"], "expected a number from 68 to 65535"],
  [["-n", "a,x", "-x", "eth0,10.0.0.1,5,ttl=1"], 'there is no "ttl"'],
  [["-n", "a,x", "-x", "eth0,10.0.0.1,5,mtu=1400", "--mtu", "1400"], "the MTU is given twice"],
  [["-n", "a,x", "-V", "eth0,4095"], "a VLAN is a number from 1 to 4094"],
  [["-n", "a,x", "-M", "eth0,source"], "a mode is bridge, private, vepa, passthru or default"],
  [["-n", "a,x", "-n", "b,x", "--mtu", "67"], "expected a number from 68 to 65535"],
  [["-n", "a,x", "-n", "b,x", "--mtu", "1400", "--mtu", "1400"], "--mtu may be given only once"],
  [["--delete"], "expected: pair --delete -n NETNS,LINK"],
  [["--delete", "-n", "a,x,10.0.0.1/24"], "expected: pair --delete -n NETNS,LINK"],
  [["-D", "web,x", "-x", "eth0,10.0.0.1,5"], "expected: pair --delete -n NETNS,LINK"],
  [["--vxlann", "x"], "unknown flag --vxlann; did you mean --vxlan?"],
])("S1-23 wrong usage %j: one line, exit code 2, nothing made", async (args, words) => {
  const { exitCode, stdout, stderr } = await unused.host.run([WARREN, "pair", ...args]);
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(words);
  expect(stderr).toMatch(/^Error: .*\n$/);
  expect(stderr.length).toBeLessThan(500);
});
