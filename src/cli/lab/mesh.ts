// `warren lab mesh`: three nodes on one wire, a network of all their pods, and what is on the wire meanwhile. A node comes and
// goes while the others work, a piece is broken and mended, and in the end nothing is left.
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import {
  attachPod,
  CONF_FILES,
  configOf,
  configure,
  demandOnlyTunnel,
  end,
  fileOf,
  type LabPeer,
  labBackend,
  makeNodes,
  type NodeNumber,
  node,
  OUTSIDE,
  on,
  publicKeyIn,
  sayBackend,
} from "./mesh-node.ts";
import { storedMesh } from "./mesh-store.ts";
import { demand, type Stage } from "./stage.ts";
import { play, type Step } from "./story.ts";

const STORY: readonly Step[] = [
  introduce,
  makeNodes,
  bringUp,
  acquaint,
  attach,
  across,
  beyond,
  grow,
  mend,
  (stage) => end(stage, [1, 2, 3]),
  pointOn,
];

/** The public keys, as the nodes have told them. */
const keys = new Map<NodeNumber, string | undefined>();

/** What the configuration of a node says that is told of the others by hand. */
function withPeers(number: NodeNumber, others: readonly NodeNumber[]): object {
  const peers = others.map(
    (other): LabPeer => ({
      ...{ name: `node${other}`, address: `192.0.2.${other}`, publicKey: keys.get(other) },
      nodeCIDRs: [`10.244.${other}.0/24`],
    }),
  );
  return {
    ...configOf(number),
    nodeCIDRs: [`10.244.${number}.0/24`],
    ...(peers.length === 0 ? {} : { peers }),
  };
}

function introduce(stage: Stage): void {
  stage.title("mesh: one network of many nodes");
  stage.say(`A node's pods are on a bridge. To reach those of another node their packets have to go by the network between
    the nodes, which knows nothing of pods. So each node has a tunnel: a device that puts them into UDP packets to the
    node whose pods they are for.`);
  sayBackend(stage, labBackend());
}

async function bringUp(stage: Stage): Promise<void> {
  stage.begin("Two nodes of a mesh");
  stage.say(`The network of all pods is 10.244.0.0/16, and each node has a block of it. The namespace of the tunnel is called wg
    otherwise; here three of them are in one folder.`);
  configure(stage, fileOf(1), withPeers(1, []));
  await stage.show(node(1, "up"));
  stage.say(`Each line is a piece that was missing. The conflist came last: when a ping had gone over the bridge and into the
    namespace of the tunnel. A second call finds all in place, and does nothing.`);
  const { stdout } = await stage.show(node(1, "up"));
  demand(stdout === "everything of this node is there\n", "that nothing was missing");
  configure(stage, fileOf(2), withPeers(2, []));
  await stage.show(node(2, "up"));
}

async function acquaint(stage: Stage): Promise<void> {
  stage.begin("They get to know each other");
  for (const number of [1, 2] as const)
    keys.set(number, publicKeyIn((await stage.show(node(number, "show"))).stdout));
  for (const [number, other] of [
    [1, 2],
    [2, 1],
  ] as const) {
    configure(stage, fileOf(number), withPeers(number, [other]));
    const { stdout } = await stage.show(node(number, "sync"));
    demand(stdout === `added peer node${other}\n`, `node${other} as a new peer`);
  }
  const { stdout } = await stage.show(node(1, "show"));
  demand(/^node2 .* known/m.test(stdout), "a peer that the tunnel knows");
}

async function attach(stage: Stage): Promise<void> {
  stage.begin("Pods come, each on its node");
  stage.say(`The list that "up" wrote is all that a runtime needs. The first address of a block is the bridge's, the second
    that of the tunnel's namespace: the first pod has the third.`);
  await stage.show("warren lab netns pod1 pod2");
  for (const number of [1, 2] as const) {
    await attachPod(stage, number, `10.244.${number}.3/24`);
  }
  const { stdout } = await stage.show("warren lab interfaces pod1");
  demand(stdout.includes(` ${labBackend().mtu} `), "the MTU that the tunnel leaves of 1500 bytes");
}

