// What the kernel really answered, with some of its bytes changed: every question that Warren asks is asked once on a
// host that has all that Warren makes, and the answer is then damaged and read again, many times. The outcome has to be
// an answer or a NetlinkError, in time, and must not depend on the bytes around a datagram. What wireguard answered is a
// recording, because not every kernel has it. Run as a program inside a sandbox: `kernel-replies SEED COUNT`.
import fc from "fast-check";
import { dumpAddresses } from "../../src/netlink/address.ts";
import { dumpBridgeVlans } from "../../src/netlink/bridge-port.ts";
import { dumpConnections } from "../../src/netlink/conntrack.ts";
import { getFamilyNumber } from "../../src/netlink/generic.ts";
import { type Family, type Kernel, openKernel } from "../../src/netlink/kernel.ts";
import { dumpLinks, getLink } from "../../src/netlink/link.ts";
import { isNetlinkError } from "../../src/netlink/message.ts";
import { dumpAllChains, dumpChains, dumpRules, getChain, getGeneration } from "../../src/netlink/nftables.ts";
import { dumpElements } from "../../src/netlink/nftables-set.ts";
import { dumpRoutes } from "../../src/netlink/route.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { getDiscipline, Parent } from "../../src/netlink/traffic-control.ts";
import { dumpFilters } from "../../src/netlink/traffic-filter.ts";
import { dumpWireguard, joinedParts } from "../../src/netlink/wireguard.ts";
import { done, fakeKernel } from "../support/fake-kernel.ts";
import { asFirstAnswer, recordedMessages } from "../support/recorded.ts";

const [seed = "0", count = "1000", device = "lo"] = process.argv.slice(2);
const INET = { family: "inet", name: "warren" } as const;
const ROOT = 0xffff_ffff;
const HANG_MS = 30_000;

/** A question to the kernel. */
interface Question {
  readonly name: string;
  readonly family: Family;
  readonly ask: (socket: NetlinkSocket) => unknown;
  /** What was answered another time; else the kernel is asked. */
  readonly answers?: readonly Uint8Array[];
}

function questions(index: number): Question[] {
  const route = (name: string, ask: Question["ask"]): Question => ({ name, family: "route", ask });
  const filter = (name: string, ask: Question["ask"]): Question => ({ name, family: "netfilter", ask });
  return [
    route("links", (socket) => socket.dump(dumpLinks())),
    route("a link", (socket) => socket.get(getLink(device))),
    route("VLANs", (socket) => socket.dump(dumpBridgeVlans())),
    route("addresses", (socket) => socket.dump(dumpAddresses())),
    route("routes", (socket) => socket.dump(dumpRoutes({ family: "ipv4" }))),
    route("discipline", (socket) => socket.get(getDiscipline(index, ROOT))),
    route("filters", (socket) => socket.dump(dumpFilters(index, Parent.ingressFilters))),
    filter("generation", (socket) => socket.get(getGeneration())),
    filter("chains", (socket) => socket.dump(dumpChains(INET))),
    filter("all chains", (socket) => socket.dump(dumpAllChains())),
    filter("a chain", (socket) => socket.get(getChain(INET, "firewall"))),
    filter("rules", (socket) => socket.dump(dumpRules(INET))),
    filter("port maps", (socket) => socket.dump(dumpElements(INET, "portmap-ipv4"))),
    filter("pods", (socket) => socket.dump(dumpElements(INET, "pods-ipv4"))),
    filter("connections", (socket) =>
      socket.dump(dumpConnections({ family: "ipv4", protocol: 17, destinationPort: undefined })),
    ),
    { name: "a family", family: "generic", ask: (socket) => socket.get(getFamilyNumber("nlctrl")) },
    {
      name: "a wireguard device",
      family: "generic",
      ask: (socket) => joinedParts(socket.dump(dumpWireguard(0x20, "wg0"))),
      answers: [...recordedMessages("wireguard-many-read.txt").map(asFirstAnswer), done(1)],
    },
  ];
}

