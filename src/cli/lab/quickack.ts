// `warren lab quickack`: 40 ms that come from nowhere. A client talks to two servers that differ in one attribute of their
// routes; with one of them every request stalls, and packets are not to blame.
import { readFileSync } from "node:fs";
import conflist from "../../../conf/lab-quickack.conflist" with { type: "text" };
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandNothingLeft, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "ack";
const ROUNDS = 20;
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };

const STORY: readonly Step[] = [introduce, createPods, ping, stall, cure, remove, pointOn];

function introduce(stage: Stage): void {
  stage.title("quickack: 40 ms that come from nowhere");
  stage.say(`A client sends a request in two small pieces, a header and a body say, and waits for the answer.
    Its own kernel holds the second piece back until the first one is acknowledged: many small packets
    are a waste (Nagle's algorithm). The server's kernel waits with that acknowledgement, for 40 ms, in case
    the server says something that it can travel with (delayed acknowledgement). But the server says
    nothing, because it has only half of a request. Each waits for the other.`);
  stage.say(`Here a network takes a pod's annotation and sets an attribute of the pod's routes, by which its
    kernel acknowledges at once. It is a private network inside this machine that vanishes when the lab
    ends.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function createPods(stage: Stage): Promise<void> {
  stage.begin("A client and two servers");
  await stage.show(`warren pod create client --net ${NAME}`);
  await stage.show(`warren pod create patient --net ${NAME}`);
  await stage.show(`warren pod create quick --net ${NAME} --annotation enable-quickack=true`);
}

async function ping(stage: Stage): Promise<void> {
  stage.begin("The network is fast");
  stage.say(`Packets to the first server and back take a fraction of a millisecond, and none is lost.`);
  const { stdout } = await stage.show("warren probe client patient --only latency");
  demand(/^loss +both +0 of \d+ /m.test(stdout), "no loss");
}

async function stall(stage: Stage): Promise<void> {
  stage.begin("And yet it is slow");
  stage.say(`Rounds of write, write, read: the client sends two pieces of 100 bytes, the server answers when it
    has both.`);
  const { stdout } = await stage.show(`warren probe client patient --only stall --count ${ROUNDS}`);
  const stalled = stalledRounds(stdout);
  // the kernel acknowledges the first packets of a connection at once, and a busy machine is none of the story
  demand(stalled >= ROUNDS / 2, `most of ${ROUNDS} rounds to stall, not ${stalled}`);
  stage.confirm(`${stalled} of ${ROUNDS} rounds took the 40 ms that the server's kernel waits`);
}

async function cure(stage: Stage): Promise<void> {
  stage.begin("The cure");
  stage.say(`The same client, the same rounds, to the server whose pod has the annotation.`);
  const { stdout } = await stage.show(`warren probe client quick --only stall --count ${ROUNDS}`);
  const stalled = stalledRounds(stdout);
  demand(stalled <= ROUNDS / 4, `hardly a round to stall, not ${stalled} of ${ROUNDS}`);
  stage.confirm(`${ROUNDS - stalled} of ${ROUNDS} rounds went through without a wait`);
  stage.say(`The better cure is in the client: to write once, or to set TCP_NODELAY. This one is for clients that
    nobody can change.`);
}

function stalledRounds(report: string): number {
  const [, stalled] = /^stalls +there +(\d+) of \d+ rounds$/m.exec(report) ?? [];
  demand(stalled !== undefined, "the number of rounds that stalled");
  return Number(stalled);
}

async function remove(stage: Stage): Promise<void> {
  stage.begin("The pods go, and nothing is left");
  await stage.show("warren pod rm client patient quick");
  await demandNothingLeft(stage, NAME);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/quickack.md         which routes are changed, and what each verb does
  conf/quickack.conflist   a network with it, to start your own from
  docs/probe.md            what else "warren probe" measures
  warren lab shaping       another lab: limits, and what they look like

`);
}

export const command = labCommand({
  name: "quickack",
  description: "See a connection stall for 40 ms in each round, and the annotation that cures it",
  confFiles: [CONF_FILE],
  steps: STORY,
});
