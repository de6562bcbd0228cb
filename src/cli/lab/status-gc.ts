// `warren lab status-gc`: what STATUS and GC are for, played through with real commands in a sandbox and explained
// to somebody who has never seen CNI. Every answer is compared with what the story promises: where they differ, the
// lab ends there with exit code 1.
import { readdirSync, readFileSync } from "node:fs";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { containerIdOf } from "../settings.ts";
import { NETWORK } from "./sandbox.ts";
import { demand, demandAddress, LEASES, type Stage } from "./stage.ts";
import { STORIES, type StoryStore } from "./status-gc-store.ts";
import { play, type Step } from "./story.ts";

const { name, gateway, bridge } = NETWORK;

/** The pods that ask for an address of their own, and the address. */
const REQUESTS = { pod1: "192.168.200.1", pod2: "192.168.200.22", pod3: "192.168.200.123" } as const;
/** The pod that takes what the pool gives. */
const POOLED = { name: "pod4", address: "192.168.200.2" } as const;

/** Returns the story with one of the stores, in its order. */
const storyWith = (store: StoryStore): readonly Step[] => [
  (stage) => introduce(stage, store),
  (stage) => statusWithoutStore(stage, store),
  (stage) => statusWithStore(stage, store),
  addRequested,
  addPooled,
  sendPackets,
  listLeases,
  collectNothing,
  collectLost,
  deleteAll,
  lookForTraces,
  pointOn,
];

function introduce(stage: Stage, { confFile, place }: StoryStore): void {
  stage.title("STATUS and GC: a lab for CNI 1.1");
  stage.say(`CNI is how a container runtime gives a container its network: it starts a program, the
    plugin, and tells it by a verb what to do. ADD connects a container, DEL disconnects it. CNI 1.1 has
    two more: STATUS asks whether an ADD would work now, and GC removes what was left behind by
    containers that are gone.`);
  stage.say(`This lab shows both on a private network inside this machine: namespaces of its own, which
    vanish when it ends, however it ends. Here "warren" plays the runtime, and the same program, called
    by the names warren-bridge and warren-ipam, is the plugins. This is the network that they work on:`);
  stage.command(`cat ${confFile.path}`);
  stage.output(readFileSync(confFile.path, "utf8"));
  stage.say(`warren-bridge plugs each pod into the bridge ${bridge}, and warren-ipam chooses its address
    and remembers in a store, ${place}, who has which.`);
}

async function statusWithoutStore(stage: Stage, { absence, cause }: StoryStore): Promise<void> {
  stage.begin("STATUS while the store is out of reach");
  stage.say(`${absence} No pod could get an address now. STATUS says so before a runtime tries, so that a scheduler can send
    its pods elsewhere.`);
  const down = await stage.show(`warren status ${name}`, 1);
  const reason = `Error: network ${name} is not ready: `;
  demand(down.stderr.startsWith(reason) && down.stderr.includes(cause), `"${reason}" and the cause`);
  demand(down.stderr.trimEnd().split("\n").length === 1 && down.stdout === "", "one line and no more");
  stage.confirm("not ready, exit code 1, and the cause by name");
}

async function statusWithStore(stage: Stage, { appearance, bringBack }: StoryStore): Promise<void> {
  stage.begin("The store is back");
  stage.say(`${appearance} STATUS now makes a real write to the store and sees that an address is
    left.`);
  await bringBack(stage);
  const up = await stage.show(`warren status ${name}`);
  demand(
    up.stdout === `Network ${name} is ready for ADD requests\n`,
    `"Network ${name} is ready for ADD requests"`,
  );
  stage.confirm("ready, exit code 0");
}

async function addRequested(stage: Stage): Promise<void> {
  stage.begin("ADD: three pods that want a certain address");
  stage.say(`A pod is, to the network, a network namespace: interfaces and addresses of its own. Four are
    made. Then ADD puts a cable between pod1 and the bridge, gives it the address that it asks for, and
    says what it did: the bridge, both ends of the cable, the address, the way out.`);
  await stage.show(`warren lab netns ${Object.keys(REQUESTS).join(" ")} ${POOLED.name}`);
  const { stdout } = await stage.show(`CNI_ARGS=IP=${REQUESTS.pod1} warren add ${name} pod1`);
  demandAddress(stdout, `${REQUESTS.pod1}/24`);
  for (const pod of ["pod2", "pod3"] as const) {
    const line = `CNI_ARGS=IP=${REQUESTS[pod]} warren add ${name} ${pod}`;
    await stage.showAddress(line, `${REQUESTS[pod]}/24`);
  }
  stage.confirm("each pod has the address that it asked for");
}

async function addPooled(stage: Stage): Promise<void> {
  stage.begin("ADD: a pod that takes what it gets");
  stage.say(`Most pods don't care. Without a request the pool gives its next free address.`);
  await stage.showAddress(`warren add ${name} ${POOLED.name}`, `${POOLED.address}/24`);
  stage.confirm(`the pool gave ${POOLED.address}`);
}

