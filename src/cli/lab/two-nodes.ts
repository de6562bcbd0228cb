// `warren lab two-nodes`: a link between pods of two nodes. Each node is a namespace of its own, with a store of its own and
// one wire between them, and hears of the other's pod by an announcement. How large a packet may be is shown by packets.
import { readdirSync, readFileSync } from "node:fs";
import first from "../../../conf/lab-two-nodes-1.conflist" with { type: "text" };
import second from "../../../conf/lab-two-nodes-2.conflist" with { type: "text" };
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import type { ConfFile } from "./sandbox.ts";
import { demand, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "two-nodes";
const CONF_FILES: readonly ConfFile[] = [
  { path: `/run/lab/node1/net.d/10-node1.conflist`, text: first },
  { path: `/run/lab/node2/net.d/10-node2.conflist`, text: second },
];
const UNDERLAY = { node1: "10.0.0.1", node2: "10.0.0.2" } as const;
const [IN1, IN2] = ["192.168.2.100", "192.168.2.101"];
/** What the wire's 1500 bytes leave, without 20 bytes of IP and 8 of ICMP. */
const LARGEST = 1450 - 28;

type Node = keyof typeof UNDERLAY;

const STORY: readonly Step[] = [introduce, makeNodes, announce, add, lookAt, measure, del, pointOn];

/** Returns the command line as it is called on a node, with that node's configs. */
function on(node: Node, line: string): string {
  return `warren enter ${node} -- warren ${line} --cni-conf-dir /run/lab/${node}/net.d`;
}

function introduce(stage: Stage): void {
  stage.title("two-nodes: a link between pods of two nodes");
  stage.say(`Where two pods are on different nodes no pair of interfaces can tie them. Each node makes one end
    instead: a vxlan, which puts the pod's frames into UDP packets for the other node. Both ends have the same
    number, the VNI.`);
  stage.say(`A node has to know of the other's pod where it is and what its labels say. No database has to stand
    between them: each is told by "warren announce".`);
}

async function makeNodes(stage: Stage): Promise<void> {
  stage.begin("Two nodes and a wire");
  stage.say(`Two namespaces play the nodes, and the pair between them the network that they are on.`);
  await stage.show("warren lab netns node1 node2 pod1 pod2");
  await stage.show(`warren pair -n node1,eth0,${UNDERLAY.node1}/24 -n node2,eth0,${UNDERLAY.node2}/24`);
  for (const node of ["node1", "node2"] as const) {
    const path = `/run/lab/${node}/net.d/10-${node}.conflist`;
    stage.command(`cat ${path}`);
    stage.output(readFileSync(path, "utf8"));
    await stage.show(on(node, `status ${node}`));
  }
  stage.confirm("each node has a store of its own, and its way to the other is eth0");
}

async function announce(stage: Stage): Promise<void> {
  stage.begin("What a node has to know");
  stage.say(`The first node has the primary, whose labels say all about the link; of the pair it must know where
    it is. The second node must know all about the link, and where the primary is.`);
  const link = `--primary --local-ip ${IN1} --local-ifname in1 --pair-name pair --pair-ip ${IN2} --pair-ifname in2 --vni 11`;
  await stage.show(on("node1", `announce node1 primary ${link}`));
  await stage.show(on("node1", `announce node1 pair --parent-address ${UNDERLAY.node2}`));
  await stage.show(on("node2", `announce node2 primary ${link} --parent-address ${UNDERLAY.node1}`));
  await stage.show(on("node2", "announce node2 pair"));
}

async function add(stage: Stage): Promise<void> {
  stage.begin("The pods come, each on its node");
  await stage.show(`CNI_ARGS=K8S_POD_NAME=primary ${on("node1", "add node1 pod1")}`);
  await stage.show(`CNI_ARGS=K8S_POD_NAME=pair ${on("node2", "add node2 pod2")}`);
  for (const node of ["node1", "node2"] as const) {
    const { stdout } = await stage.show(
      `warren enter ${node} -- warren links --data-dir /run/lab/store-${node}`,
    );
    demand(/ up +vxlan +11$/m.test(stdout), "a vxlan with the VNI 11 that is up");
  }
  stage.confirm("both ends are vxlans with the same number");
}

async function lookAt(stage: Stage): Promise<void> {
  stage.begin("What the pods have");
  for (const [pod, address] of [
    ["pod1", IN1],
    ["pod2", IN2],
  ] as const) {
    const { stdout } = await stage.show(`warren lab interfaces ${pod}`);
    demand(stdout.includes(`1450   ${address}/24`), `${address} on an interface with the MTU 1450`);
  }
  await stage.show(`warren lab ping ${IN2} --from pod1 --count 5`);
  await stage.show(`warren lab ping ${IN1} --from pod2 --count 5`);
  stage.confirm("5/5 replies each way");
}

async function measure(stage: Stage): Promise<void> {
  stage.begin("How large a packet may be");
  stage.say(`A frame of the pods needs 50 bytes more on the wire: for its own header, and those of vxlan, UDP and
    IP. Of the wire's 1500 bytes 1450 are left. Packets that must not be broken into pieces show it: ${LARGEST}
    bytes beside 28 of IP and ICMP pass, and two bytes more don't.`);
  await stage.show(`warren lab ping ${IN2} --from pod1 --count 1 --bytes ${LARGEST} --whole`);
  const { stderr } = await stage.show(
    `warren lab ping ${IN2} --from pod1 --count 1 --bytes ${LARGEST + 2} --whole`,
    1,
  );
  demand(stderr.includes("too long"), "an error about the packet's length");
  stage.confirm("the MTU of the pods is what really passes");
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL, and nothing is left");
  await stage.show(on("node1", "del node1 pod1"));
  await stage.show(on("node2", "del node2 pod2"));
  for (const node of ["node1", "node2"] as const) {
    for (const pod of ["primary", "pair"]) await stage.show(on(node, `announce ${node} ${pod} --remove`));
    const { stdout } = await stage.show(
      `warren enter ${node} -- warren links --data-dir /run/lab/store-${node}`,
    );
    demand(stdout === "no links\n", "no link");
  }
  for (const pod of ["pod1", "pod2"]) {
    const { stdout } = await stage.show(`warren lab inventory node1 --netns ${pod}`);
    demand(stdout === "interfaces:  lo\n", "nothing but lo");
  }
  await stage.show("warren lab netns --delete pod1 pod2 node1 node2");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/pair.md         the other two ways in which nodes get to know of each other's pods
  docs/direct-links.md links tied by hand, such as the wire of this lab
  warren lab chain     four pods in a row on one node

`);
}

export const command = labCommand({
  name: NAME,
  description: "A link between pods of two nodes by vxlan, and what its MTU really is",
  confFiles: CONF_FILES,
  steps: STORY,
});
