// `warren lab mesh --store postgres`: the nodes find each other in a database, with a daemon on each: one that comes is known to
// all at once, one that boots while the server is away has its network all the same.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { writeStdout } from "../../sys/stdio.ts";
import { Background } from "./background.ts";
import { DATABASE_USER, LabServer, serverPrograms } from "./database-server.ts";
import {
  attachPod,
  CONF_FILES,
  configOf,
  configure,
  demandOnlyTunnel,
  end,
  fileOf,
  labBackend,
  makeNodes,
  type NodeNumber,
  node,
  on,
  sayBackend,
} from "./mesh-node.ts";
import { demand, type Stage } from "./stage.ts";
import type { Step, Story } from "./story.ts";

const SOCKET_FOLDER = "/run/lab/postgres";
const PASSWORD_FILE = "/run/lab/password";
const UP = "the mesh is up on this node";

/** Returns the story. Throws CniError where the machine has no server. */
export function storedMesh(): Story {
  serverPrograms();
  const server = new LabServer(SOCKET_FOLDER, PASSWORD_FILE);
  const daemons = new Map<NodeNumber, Background>();
  const scene: Scene = { server, daemons };
  const steps = [introduce, makeNodes, startStore, bringUp, across, grow, loseStore, takeDown, pointOn];
  return {
    confFiles: CONF_FILES,
    steps: steps.map(
      (step): Step =>
        (stage) =>
          step(stage, scene),
    ),
    backstage: {
      prepare: () => server.make(),
      async [Symbol.asyncDispose]() {
        for (const daemon of daemons.values()) await daemon[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    },
  };
}

/** What goes on beside the story. */
interface Scene {
  readonly server: LabServer;
  readonly daemons: Map<NodeNumber, Background>;
}

function withStore(number: NodeNumber): object {
  const postgres = {
    ...{ host: SOCKET_FOLDER, user: DATABASE_USER, database: "postgres", passwordFile: PASSWORD_FILE },
    nodeName: `node${number}`,
  };
  return { ...configOf(number), store: { postgres } };
}

async function startDaemon(stage: Stage, { daemons }: Scene, number: NodeNumber): Promise<Background> {
  const daemon = new Background(stage, node(number, "run"));
  daemons.set(number, daemon);
  await daemon.show(UP);
  return daemon;
}

/** Returns the daemon of a node that was started. */
function daemonOf({ daemons }: Scene, number: NodeNumber): Background {
  const daemon = daemons.get(number);
  if (daemon === undefined) throw new RangeError(`no daemon runs on node ${number}`);
  return daemon;
}

async function hears(stage: Stage, scene: Scene, number: NodeNumber, words: string): Promise<void> {
  stage.say(`What the daemon of node${number} says meanwhile:`);
  await daemonOf(scene, number).show(words);
}

function introduce(stage: Stage): void {
  stage.title("mesh: one network of many nodes, which find each other in a store");
  stage.say(`A node that knows no other one has no mesh. Here none is told of the others by hand: all of them write where they
    are, and read who else is there, in one PostgreSQL database, which also gives each a block of addresses.`);
  sayBackend(stage, labBackend());
}

async function startStore(stage: Stage, { server }: Scene): Promise<void> {
  stage.begin("A store");
  stage.say("The server runs on this machine, by a user without rights and for this lab alone.");
  stage.command(`postgres -D ${server.data} &`);
  await server.start();
}

async function bringUp(stage: Stage, scene: Scene): Promise<void> {
  stage.begin("Two nodes of a mesh");
  stage.say("No block and no other node is in the configuration.");
  configure(stage, fileOf(1), withStore(1));
  for (const number of [2, 3] as const) {
    mkdirSync(dirname(fileOf(number)), { recursive: true });
    writeFileSync(fileOf(number), JSON.stringify(withStore(number)));
  }
  stage.aside("node2 and node3 have the same, but for the number");
  await startDaemon(stage, scene, 1);
  stage.say("The first one has the first block, and nobody to talk to. The second one has the next.");
  await startDaemon(stage, scene, 2);
  await hears(stage, scene, 1, "added peer node2");
  const { stdout } = await stage.show(node(1, "list"));
  demand(/^node2 +10\.244\.1\.0\/24 .* there$/m.test(stdout), "node2 with the second block");
  stage.confirm("each knows the other, and nobody has told them");
}

async function across(stage: Stage): Promise<void> {
  stage.begin("Across the wire");
  await stage.show("warren lab netns pod1 pod2");
  await attachPod(stage, 1, "10.244.0.3/24");
  await attachPod(stage, 2, "10.244.1.3/24");
  const watch = "warren lab wire node1 eth0 --";
  const { stdout } = await stage.show(`${watch} warren lab ping 10.244.1.3 --from pod1 --count 5`);
  demandOnlyTunnel(stdout, labBackend());
  stage.confirm("on the wire there is only UDP between the nodes");
}

async function grow(stage: Stage, scene: Scene): Promise<void> {
  stage.begin("A third node comes, and goes");
  const third = await startDaemon(stage, scene, 3);
  for (const number of [1, 2] as const) await hears(stage, scene, number, "added peer node3");
  await stage.show("warren lab netns pod3");
  await attachPod(stage, 3, "10.244.2.3/24");
  await stage.show("warren lab ping 10.244.2.3 --from pod1");
  stage.confirm("the new node is reached, and nothing was said of the one that was there");
  stage.say("A daemon that ends leaves everything running. Only down takes the node out of the mesh.");
  await third.end("kill %node3", "SIGTERM");
  await stage.show("warren lab ping 10.244.2.3 --from pod1");
  await stage.show(on(3, "del mesh pod3 --cni-conf-dir /run/lab/node3/net.d"));
  await stage.show(node(3, "down"));
  await hears(stage, scene, 1, "removed peer");
  await stage.show("warren lab ping 10.244.2.3 --from pod1 --count 1", 1);
  const { stdout } = await stage.show(node(1, "list"));
  demand(/^node3 +10\.244\.2\.0\/24 .* left, block reserved for /m.test(stdout), "a block that is reserved");
  stage.confirm("gone, and its block waits for it for a while");
}

async function loseStore(stage: Stage, scene: Scene): Promise<void> {
  stage.begin("The store is away, and a node boots");
  stage.command("kill -QUIT %postgres");
  await scene.server[Symbol.asyncDispose]();
  await hears(stage, scene, 1, "can't be reached");
  await stage.show("warren lab ping 10.244.1.3 --from pod1");
  stage.say(
    "No packet needs the store. Now node1 loses its daemon and the namespace of the tunnel, as in a reboot.",
  );
  await daemonOf(scene, 1).end("kill -9 %node1", "SIGKILL");
  await stage.show("warren lab netns --delete wg1");
  const again = await startDaemon(stage, scene, 1);
  await stage.show("warren lab ping 10.244.1.3 --from pod1");
  const { stdout } = await stage.show(node(1, "show"), 1);
  demand(stdout.includes("remembered since"), "that it says so");
  stage.confirm("the network is there, by what the node remembers");
  stage.command(`postgres -D ${scene.server.data} &`);
  await scene.server.start();
  await again.show("the store has the blocks that this node remembered: 10.244.0.0/24");
  stage.confirm("and the store agrees");
}

async function takeDown(stage: Stage, scene: Scene): Promise<void> {
  stage.begin("The daemons end");
  for (const number of [1, 2] as const) await daemonOf(scene, number).end(`kill %node${number}`, "SIGTERM");
  await end(stage, [1, 2]);
}

function pointOn(stage: Stage): void {
  stage.title("Where to go next");
  writeStdout(`
  docs/mesh.md       the daemon, and what happens without the store
  docs/scaling.md    what a thousand nodes cost
  warren lab mesh    the same without a store

`);
}