async function sendPackets(stage: Stage): Promise<void> {
  stage.begin("Packets go through");
  stage.say(`Is it a network? Each end is asked for an echo (ICMP) from the other: pod to pod, pod to the
    host's side of the bridge, and host to pod. Three times each, and every answer must come.`);
  await stage.show(`warren lab ping ${REQUESTS.pod2} --from pod1`);
  await stage.show(`warren lab ping ${REQUESTS.pod1} --from pod3`);
  await stage.show(`warren lab ping ${REQUESTS.pod3} --from ${POOLED.name}`);
  await stage.show(`warren lab ping ${gateway} --from pod1`);
  await stage.show(`warren lab ping ${POOLED.address}`);
  stage.confirm("all answered");
}

async function listLeases(stage: Stage): Promise<void> {
  stage.begin("Who holds which address");
  stage.say(`Every address is leased to a container. A container's id is made from the pod's name, as the
    tool cnitool does it: ${containerIdOf("pod1")} is pod1.`);
  await stage.show(LEASES);
  await stage.demandHolders("pod1", "pod2", "pod3", POOLED.name);
  stage.confirm("four leases, one a pod");
}

async function collectNothing(stage: Stage): Promise<void> {
  stage.begin("GC that keeps everybody");
  stage.say(`GC gets the list of those who are alive, and removes the rest. Here everybody is on the
    list, so nothing may change.`);
  const before = await stage.leases();
  await stage.show(`warren gc ${name} pod1 pod2 pod3 ${POOLED.name}`);
  demand(Bun.deepEquals(await stage.leases(), before), "the same leases as before");
  stage.confirm("the same four leases as before");
}

async function collectLost(stage: Stage): Promise<void> {
  stage.begin("GC after a pod was lost");
  stage.say(`pod2 crashes: its namespace is gone, and nobody called DEL. Its address is still leased to
    it.`);
  await stage.show("warren lab netns --delete pod2");
  const leaked = await stage.show(`${LEASES} --leaked`);
  demand(leaked.stdout.includes(containerIdOf("pod2")), "the lease of pod2 among those whose pod is gone");
  await stage.demandHolders("pod1", "pod2", "pod3", POOLED.name);
  stage.say(`The runtime calls GC with those that it knows to be alive, and pod2 is not among them.`);
  const collected = await stage.show(`warren gc ${name} pod1 pod3 ${POOLED.name}`);
  demand(collected.stderr.includes(containerIdOf("pod2")), "the removal of pod2 by its id");
  await stage.show(LEASES);
  await stage.demandHolders("pod1", "pod3", POOLED.name);
  await stage.show(`warren lab ping ${REQUESTS.pod3} --from pod1`);
  stage.confirm("pod2's lease is gone, the others are as they were and still reach each other");
}

async function deleteAll(stage: Stage): Promise<void> {
  stage.begin("DEL: the others leave in good order");
  stage.say(`DEL takes the cable away and gives the address back. Called twice it does no harm.`);
  for (const pod of ["pod1", "pod3", POOLED.name, POOLED.name]) await stage.show(`warren del ${name} ${pod}`);
  await stage.show(`warren lab netns --delete pod1 pod3 ${POOLED.name}`);
  stage.confirm("four times exit code 0");
}

async function lookForTraces(stage: Stage): Promise<void> {
  stage.begin("Nothing is left");
  stage.say(`No lease, no cable, no rule of the firewall, no file about a container. The bridge stays,
    with its address: it is the host's, and the next ADD uses it.`);
  await stage.show(LEASES);
  const left = await stage.show(`warren lab inventory ${name}`);
  demand(left.stdout === `interfaces:  lo, ${bridge}\nnft chains:  none\n`, "nothing but lo and the bridge");
  const remembered = await stage.show(`ls ${DEFAULT_CACHE_FOLDER}/results`);
  demand(remembered.stdout === "", "no file about a container");
  await stage.demandHolders();
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left, and the sandbox itself ends with this lab");
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  warren lab shell      the same sandbox, with a shell in it: try it yourself
  scripts/demo/*.sh     these steps as scripts: status.sh, add-ns.sh, gc.sh
  conf/                 a network list for every plugin, to start your own from
  README.md             installing, and the commands
  docs/                 every setting, messages and their cures
  warren help           every command; "warren COMMAND --help" tells its flags

`);
}

const NAME = "status-gc";

export const command = operatorCommand({
  name: NAME,
  description: "Play STATUS, ADD, GC and DEL through on a private network, and explain every step",
  args: {
    store: {
      type: "string",
      valueHint: "sqlite|postgres",
      description: "Where the leases are: a file (the default), or a PostgreSQL server of the lab's own",
    },
  },
  run({ args: { store: name = "sqlite" } }) {
    if (name !== "sqlite" && name !== "postgres") {
      throw new UsageError(`unknown store ${JSON.stringify(name)}; known are sqlite, postgres`);
    }
    const store = STORIES[name]();
    const { confFile, backstage } = store;
    return play([NAME, "--store", name], { confFiles: [confFile], steps: storyWith(store), backstage });
  },
});
