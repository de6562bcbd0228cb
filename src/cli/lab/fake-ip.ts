// `warren lab fake-ip`: what a runtime knows of a pod's address is what the last plugin said, and nothing else. A plugin
// says something else than what is so, and packets don't care.
import { readFileSync } from "node:fs";
import conflist from "../../../conf/lab-fake-ip.conflist" with { type: "text" };
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandAddress, demandNothingLeft, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "fake-ip";
const REPORTED = "1.2.3.4";
const REAL = "10.202.0.1";
const GATEWAY = "10.202.0.254";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };

const STORY: readonly Step[] = [introduce, add, reveal, sendPackets, del, pointOn];

function introduce(stage: Stage): void {
  stage.title("fake-ip: what a runtime is told, and what is so");
  stage.say(`When a pod is added to a network, the plugins give it an interface and an address, and the last
    of them tells the runtime in its result which one. The runtime believes it: that is the address that
    "kubectl get pod" shows. Nobody compares it with the pod.`);
  stage.say(`Here a plugin stands behind the bridge and reports an address that it made up. All of it
    happens on a private network inside this machine that vanishes when the lab ends.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function add(stage: Stage): Promise<void> {
  stage.begin("ADD: the runtime is told");
  await stage.show("warren lab netns pod1");
  const { stdout } = await stage.show(`warren add ${NAME} pod1`);
  demandAddress(stdout, `${REPORTED}/24`);
  stage.confirm(`the runtime takes ${REPORTED} for the pod's address`);
}

async function reveal(stage: Stage): Promise<void> {
  stage.begin("Both side by side");
  stage.say(`"warren reveal" reads what the runtime remembers, looks into the pod, and shows both.`);
  const { stdout } = await stage.show("warren reveal pod1");
  demand(stdout.includes(`${REPORTED}/24`) && stdout.includes(`${REAL}/24`), "both addresses");
  demand(/ differs$/m.test(stdout), 'the verdict "differs"');
  stage.confirm(`the pod has ${REAL}`);
}

async function sendPackets(stage: Stage): Promise<void> {
  stage.begin("Packets go by what is so");
  stage.say(`From the pod to its gateway, and from the host to the pod's real address: both answer.`);
  await stage.show(`warren lab ping ${GATEWAY} --from pod1`);
  await stage.show(`warren lab ping ${REAL}`);
  stage.say(`The reported address leads nowhere. A service or a probe that goes by the runtime's word would
    not reach this pod.`);
  const lost = await stage.show(`warren lab ping ${REPORTED} --count 1`, 1);
  demand(lost.stderr.includes(REPORTED), "an error that names the reported address");
  stage.confirm(`${REAL} answers, ${REPORTED} does not`);
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL, and nothing is left");
  await stage.show(`warren del ${NAME} pod1`);
  await stage.show("warren lab netns --delete pod1");
  await demandNothingLeft(stage, NAME);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/rewrite.md         every setting: an address of its own for each pod, out of a pool
  conf/rewrite.conflist   a network that reports made-up addresses, to start your own from
  warren lab trace        another lab: what a runtime says to plugins, word by word

`);
}

export const command = labCommand({
  name: "fake-ip",
  description: "Report an address that a pod does not have, and see what packets make of it",
  confFiles: [CONF_FILE],
  steps: STORY,
});
