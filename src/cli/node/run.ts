// `warren node run`: stays, and keeps this node's part of the mesh: made, repaired, and in line with the other nodes as they come
// and go. It ends by a signal, and leaves everything running: pods keep their network, and the next one goes on.
import { log } from "../../log.ts";
import { Daemon, type Observer } from "../../mesh/daemon.ts";
import { lockDaemon } from "../../mesh/daemon-lock.ts";
import { fixedMembership } from "../../mesh/node-network.ts";
import { namesOf } from "../../mesh/plan.ts";
import { operatorCommand } from "../command.ts";
import { Interruption } from "../interruption.ts";
import { tellManager } from "../service-manager.ts";
import { explained, mendedLine, meshFlags, openMesh, peerLines, registryOf } from "./mesh-command.ts";

export const command = operatorCommand({
  name: "run",
  description: "Keep this node's part of the mesh until a signal comes, which leaves all of it running",
  args: { config: meshFlags.config },
  async run({ args }) {
    const mesh = openMesh(args.config);
    const { nodes } = mesh.settings;
    const registry = registryOf(mesh.settings);
    const daemon = new Daemon(mesh, observer());
    using _interruption = new Interruption(() => daemon.stop());
    // before anybody can know the process by its lock: the signal would end it
    process.on("SIGUSR2", () => daemon.lookNow());
    using _lock = lockDaemon(namesOf(mesh.settings));
    await explained(async () => {
      if (registry !== undefined) await daemon.follow(registry);
      else if (nodes.kind === "fixed") await daemon.keep(fixedMembership(nodes));
    });
    tellManager("STOPPING=1");
    return 0;
  },
});

/** Tells on standard error what is done, which a service manager keeps, and the manager itself how things stand. */
function observer(): Observer {
  return {
    note: (line) => log.info(line),
    warn: (line) => log.warn(line),
    brought: ({ mended = [], peers, published = false, plan }) => {
      for (const finding of mended) log.info(mendedLine(finding));
      // who is as he was is not told every time
      for (const line of peerLines({ ...peers, kept: [] })) log.info(line);
      if (published && plan !== undefined) log.info(`wrote conflist ${plan.conflist}`);
    },
    ready: () => {
      log.info("the mesh is up on this node");
      tellManager("READY=1");
    },
    alive: () => tellManager("WATCHDOG=1"),
  };
}
