// `warren lab latency`: what a bad network feels like. Round trips of a pod are measured, its network is made late and
// uneven, and they are measured again. A kernel without netem can't, and the lab shows how it says so.
import { readFileSync } from "node:fs";
import conflist from "../../../conf/lab-latency.conflist" with { type: "text" };
import { parseAddress } from "../../ip/address.ts";
import { ping } from "../../net/echo.ts";
import { MissingFeatureError } from "../../net/feature.ts";
import { probeImpairment } from "../../net/impairment/netem.ts";
import { NETNS_DIRECTORY, openNetns } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { binned, histogramLines } from "../terminal/plot.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandAddress, demandNothingLeft, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "latency";
const ADDRESS = "192.168.205.1";
const GATEWAY = "192.168.205.254";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };

const ECHOES = 60;
const TIMEOUT_MS = 5000;
const DELAY_MS = 40;
const RULES = `delay=${DELAY_MS}ms jitter=10ms distribution=normal`;

const STORY: readonly Step[] = [introduce, add, measureBefore, impair, lookForTraces, pointOn];

const NARROWEST_BIN_MS = 1;
const MOST_BINS = 12;
/** What fits behind the indent of an output. */
const COLUMNS = 70;

/** Measures round trips from pod1 to the gateway, draws them, and returns the middle one. */
function showRoundTrips(stage: Stage): number {
  const gateway = parseAddress(GATEWAY);
  if (gateway === undefined) throw new Error(`${GATEWAY} is no address`);
  using pod = openNetns(`${NETNS_DIRECTORY}/pod1`);
  const timesMs = ping(pod, gateway, { count: ECHOES, timeoutMs: TIMEOUT_MS });
  const median = timesMs.toSorted((left, right) => left - right)[Math.floor(ECHOES / 2)] ?? 0;
  stage.output(
    `${histogramLines(binned(timesMs, MOST_BINS, NARROWEST_BIN_MS), "ms", COLUMNS).join("\n")}\n${ECHOES} echoes from pod1 to ${GATEWAY}, half of them within ${median.toFixed(2)} ms`,
  );
  return median;
}

function introduce(stage: Stage): void {
  stage.title("latency: what a bad network feels like");
  stage.say(`Between two pods of one machine packets take some hundredths of a millisecond. Between two
    cities they take tens, no two of them the same, and some get lost. A program that was only ever tried
    on one machine does not know that. This lab makes a pod's network late, on a private network inside
    this machine that vanishes when the lab ends.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function add(stage: Stage): Promise<void> {
  stage.begin("ADD: a pod without any delay");
  stage.say(`The second plugin of the chain is for pods that ask to be far away, by the annotation "lat" or
    "netem". This one does not ask, so nothing is made for it.`);
  await stage.show("warren lab netns pod1");
  const { stdout } = await stage.show(`warren add ${NAME} pod1`);
  demandAddress(stdout, `${ADDRESS}/24`);
}

let before = 0;

function measureBefore(stage: Stage): void {
  stage.begin("Before");
  stage.say(`${ECHOES} echoes from the pod to its gateway, one after the other, and how long they took:
    here that is as long as the kernel takes to hand a packet from one hand to the other.\n`);
  writeStdout("\n");
  before = showRoundTrips(stage);
}

function hasNetem(): boolean {
  try {
    probeImpairment({ ingress: false, peers: false });
    return true;
  } catch (error) {
    if (error instanceof MissingFeatureError) return false;
    throw error;
  }
}

async function impair(stage: Stage): Promise<void> {
  stage.begin("The pod moves far away");
  if (!hasNetem()) {
    stage.say(`It can't, here: this kernel has no netem (sch_netem), the part that holds packets up. Warren
      says so and changes nothing. The network is ready all the same, because its config says "onMissing":
      "ignore"; without that, STATUS would give the same reason.`);
    const refused = await stage.show(`warren impair pod1 ${RULES}`, 1);
    demand(refused.stderr.includes("the kernel has no netem"), "the reason");
    const listed = await stage.show("warren impair --list");
    demand(listed.stdout === "no container is impaired\n", "no impairment");
    stage.confirm("nothing was impaired; on a kernel with netem this lab shows a histogram here");
    return;
  }
  stage.say(`A container that runs can be impaired at any time. What it sends will wait ${DELAY_MS} ms, more
    or less, spread as nature spreads things:`);
  await stage.show(`warren impair pod1 ${RULES}`);
  writeStdout("\n");
  const after = showRoundTrips(stage);
  demand(after - before >= DELAY_MS / 2, `round trips that take about ${DELAY_MS} ms longer`);
  stage.confirm("the same echoes, and a curve where there was a wall");
  stage.begin("And back");
  await stage.show("warren impair pod1 --clear");
  writeStdout("\n");
  const again = showRoundTrips(stage);
  demand(again < after, "round trips as short as before");
  stage.confirm("as it was");
}

async function lookForTraces(stage: Stage): Promise<void> {
  stage.begin("Nothing is left");
  await stage.show(`warren del ${NAME} pod1`);
  await stage.show("warren lab netns --delete pod1");
  await demandNothingLeft(stage, NAME);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/netem.md          losses, duplicates, rates, one peer alone, and for how long
  conf/netem.conflist    a network that is bad for all its pods, to start your own from
  warren help impair     all that can be said to a container that runs

`);
}

export const command = labCommand({
  name: "latency",
  description: "Measure a pod's round trips, make its network late, and measure again",
  confFiles: [CONF_FILE],
  steps: STORY,
});
