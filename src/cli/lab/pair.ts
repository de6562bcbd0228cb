// `warren lab pair`: two pods get a private link because their labels ask for it, whoever of them comes first, and get it
// again when one of them is restarted. Others are none the wiser.
import { readdirSync, readFileSync } from "node:fs";
import conflist from "../../../conf/lab-pair.conflist" with { type: "text" };
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "pair";
const NETWORK = "wires";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NETWORK}.conflist`, text: conflist };
const IN1 = "192.168.2.100";
const IN2 = "192.168.2.101";

const PRIMARY_LABELS = [
  "ratchet=true",
  "ratchet.pod_name=primary",
  "ratchet.primary=true",
  `ratchet.local_ip=${IN1}`,
  "ratchet.local_ifname=in1",
  "ratchet.pair_name=pair",
  `ratchet.pair_ip=${IN2}`,
  "ratchet.pair_ifname=in2",
];
const PAIR_LABELS = ["ratchet=true", "ratchet.pod_name=pair", "ratchet.primary=false"];

const STORY: readonly Step[] = [introduce, addPrimary, addPair, sendPackets, restart, handOn, del, pointOn];

function introduce(stage: Stage): void {
  stage.title("pair: two pods wired to each other");
  stage.say(`Some pods need a wire of their own to another one: a router to its neighbour, a database to its
    standby. The plugin "pair" gives it to those whose labels ask for it. Everybody else is handed on to the
    delegate, here a bridge.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

function create(pod: string, labels: readonly string[]): string {
  const flags = labels.map((label) => `--label ${label}`).join(" ");
  return `warren pod create ${pod} --net ${NETWORK}${flags === "" ? "" : ` ${flags}`}`;
}

async function addPrimary(stage: Stage): Promise<void> {
  stage.begin("The first pod comes, and does not wait");
  stage.say(`The labels of one of the two say all about the link: both names, both interfaces, both addresses.
    That one is the primary.`);
  const { stderr } = await stage.show(create("primary", PRIMARY_LABELS));
  demand(stderr.includes('pod "pair" is not there yet'), "a line that says that the link is pending");
  const { stdout } = await stage.show("warren links");
  demand(/ waiting .*waits for "pair"$/m.test(stdout), 'a link that waits for "pair"');
  stage.confirm("the pod is up, and its link is in the store; no process waits for the other pod");
}

async function addPair(stage: Stage): Promise<void> {
  stage.begin("The second pod comes, and both have the link");
  stage.say(`The other one says only who it is. Its ADD makes both ends at once, each born in its pod.`);
  await stage.show(create("pair", PAIR_LABELS));
  await demandLink(stage);
  stage.confirm("both interfaces are there, and are up");
}

async function demandLink(stage: Stage): Promise<void> {
  const { stdout } = await stage.show("warren links");
  demand(/ up +veth/.test(stdout), "a link that is up");
  const primary = await stage.show("warren lab interfaces primary");
  demand(primary.stdout.includes(`${IN1}/24`), `in1 with ${IN1}`);
  const pair = await stage.show("warren lab interfaces pair");
  demand(pair.stdout.includes(`${IN2}/24`), `in2 with ${IN2}`);
}

async function sendPackets(stage: Stage): Promise<void> {
  stage.begin("Five packets each way");
  // the command fails at the first question without an answer
  await stage.show(`warren lab ping ${IN2} --from primary --count 5`);
  stage.confirm(`5/5 replies from ${IN2}`);
  await stage.show(`warren lab ping ${IN1} --from pair --count 5`);
  stage.confirm(`5/5 replies from ${IN1}`);
}

async function restart(stage: Stage): Promise<void> {
  stage.begin("One of the two is restarted");
  stage.say(`With the pair its end goes, and with that the other end. The primary's pod lives on, its link waits
    again, and the next pod of that name gets it: another container, in another namespace.`);
  await stage.show("warren pod rm pair");
  const { stdout } = await stage.show("warren links");
  demand(stdout.includes("waiting"), "a link that waits again");
  await stage.show(create("pair", PAIR_LABELS));
  await demandLink(stage);
  await stage.show(`warren lab ping ${IN2} --from primary --count 5`);
  stage.confirm("the new pod is linked to the old one");
}

async function handOn(stage: Stage): Promise<void> {
  stage.begin("A pod without the label");
  await stage.show(create("other", []));
  const { stdout } = await stage.show("warren lab interfaces other");
  demand(/^eth0 .*10\.22\.0\.\d+\/16$/m.test(stdout), "eth0 on the bridge");
  stage.confirm("it is on the bridge, as if there were no other plugin");
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL, and nothing is left");
  await stage.show("warren pod rm --all");
  demand((await stage.show("warren links")).stdout === "no links\n", "no link");
  demand((await stage.show("warren leases")).stdout === "no leases\n", "no lease");
  const left = await stage.show(`warren lab inventory ${NETWORK}`);
  demand(/^interfaces: {2}lo, lab0$/m.test(left.stdout), "nothing but lo and the bridge");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left but the bridge, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/pair.md            every label and key, and what each verb does
  conf/pair.conflist      a network whose pods may have links, to start your own from
  warren lab chain        four pods in a row, and routes from one end to the other
  warren lab two-nodes    the same link between two nodes

`);
}

export const command = labCommand({
  name: NAME,
  description: "Wire two pods to each other by their labels, in any order",
  confFiles: [CONF_FILE],
  steps: STORY,
});