/** Asks the real kernel, and returns the datagrams that it answered with. */
function recorded({ family, ask, answers }: Question): readonly Uint8Array[] {
  if (answers !== undefined) return answers;
  const datagrams: Uint8Array[] = [];
  const kernel = openKernel(family);
  const recorder: Kernel = {
    send: (datagram) => kernel.send(datagram),
    receive: () => {
      const datagram = kernel.receive();
      datagrams.push(datagram.slice());
      return datagram;
    },
    close: () => kernel.close(),
  };
  using socket = new NetlinkSocket(recorder);
  ask(socket);
  return datagrams;
}

const damage = fc.record({
  kind: fc.constantFrom("byte", "byte", "length", "length", "cut", "swap", "drop", "repeat", "insert"),
  datagram: fc.nat(),
  place: fc.nat(),
  value: fc.oneof(fc.constantFrom(0, 1, 3, 4, 5, 0x7fff, 0x8000, 0xfffc, 0xffff), fc.nat(0xffff)),
});
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(datagrams: readonly Uint8Array[], { kind, datagram, place, value }: Damage): Uint8Array[] {
  const all = datagrams.map((one) => one.slice());
  const at = datagram % all.length;
  const chosen = all[at];
  if (chosen === undefined || chosen.length < 2) return all;
  const offset = place % chosen.length;
  if (kind === "byte") chosen[offset] = value & 0xff;
  else if (kind === "length")
    new DataView(chosen.buffer).setUint16(Math.min(offset & ~3, chosen.length - 2), value, true);
  else if (kind === "cut") all[at] = chosen.slice(0, offset);
  else if (kind === "swap") all.reverse();
  else if (kind === "drop") all.splice(at, 1);
  else if (kind === "repeat") all.splice(at, 0, chosen);
  else all[at] = Uint8Array.from([...chosen.subarray(0, offset), value & 0xff, ...chosen.subarray(offset)]);
  return all;
}

/** The datagrams as they lie in a receive buffer, with these bytes around them. */
function surrounded(datagrams: readonly Uint8Array[], around: number): Uint8Array[] {
  return datagrams.map((one) => {
    const buffer = new Uint8Array(one.length + 256).fill(around);
    buffer.set(one, 64);
    return buffer.subarray(64, 64 + one.length);
  });
}

/** Returns the answer, or the error, as text; throws for anything else, and if it takes long. */
function outcome({ ask }: Question, datagrams: readonly Uint8Array[]): string {
  const socket = new NetlinkSocket(fakeKernel((_, turn) => (turn === 0 ? [...datagrams] : [])));
  const beganAtMs = performance.now();
  let text: string;
  try {
    const value = ask(socket);
    text = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}n` : one)) ?? "nothing";
  } catch (error) {
    if (!isNetlinkError(error)) throw error;
    text = `error: ${error.message}`;
  }
  if (performance.now() - beganAtMs > HANG_MS) throw new Error("it hung");
  return text;
}

const index = Number(await Bun.file(`/sys/class/net/${device}/ifindex`).text());
const conversations = questions(index).map((question) => ({ question, datagrams: recorded(question) }));
const silent = conversations
  .filter(({ datagrams }) => datagrams.length === 0)
  .map(({ question }) => question.name);

const result = fc.check(
  fc.property(
    fc.constantFrom(...conversations),
    fc.array(damage, { minLength: 1, maxLength: 4 }),
    ({ question, datagrams }, damages) => {
      let bytes: readonly Uint8Array[] = datagrams;
      for (const one of damages) if (bytes.length > 0) bytes = damaged(bytes, one);
      const [left, right] = [
        outcome(question, surrounded(bytes, 0)),
        outcome(question, surrounded(bytes, 0xff)),
      ];
      if (left !== right) throw new Error(`it depends on what is around:\n${left}\n${right}`);
    },
  ),
  { seed: Number(seed), numRuns: Number(count) },
);
const [failed, damages] = result.counterexample ?? [];
const report =
  failed === undefined
    ? ""
    : `seed ${seed}: ${failed.question.name}, damaged by ${JSON.stringify(damages)}\n${String(result.errorInstance)}`;
await Bun.write(Bun.stdout, JSON.stringify({ runs: result.numRuns, silent, report }));
