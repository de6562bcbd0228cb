// `warren lab chain`: four pods in a row with three links between them, of which the two in the middle route. Routes come
// from the network's config, and packets go from one end to the other.
import { readdirSync, readFileSync } from "node:fs";
import conflist from "../../../conf/lab-chain.conflist" with { type: "text" };
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "chain";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };
const [FIRST, LAST] = ["1.1.1.1", "4.4.4.4"];

/** Each pod is the primary of the link to the next one; the last one is a pair and no more. */
const PODS: readonly (readonly [name: string, labels: readonly string[]])[] = [
  ["left", link("router1", "in1", `10.0.1.1/24,${FIRST}/32`, "in2", "10.0.1.2/24")],
  ["router1", link("router2", "mid1", "10.0.2.1/24", "mid2", "10.0.2.2/24")],
  ["router2", link("right", "out1", "10.0.3.1/24", "out2", `10.0.3.2/24,${LAST}/32`)],
  ["right", []],
];

const STORY: readonly Step[] = [introduce, addAll, sendPackets, breakOne, del, pointOn];

function link(pair: string, own: string, ownAddress: string, other: string, otherAddress: string): string[] {
  return [
    "warren.pair.primary=true",
    `warren.pair.pair_name=${pair}`,
    `warren.pair.local_ifname=${own}`,
    `warren.pair.local_ip=${ownAddress}`,
    `warren.pair.pair_ifname=${other}`,
    `warren.pair.pair_ip=${otherAddress}`,
  ];
}

function create(pod: string, labels: readonly string[]): string {
  const all = ["warren.pair=true", `warren.pair.pod_name=${pod}`, ...labels];
  return `warren pod create ${pod} --net ${NAME} ${all.map((label) => `--label ${label}`).join(" ")}`;
}

function introduce(stage: Stage): void {
  stage.title("chain: four pods in a row");
  stage.say(`A pod may have several links. Here the two in the middle have two each: they are the pair of the
    one before them and the primary of the one behind them. They forward, and the routes of each pod are in
    the network's config; each goes by the link that its gateway is on.`);
  stage.output(`left ------------ router1 ------------ router2 ------------ right
1.1.1.1                                                  4.4.4.4
     in1      in2         mid1    mid2         out1    out2
      10.0.1.0/24          10.0.2.0/24          10.0.3.0/24`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function addAll(stage: Stage): Promise<void> {
  stage.begin("Four pods come, the last one first");
  for (const [name, labels] of PODS.toReversed()) await stage.show(create(name, labels));
  const { stdout } = await stage.show("warren links");
  demand((stdout.match(/ up +veth/g) ?? []).length === 3, "three links that are up");
  const router = await stage.show("warren lab interfaces router1");
  demand(/^in2 /m.test(router.stdout) && /^mid1 /m.test(router.stdout), "in2 and mid1 in router1");
  stage.confirm("three links, of which router1 and router2 have two each");
}

async function sendPackets(stage: Stage): Promise<void> {
  stage.begin("From one end to the other");
  await stage.show(`warren lab ping ${LAST} --from left --source ${FIRST} --count 5`);
  stage.confirm(`${FIRST} reaches ${LAST}: 5/5 replies`);
  await stage.show(`warren lab ping ${FIRST} --from right --source ${LAST} --count 5`);
  stage.confirm(`${LAST} reaches ${FIRST}: 5/5 replies`);
}

async function breakOne(stage: Stage): Promise<void> {
  stage.begin("A pod in the middle goes and comes");
  const [name, labels] = PODS[1] ?? ["", []];
  await stage.show(`warren pod rm ${name}`);
  const { stdout } = await stage.show("warren links");
  demand(stdout.includes(`waits for "${name}"`), `a link that waits for ${name}`);
  await stage.show(`warren lab ping ${LAST} --from left --count 1`, 1);
  await stage.show(create(name, labels));
  await stage.show(`warren lab ping ${LAST} --from left --source ${FIRST} --count 5`);
  stage.confirm("with its links its neighbours' routes came back, too");
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL, and nothing is left");
  await stage.show("warren pod rm --all");
  demand((await stage.show("warren links")).stdout === "no links\n", "no link");
  demand((await stage.show("warren leases")).stdout === "no leases\n", "no lease");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/pair.md            every label and key, and what each verb does
  warren lab two-nodes    a link between two nodes

`);
}

export const command = labCommand({
  name: NAME,
  description: "Four pods in a row, three links, and routes from one end to the other",
  confFiles: [CONF_FILE],
  steps: STORY,
});
