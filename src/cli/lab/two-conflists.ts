// `warren lab two-conflists`: what becomes of several configs in one folder. containerd goes by the order of the files'
// names, and a file that is broken, or that has another one's name in it, is not only its own affair.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import first from "../../../conf/lab-two-conflists-a.conflist" with { type: "text" };
import second from "../../../conf/lab-two-conflists-b.conflist" with { type: "text" };
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { type Answer, demand, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const FIRST: ConfFile = { path: `${FOLDERS.conf}/10-a.conflist`, text: first };
const SECOND: ConfFile = { path: `${FOLDERS.conf}/20-b.conflist`, text: second };
const BROKEN = {
  draft: "/run/lab/broken",
  text: '{ "name": "c", "plugins": [ { "type": "warren-ptp", } ] }\n',
};
const IN_FRONT = `${FOLDERS.conf}/00-broken.conflist`;
const BEHIND = `${FOLDERS.conf}/30-broken.conflist`;
const COPY = `${FOLDERS.conf}/40-a-again.conflist`;

const STORY: readonly Step[] = [
  introduce,
  takeFirst,
  takeAll,
  breakInFront,
  breakBehind,
  repeatName,
  lookForTraces,
  pointOn,
];

function introduce(stage: Stage): void {
  stage.title("two-conflists: several configs in one folder");
  stage.say(`A runtime finds its networks in a folder of files. Two are in there now, each with a bridge and
    a subnet of its own. Which of them does a pod get: the first, both, or whichever is asked for? Runtimes
    differ. cnitool and podman look for a name inside the files. containerd knows no names: it goes by the
    order of the files.`);
  stage.say(`All of it happens on a private network inside this machine that vanishes when the lab ends.`);
  for (const { path } of [FIRST, SECOND]) {
    stage.command(`cat ${path}`);
    stage.output(readFileSync(path, "utf8"));
  }
}

/** Throws StepError unless these are the leases in a table, each as `network address ifname`. */
function demandLeases({ stdout }: Answer, ...wanted: readonly string[]): void {
  const [, ...lines] = stdout.trimEnd().split("\n");
  const found = lines.map((line) => {
    const [network, address, , ifname] = line.split(/ {2,}/);
    return `${network} ${address} ${ifname}`;
  });
  demand(
    Bun.deepEquals(found, [...wanted]),
    `the leases ${wanted.join(", ")}, not ${found.join(", ") || "none"}`,
  );
}

async function demandNoLease(stage: Stage): Promise<void> {
  const { stdout } = await stage.show("warren leases");
  demand(stdout === "no leases\n", "no lease");
}

async function takeFirst(stage: Stage): Promise<void> {
  stage.begin("As a rule, the first file");
  stage.say(`containerd sorts the names and takes the first "max_conf_num" files, which is one unless its
    config says otherwise. A pod gets that network as eth0, and none of the others.`);
  const list = await stage.show("warren conf list");
  demand(list.stdout.includes("containerd takes 10-a.conflist (network a)"), "10-a.conflist to be taken");
  stage.say(`"warren run" without a network does the same. The command in the pod here lists who holds an
    address while it runs:`);
  demandLeases(await stage.show("warren run -- warren leases"), "a 10.203.1.2/24 eth0");
  stage.say(`When the command ends the pod is taken away again, and the address is free:`);
  await demandNoLease(stage);
  stage.confirm("the pod was in a, as eth0, and nowhere else");
}

async function takeAll(stage: Stage): Promise<void> {
  stage.begin("All of them, if the runtime is told so");
  stage.say(`With max_conf_num = 0 containerd takes every file, and a pod gets all networks: eth0, eth1 and
    so on, in the order of the files' names. The address that Kubernetes shows is that of eth0.`);
  await stage.show("warren conf list --max-conf-num 0");
  const both = ["a 10.203.1.3/24 eth0", "b 10.203.2.2/24 eth1"];
  demandLeases(await stage.show("warren run --all -- warren leases"), ...both);
  await demandNoLease(stage);
  stage.confirm("one pod, two interfaces, an address in each network; and both are free again");
}

async function breakInFront(stage: Stage): Promise<void> {
  stage.begin("A broken file in front");
  stage.say(`Somebody puts a third file there, with a comma too many in it, and its name comes first.`);
  writeFileSync(BROKEN.draft, BROKEN.text);
  await stage.show(`cp ${BROKEN.draft} ${IN_FRONT}`);
  const { stderr } = await stage.show("warren run -- warren leases", 1);
  const place = `${IN_FRONT}: no JSON at line 1, column 53`;
  demand(stderr.includes(place), `"${place}"`);
  stage.say(`No pod starts any more, though the file of network a is as good as before: of the files that
    containerd has to read, one broken one is enough. The doctor shows the place and a cure.`);
  const { stdout } = await stage.show("warren conf doctor", 1);
  demand(stdout.includes(`${IN_FRONT}:1:53: error: this is not JSON`), "the place in the doctor's words");
  stage.confirm("refused, with the file, the line and the column");
}

async function breakBehind(stage: Stage): Promise<void> {
  stage.begin("The same file behind");
  stage.say(`Under a name that comes later it is not read at all, as long as one file is enough:`);
  await stage.show(`mv ${IN_FRONT} ${BEHIND}`);
  demandLeases(await stage.show("warren run -- warren leases"), "a 10.203.1.4/24 eth0");
  stage.say(`But it is, where all of them are taken:`);
  const { stderr } = await stage.show("warren run --all -- warren leases", 1);
  demand(stderr.includes(BEHIND), "the file's name");
  await stage.show(`rm ${BEHIND}`);
  stage.confirm("a works again; both together would not, until the file is gone");
}

async function repeatName(stage: Stage): Promise<void> {
  stage.begin("One name in two files");
  stage.say(`Files are copied to keep an old state, or by two tools that don't know of each other. Now the
    network a is in two files:`);
  await stage.show(`cp ${FIRST.path} ${COPY}`);
  const doctor = await stage.show("warren conf doctor", 1);
  demand(
    doctor.stdout.includes('network "a" is in 10-a.conflist already'),
    "both files in the doctor's words",
  );
  stage.say(`Plugins and runtimes know an attachment by the name of its network. Results and leases of the
    one would be taken for the other's, and GC of the one would collect the other. So the second is refused
    before anything is made:`);
  const { stderr } = await stage.show("warren run --all -- warren leases", 1);
  const refusal = 'network "a" is in 10-a.conflist and in 40-a-again.conflist';
  demand(stderr.includes(refusal), `"${refusal}"`);
  await demandNoLease(stage);
  await stage.show(`rm ${COPY}`);
  stage.confirm("refused, and no address was given out");
}

async function lookForTraces(stage: Stage): Promise<void> {
  stage.begin("Nothing is left");
  const left = await stage.show("warren lab inventory a");
  const expected = "interfaces:  lo, lab0, lab1\nnft chains:  none\n";
  demand(left.stdout === expected, "nothing but lo and the bridges");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left but the bridges, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/conf.md          which file counts, for which runtime; edits that can be undone
  warren conf doctor    what is wrong in a folder, with line and column
  warren conf watch     says so when what containerd takes becomes something else

`);
}

export const command = labCommand({
  name: "two-conflists",
  description: "Two configs in a folder, a broken one and one of the same name, and what a pod gets of them",
  confFiles: [FIRST, SECOND],
  steps: STORY,
});
