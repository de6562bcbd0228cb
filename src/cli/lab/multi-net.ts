// `warren lab multi-net`: one container on several networks. A plugin in front of others gives each of them an interface,
// and the runtime, which knows of one network only, need not know more.
import { readdirSync, readFileSync } from "node:fs";
import conflist from "../../../conf/lab-multi-net.conflist" with { type: "text" };
import storage from "../../../conf/lab-multi-net-storage.conflist" with { type: "text" };
import { POD_ANNOTATIONS } from "../../cni/pod-annotations.ts";
import { NETWORKS_ANNOTATION } from "../../delegation/network-selection.ts";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { containerIdOf } from "../settings.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, demandAddress, type Stage } from "./stage.ts";
import { labCommand, type Step } from "./story.ts";

const NAME = "multi-net";
const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NAME}.conflist`, text: conflist };
const STORAGE: ConfFile = { path: "/run/lab/networks/storage.conflist", text: storage };

/** Who is on the wire that the host's card is on, and the gateway of the bridge. */
const NEIGHBOUR = "192.168.122.1";
const GATEWAY = "10.22.0.1";

const STORY: readonly Step[] = [introduce, plugIn, add, lookInside, askForMore, fail, del, pointOn];

function introduce(stage: Stage): void {
  stage.title("multi-net: several networks for one container");
  stage.say(`A runtime asks a list of plugins for one interface, eth0. A container that should also be on the
    network of the host's card, or on one for storage, needs more. The plugin "delegates" stands in for the
    list and calls others: each delegate is a network of its own, and gives the container one interface.`);
  stage.say(`Here there are two. The one with "masterplugin" has the interface that the runtime asks for, and
    its result is what the runtime gets. The others are net0, net1 and so on.`);
  stage.command(`cat ${CONF_FILE.path}`);
  stage.output(readFileSync(CONF_FILE.path, "utf8"));
}

async function plugIn(stage: Stage): Promise<void> {
  stage.begin("A network card");
  stage.say(`This private machine has no card. One end of a pair plays it, and the other end is in a
    namespace that plays everybody else on its wire.`);
  await stage.show("warren lab netns lan");
  await stage.show(`warren pair -c card0 -n lan,wire0,${NEIGHBOUR}/24`);
  await stage.show(`warren status ${NAME}`);
  stage.confirm("every delegate is ready");
}

async function add(stage: Stage): Promise<void> {
  stage.begin("ADD: one call, two interfaces");
  await stage.show("warren lab netns pod1");
  const { stdout } = await stage.show(`warren add ${NAME} pod1`);
  demandAddress(stdout, "10.22.0.2/16");
  demand(!stdout.includes("net0"), "a result that knows of the master only");
  stage.confirm("the runtime is told of eth0 and its address, as if there were no other");
}

async function lookInside(stage: Stage): Promise<void> {
  stage.begin("What the container has");
  stage.say(`In the container there are both, and "warren show" tells all of its networks:`);
  const inside = await stage.show(`warren lab inventory ${NAME} --netns pod1`);
  demand(inside.stdout.startsWith("interfaces:  lo, net0, eth0\n"), "lo, net0 and eth0");
  const { stdout } = await stage.show(`warren show ${containerIdOf("pod1")}`);
  demand(/wire +net0 +192\.168\.122\.203 /.test(stdout), "net0 on the wire");
  stage.say(`Whoever is on the card's wire is reached by net0, the bridge's gateway by eth0:`);
  await stage.show(`warren lab ping ${NEIGHBOUR} --from pod1`);
  await stage.show(`warren lab ping ${GATEWAY} --from pod1`);
  await stage.show(`warren check ${NAME} pod1`);
  stage.confirm("both networks work, and CHECK has asked both");
}

/** Commands from here on have the annotations, as a runtime hands them to plugins that declare the capability. */
function annotate(stage: Stage, networks: unknown): void {
  process.env.CAP_ARGS = JSON.stringify({
    [POD_ANNOTATIONS]: { [NETWORKS_ANNOTATION]: JSON.stringify(networks) },
  });
  stage.command(`export CAP_ARGS='${process.env.CAP_ARGS}'`);
}

async function askForMore(stage: Stage): Promise<void> {
  stage.begin("A container that asks for more");
  stage.say(`In Kubernetes a pod names further networks in an annotation, which containerd hands to plugins
    that declare the capability. No API server is asked: names are those of the files in "confDir". The
    second pod wants the network "storage", under the name san0, with an address of its choice, and its
    default route there.`);
  stage.command(`cat ${STORAGE.path}`);
  stage.output(readFileSync(STORAGE.path, "utf8"));
  const wish = { name: "storage", interface: "san0", ips: ["10.23.0.77"], "default-route": ["10.23.0.1"] };
  annotate(stage, [wish]);
  await stage.show("warren lab netns pod2");
  await stage.show(`warren add ${NAME} pod2`);
  const { stdout } = await stage.show(`warren show ${containerIdOf("pod2")}`);
  demand(/storage +san0 +10\.23\.0\.77 +\S+ +yes/.test(stdout), "the default route over san0");
  const { stdout: inside } = await stage.show(`warren lab inventory ${NAME} --netns pod2`);
  demand(inside.startsWith("interfaces:  lo, net0, eth0, san0\n"), "lo, net0, eth0 and san0");
  stage.confirm("three networks, and the default route is that of san0");
}

async function fail(stage: Stage): Promise<void> {
  stage.begin("All networks, or none");
  stage.say(`The third pod wants an address that the second one has. Two delegates have been added by the
    time when the third one refuses; they are taken back.`);
  annotate(stage, [{ name: "storage", ips: ["10.23.0.77"] }]);
  await stage.show("warren lab netns pod3");
  const { stderr } = await stage.show(`warren add ${NAME} pod3`, 1);
  demand(stderr.includes("10.23.0.77"), "an error that names the address");
  const inside = await stage.show(`warren lab inventory ${NAME} --netns pod3`);
  demand(inside.stdout.startsWith("interfaces:  lo\n"), "nothing but lo");
  const { stdout } = await stage.show("warren leases");
  demand(!stdout.includes(containerIdOf("pod3")), "no lease of pod3");
  stage.confirm("pod3 has nothing, and nothing is held for it");
}

async function del(stage: Stage): Promise<void> {
  stage.begin("DEL, and nothing is left");
  delete process.env.CAP_ARGS;
  stage.say(`DEL gets no annotation here, and one of the pods has lost its namespace already. It goes by what
    was written down at ADD.`);
  await stage.show("warren lab netns --delete pod2 pod3");
  await stage.show(`warren gc ${NAME} pod1`);
  await stage.show(`warren del ${NAME} pod1`);
  await stage.show("warren pair --delete -n lan,wire0");
  await stage.show("warren lab netns --delete pod1 lan");
  const leases = await stage.show("warren leases");
  demand(leases.stdout === "no leases\n", "no lease");
  const left = await stage.show(`warren lab inventory ${NAME}`);
  demand(/^interfaces: {2}lo, lab0, lab1$/m.test(left.stdout), "nothing but lo and the bridges");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left but the bridges, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/delegates.md         every key, what each verb does, and how multus's configs are taken
  conf/delegates.conflist   two networks for every container, to start your own from
  warren lab trace          another lab: what a runtime says to plugins, word by word

`);
}

export const command = labCommand({
  name: NAME,
  description: "Several networks for one container, by a config and by what a pod asks for",
  confFiles: [CONF_FILE, STORAGE],
  steps: STORY,
});