async function across(stage: Stage): Promise<void> {
  stage.begin("Across the wire");
  stage.say(`A pod of one node asks one of the other, and every frame at the first node's interface to the wire is counted
    meanwhile.`);
  const backend = labBackend();
  const watch = "warren lab wire node1 eth0 --";
  const { stdout } = await stage.show(`${watch} warren lab ping 10.244.2.3 --from pod1 --count 5`);
  demandOnlyTunnel(stdout, backend);
  stage.confirm(`on the wire there is only UDP between the nodes, to port ${backend.port}`);
  const largest = backend.mtu - 28;
  await stage.show(`warren lab ping 10.244.2.3 --from pod1 --count 1 --bytes ${largest} --whole`);
  const { stderr } = await stage.show(
    `warren lab ping 10.244.2.3 --from pod1 --count 1 --bytes ${largest + 2} --whole`,
    1,
  );
  demand(stderr.includes("too long"), "an error about the packet's length");
  stage.confirm("the MTU of the pods is what really passes");
}

async function beyond(stage: Stage): Promise<void> {
  stage.begin("And beyond the mesh");
  stage.say("What a pod sends to the world has the address of its node, which the world knows the way to.");
  const watch = "warren lab wire node1 eth0 --";
  const { stdout } = await stage.show(`${watch} warren lab ping ${OUTSIDE} --from pod1 --count 3`);
  demand(/ICMP +192\.0\.2\.1 +192\.0\.2\.254/.test(stdout), "packets from the node's own address");
  stage.confirm("masqueraded beyond the cluster, and not within");
}

async function grow(stage: Stage): Promise<void> {
  stage.begin("A third node comes, and goes");
  configure(stage, fileOf(3), withPeers(3, []));
  await stage.show(node(3, "up"));
  keys.set(3, publicKeyIn((await stage.show(node(3, "show"))).stdout));
  configure(stage, fileOf(3), withPeers(3, [1, 2]));
  await stage.show(node(3, "sync"));
  configure(stage, fileOf(1), withPeers(1, [2, 3]));
  const added = await stage.show(node(1, "sync"));
  demand(added.stdout === "added peer node3\nleft 1 peer as it was\n", "that node2 was left alone");
  await stage.show("warren lab netns pod3");
  await attachPod(stage, 3, "10.244.3.3/24");
  await stage.show("warren lab ping 10.244.3.3 --from pod1");
  stage.confirm("the new node is reached, and the others noticed nothing");
  configure(stage, fileOf(1), withPeers(1, [2]));
  const removed = await stage.show(node(1, "sync"));
  demand(/^removed peer .*\nleft 1 peer as it was\n$/.test(removed.stdout), "that only node3 went");
  await stage.show("warren lab ping 10.244.3.3 --from pod1 --count 1", 1);
  await stage.show("warren lab ping 10.244.2.3 --from pod1");
  stage.confirm("gone, and again the others noticed nothing");
}

async function mend(stage: Stage): Promise<void> {
  stage.begin("Something breaks");
  stage.say(
    "The namespace of the tunnel goes, with all that is in it. STATUS knows, so that no pod is sent here.",
  );
  await stage.show("warren lab netns --delete wg1");
  await stage.show(node(1, "show"), 1);
  const status = await stage.show(on(1, "status mesh --cni-conf-dir /run/lab/node1/net.d"), 1);
  demand((status.stdout + status.stderr).includes("warren node up"), "the cure");
  const { stdout } = await stage.show(node(1, "up"));
  demand(
    !stdout.includes("bridge") && stdout.includes("made namespace wg1"),
    "that only what was gone was made",
  );
  await stage.show("warren lab ping 10.244.2.3 --from pod1");
  await stage.show(on(1, "status mesh --cni-conf-dir /run/lab/node1/net.d"));
  stage.confirm("mended, and the pods that were there have their network again");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/mesh.md       the configuration, what is made, and what to look at when pods don't reach each other
  warren lab poc     the same by its smallest parts: one node, two pods and a remote end

`);
}

const NAME = "mesh";

export const command = operatorCommand({
  name: NAME,
  description: "Three nodes, a tunnel between them, and what is on the wire",
  args: {
    store: {
      type: "string",
      valueHint: "postgres",
      description:
        "Have the nodes find each other in a PostgreSQL server of the lab's own, with a daemon on each",
    },
  },
  run({ args: { store } }) {
    if (store === undefined) return play([NAME], { confFiles: CONF_FILES, steps: STORY });
    if (store === "postgres") return play([NAME, "--store", store], storedMesh());
    throw new UsageError(`unknown store ${JSON.stringify(store)}; known is postgres`);
  },
});
