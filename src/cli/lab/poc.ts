// `warren lab poc`: the smallest mesh, with the numbers of the design that it goes back to: one node, which is this machine,
// two pods, and a remote end with one address. Four pings, and everything is as it was before.
import { readdirSync, readFileSync } from "node:fs";
import { listClusterMasquerade } from "../../net/masquerade.ts";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { configure, labBackend, OTHER_LINES, publicKeyIn, sayBackend } from "./mesh-node.ts";
import { demand, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const LOCAL = "/run/lab/poc/local.json";
const REMOTE = "/run/lab/poc/remote.json";
const CLUSTER = { clusterCIDRs: ["10.11.0.0/16"] };
const PORTS = { local: 28_384, remote: 28_283 } as const;
const INTERNET = "198.51.100.2";

const STORY: readonly Step[] = [introduce, surroundings, local, remote, pods, ping, end, pointOn];

/** What this machine has that a mesh could leave: interfaces, namespaces, rules, forwarding. */
function remains(): string {
  const [, , ...lines] = readFileSync("/proc/thread-self/net/dev", "utf8").trimEnd().split("\n");
  const interfaces = lines.map((line) => line.slice(0, line.indexOf(":")).trim()).sort();
  const routes = readFileSync("/proc/thread-self/net/route", "utf8").trimEnd().split("\n").length - 1;
  const forwards = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() === "1";
  return [
    `interfaces:  ${interfaces.join(", ")}`,
    `namespaces:  ${readdirSync(NETNS_DIRECTORY).sort().join(", ") || "none"}`,
    `nft chains:  ${listClusterMasquerade("poc").join(", ") || "none"}`,
    `routes:      ${routes}`,
    `forwarding:  ${forwards ? "on" : "off"}`,
  ].join("\n");
}

let before = "";

function introduce(stage: Stage): void {
  stage.title("poc: the smallest mesh");
  stage.say(`One node, which is this machine, with the block 10.11.12.0/24 of the cluster 10.11.0.0/16; two pods on it, .101 and
    .102; and a remote end, with the one address 10.11.77.77.`);
  stage.output(`
   pod1 .101    pod2 .102                         10.11.77.77
      |            |                                   |
   ===+============+====+== br0 10.11.12.1          remote
                        |                              |
       namespace wg  10.11.12.2 == tunnel == 192.0.2.1 :28384
                                             192.0.2.2 :28283`);
  sayBackend(stage, labBackend());
}

async function surroundings(stage: Stage): Promise<void> {
  stage.begin("The world around");
  stage.say(
    `The remote end is at 192.0.2.2, and at ${INTERNET} somebody on the Internet, who knows no way to any pod.`,
  );
  await stage.show("warren lab netns remote internet");
  await stage.show("warren pair -c up0,192.0.2.1/24 -n remote,eth0,192.0.2.2/24");
  await stage.show(`warren pair -c up1,198.51.100.1/24 -n internet,eth0,${INTERNET}/24`);
  before = remains();
  stage.say("So that it can be compared in the end, this is what there is now:");
  stage.output(before);
}

async function local(stage: Stage): Promise<void> {
  stage.begin("This machine's part");
  configure(stage, LOCAL, localConfig(undefined));
  await stage.show(`warren node up --config ${LOCAL}`);
}

function localConfig(peer: { readonly publicKey: string | undefined } | undefined): object {
  const remoteEnd = {
    name: "remote",
    address: "192.0.2.2",
    port: PORTS.remote,
    nodeCIDRs: ["10.11.77.0/24"],
  };
  return {
    ...{ network: "poc", ...CLUSTER, nodeCIDRs: ["10.11.12.0/24"], backend: labBackend().name },
    ...{ address: "192.0.2.1", port: PORTS.local, bridge: "br0", netns: "wg" },
    ...{ keyFile: "/run/lab/poc/local.key", conflist: "/run/lab/net.d/10-poc.conflist" },
    ...(peer === undefined ? {} : { peers: [{ ...remoteEnd, ...peer }] }),
  };
}

function remoteConfig(publicKey: string | undefined): object {
  return {
    ...{ network: "poc-remote", ...CLUSTER, nodeCIDRs: ["10.11.77.0/24"], backend: labBackend().name },
    ...{ address: "192.0.2.2", port: PORTS.remote, bridge: "br0", netns: "wg-remote" },
    ...{ keyFile: "/run/lab/poc/remote.key", conflist: "/run/lab/remote/net.d/10-poc.conflist" },
    peers: [
      { name: "local", address: "192.0.2.1", port: PORTS.local, publicKey, nodeCIDRs: ["10.11.12.0/24"] },
    ],
  };
}

async function remote(stage: Stage): Promise<void> {
  stage.begin("The remote end");
  stage.say("It is a node as well, and knows this machine; then this machine is told of it.");
  const own = await stage.show(`warren node show --config ${LOCAL}`);
  configure(stage, REMOTE, remoteConfig(publicKeyIn(own.stdout)));
  await stage.show(`warren enter remote -- warren node up --config ${REMOTE}`);
  const shown = await stage.show(`warren enter remote -- warren node show --config ${REMOTE}`);
  configure(stage, LOCAL, localConfig({ publicKey: publicKeyIn(shown.stdout) }));
  const { stdout } = await stage.show(`warren node sync --config ${LOCAL}`);
  demand(stdout === "added peer remote\n", "the remote end as a peer");
}

async function pods(stage: Stage): Promise<void> {
  stage.begin("Two pods here, one there");
  await stage.show("warren lab netns pod1 pod2 far");
  for (const [pod, last] of [
    ["pod1", 101],
    ["pod2", 102],
  ] as const) {
    await stage.showAddress(
      `CNI_ARGS=IP=10.11.12.${last} warren add poc ${pod}`,
      `10.11.12.${last}/24`,
      OTHER_LINES,
    );
  }
  await stage.showAddress(
    "CNI_ARGS=IP=10.11.77.77 warren enter remote -- warren add poc-remote far --cni-conf-dir /run/lab/remote/net.d",
    "10.11.77.77/24",
    OTHER_LINES,
  );
}

async function ping(stage: Stage): Promise<void> {
  stage.begin("Four pings");
  for (const [what, line] of [
    ["from pod to pod", "10.11.12.102 --from pod1"],
    ["from the node to a pod", "10.11.12.101"],
    ["from a pod to the remote end", "10.11.77.77 --from pod1"],
    ["from a pod to the Internet, under the node's address", `${INTERNET} --from pod2`],
  ] as const) {
    await stage.show(`warren lab ping ${line} --count 3`);
    stage.confirm(what);
  }
}

async function end(stage: Stage): Promise<void> {
  stage.begin("Everything as before");
  for (const pod of ["pod1", "pod2"]) await stage.show(`warren del poc ${pod}`);
  await stage.show("warren enter remote -- warren del poc-remote far --cni-conf-dir /run/lab/remote/net.d");
  await stage.show(`warren enter remote -- warren node down --config ${REMOTE}`);
  await stage.show(`warren node down --config ${LOCAL}`);
  await stage.show("warren lab netns --delete pod1 pod2 far");
  const after = remains();
  stage.output(after);
  demand(after === before, `the same as before the mesh:\n${before}`);
  stage.confirm("interfaces, namespaces, rules, routes and forwarding are as they were");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/mesh.md       the configuration, what is made, and what to look at when pods don't reach each other
  warren lab mesh    three nodes, one of which comes and goes, and what is on the wire

`);
}

export const command = labCommand({
  name: "poc",
  description: "The smallest mesh: one node, two pods, a remote end, four pings",
  confFiles: [],
  steps: STORY,
});
