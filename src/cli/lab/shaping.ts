// `warren lab shaping`: a pod is limited by its annotations, and one sees what that does to a connection, and to packets
// that nobody slows down.
import { readFileSync } from "node:fs";
import conflist from "../../../conf/lab-shaping.conflist" with { type: "text" };
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandNothingLeft, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "shaped";
const INGRESS_MBIT = 20;
const EGRESS_MBIT = 5;
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };

const STORY: readonly Step[] = [introduce, measureFree, measureLimited, flood, remove, pointOn];

function introduce(stage: Stage): void {
  stage.title("shaping: limits, and what they look like");
  stage.say(`Pods share a machine's network, and one that takes all of it leaves nothing to the others. So
    Kubernetes has annotations for how much a pod may receive and send. What it receives is held up at the
    host's end of its pair of interfaces, by a bucket of tokens that fills at the given rate; what it sends
    takes a detour through a device with a bucket of its own. The pod can change neither.`);
  stage.say(`All of it happens on a private network inside this machine that vanishes when the lab ends.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function measureFree(stage: Stage): Promise<void> {
  stage.begin("Without a limit");
  await stage.show(`warren pod create free --net ${NAME}`);
  stage.say(`As much as TCP gets from the host to the pod, and back: as much as this machine can.`);
  const { stdout } = await stage.show("warren probe host free --only tcp");
  for (const way of ["there", "back"] as const) {
    const mbit = tcpMbit(stdout, way);
    demand(mbit > 5 * INGRESS_MBIT, `more than ${5 * INGRESS_MBIT} Mbit/s ${way}, not ${mbit}`);
  }
}

async function measureLimited(stage: Stage): Promise<void> {
  stage.begin("With a limit for each direction");
  await stage.show(
    `warren pod create web --net ${NAME} --annotation kubernetes.io/ingress-bandwidth=${INGRESS_MBIT}M --annotation kubernetes.io/egress-bandwidth=${EGRESS_MBIT}M`,
  );
  stage.say(`At first the bucket is full, and a burst goes through. Then tokens come at the rate of the limit,
    and TCP finds it: not smoothly, but on the whole.`);
  const { stdout } = await stage.show("warren probe host web --only tcp --seconds 2 --run-in 0.5");
  for (const [way, limit] of [
    ["there", INGRESS_MBIT],
    ["back", EGRESS_MBIT],
  ] as const) {
    const mbit = tcpMbit(stdout, way);
    // what is counted is content, and the limit is for packets with their headers
    demand(mbit > 0.8 * limit && mbit < 1.1 * limit, `about ${limit} Mbit/s ${way}, not ${mbit}`);
  }
  stage.confirm(
    `${INGRESS_MBIT} Mbit/s to the pod and ${EGRESS_MBIT} from it, less what the packets' headers take`,
  );
}

async function flood(stage: Stage): Promise<void> {
  stage.begin("Who does not slow down loses");
  stage.say(`TCP slows down until it fits. UDP knows nothing of that: here twice as much is sent to the pod as it
    may receive, and what does not fit into the queue is dropped.`);
  const { stdout } = await stage.show(`warren probe host web --only udp --rate ${2 * INGRESS_MBIT}M`);
  const [, lost = "0"] = /^UDP +there .*, ([\d.]+) % lost/m.exec(stdout) ?? [];
  demand(Number(lost) > 25, `about half of the packets to be lost, not ${lost} %`);
  stage.confirm(`${lost} % of the packets to the pod are lost`);
}

/** Returns the rate of a row of the report in Mbit/s. */
function tcpMbit(report: string, way: "there" | "back"): number {
  const [, number, unit = ""] = new RegExp(`^TCP +${way} +([\\d.]+) ([kMG])bit/s`, "m").exec(report) ?? [];
  demand(number !== undefined, `the throughput ${way}`);
  return Number(number) * ({ k: 0.001, M: 1, G: 1000 }[unit] ?? 0);
}

async function remove(stage: Stage): Promise<void> {
  stage.begin("The pods go, and nothing is left");
  await stage.show("warren pod rm free web");
  await demandNothingLeft(stage, NAME);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/bandwidth.md         every setting, and which of several sources counts
  conf/bandwidth.conflist   a network with limits, to start your own from
  docs/probe.md             what else "warren probe" measures
  warren lab quickack       another lab: 40 ms that come from nowhere

`);
}

export const command = labCommand({
  name: "shaping",
  description: "Limit what a pod receives and sends by its annotations, and see what TCP and UDP make of it",
  confFiles: [CONF_FILE],
  steps: STORY,
});
