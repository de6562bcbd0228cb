// `warren lab trace`: what a runtime says to plugins, word by word. A logger stands in the middle of a chain, and a pod
// comes and goes; then one of the recorded calls is made again.
import { readFileSync } from "node:fs";
import conflist from "../../../conf/lab-trace.conflist" with { type: "text" };
import { parseRecords } from "../../record/call-record.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { containerIdOf } from "../settings.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandAddress, demandNothingLeft, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "traced";
const LOG = "/run/cni-calls.log";
const ADDRESS = "192.168.201.1";
const GATEWAY = "192.168.201.254";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };

/** Returns the verbs of the records that are in the log, in their order. */
function recordedVerbs(): string[] {
  return parseRecords(readFileSync(LOG), LOG).map(({ variables }) => variables.CNI_COMMAND ?? "");
}

function demandRecords(...verbs: readonly string[]): void {
  const found = recordedVerbs();
  demand(Bun.deepEquals(found, verbs), `records of ${verbs.join(", ")}, not ${found.join(", ") || "none"}`);
}

const STORY: readonly Step[] = [introduce, add, readRecord, sendPackets, del, replay, lookForTraces, pointOn];

function introduce(stage: Stage): void {
  stage.title("trace: what a runtime says to plugins");
  stage.say(`A network is mostly the work of several plugins, one behind the other: a chain. The runtime
    starts each of them as a program, tells it in variables what to do, hands it a config on standard
    input, and reads a result from its standard output. The result of one plugin is in the config of the
    next, as "prevResult".`);
  stage.say(`Nobody sees that happen. This lab puts a plugin into the middle that does nothing but write
    it down, on a private network inside this machine that vanishes when the lab ends. The chain: a
    bridge, the logger, and a limit on what a pod may receive.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function add(stage: Stage): Promise<void> {
  stage.begin("ADD: a pod gets its network");
  stage.say(`A pod is, to the network, a network namespace. "warren" plays the runtime and adds it. STATUS
    and other verbs would be recorded as well; this lab keeps to ADD and DEL.`);
  await stage.show("warren lab netns pod1");
  const { stdout } = await stage.show(`warren add ${NAME} pod1`);
  demandAddress(stdout, `${ADDRESS}/24`);
  stage.confirm(`pod1 has ${ADDRESS}`);
}

async function readRecord(stage: Stage): Promise<void> {
  stage.begin("What the logger was told");
  stage.say(`One record, in the layout of CNI's own debug logger: seven lines, the last of them standard
    input just as it came. In it stands the logger's own config, and behind "prevResult" what the bridge
    has answered.`);
  const { stdout } = await stage.show(`cat ${LOG}`);
  demandRecords("ADD");
  demand(stdout.includes(`ContainerID: ${containerIdOf("pod1")}\n`), "the container's id in the record");
  demand(stdout.includes(`"address":"${ADDRESS}/24"`), "the address that the bridge gave, in prevResult");
  await stage.show(`ls -l ${LOG}`);
  stage.confirm("one ADD; and nobody but its owner may read the file, for configs hold secrets");
}

async function sendPackets(stage: Stage): Promise<void> {
  stage.begin("The chain behind it works on");
  stage.say(`The logger passed the result on as it came, so the plugin behind it found the interface that it
    had to shape, and packets go through.`);
  await stage.show(`warren lab ping ${GATEWAY} --from pod1`);
  const { stdout } = await stage.show(`warren show ${containerIdOf("pod1")}`);
  demand(stdout.includes("limit "), "the limit of the bandwidth plugin");
  stage.confirm("the pod is reachable, and its limit is written down");
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL: the pod goes");
  stage.say(`On DEL the runtime walks the chain backwards, and hands every plugin the final result of the
    ADD.`);
  await stage.show(`warren del ${NAME} pod1`);
  await stage.show(`warren replay ${LOG} --list`);
  demandRecords("ADD", "DEL");
  stage.confirm("one ADD and one DEL");
}

async function replay(stage: Stage): Promise<void> {
  stage.begin("The same call once more");
  stage.say(`A record has all that makes a call: variables and standard input. So it can be made again, to
    look for a fault without the runtime. The first record, again to the logger, which answers as it did
    then:`);
  const { stdout } = await stage.show(`warren replay ${LOG} --index 1`);
  demandAddress(stdout, `${ADDRESS}/24`);
  demandRecords("ADD", "DEL", "ADD");
  stage.confirm("the same answer, and a third record, since the logger was called");
}

async function lookForTraces(stage: Stage): Promise<void> {
  stage.begin("Nothing is left");
  await stage.show("warren lab netns --delete pod1");
  await demandNothingLeft(stage, NAME);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/trace.md         the logger's keys: JSON lines, masked secrets, rotation
  conf/trace.conflist   a network with the logger in it, to start your own from
  warren events         the journal that Warren's own plugins keep without a logger
  warren lab fake-ip    another lab: the runtime is told what is not so

`);
}

export const command = labCommand({
  name: "trace",
  description: "Put a logger into a chain, read what a runtime says to plugins, and make a call again",
  confFiles: [CONF_FILE],
  steps: STORY,
});
