// What a reboot takes and what the store has to make of it: the machine goes off without a word to any plugin, and
// comes up again with the same disk and nothing else.
import { type Config, call, leases, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { answers, type Case, pod, same, traces } from "./case.ts";

/** A case of two boots of the machine; `folder` is a directory on its disk. */
export interface RebootCase extends Pick<Case, "name"> {
  before(host: Sandbox, folder: string): Promise<void>;
  after(host: Sandbox, folder: string): Promise<void>;
}

/** A network whose store is on the disk, with three addresses beside that of the gateway. */
function small(folder: string, more: Config = {}): Config {
  return {
    ...{ cniVersion: "1.1.0", name: "small", type: "warren-bridge", bridge: "br0", isGateway: true },
    dataDir: folder,
    ipam: { type: "warren-ipam", dataDir: folder, subnet: "10.91.0.0/29", rangeEnd: "10.91.0.4" },
    ...more,
  };
}

function portMap(folder: string): Config {
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
  return { ...small(folder), type: "warren-portmap", ipam: undefined, runtimeConfig: { portMappings } };
}

async function addressOf(host: Sandbox, config: Config, name: string): Promise<string> {
  const { document } = await succeed(host, "ADD", config, { containerId: name, netns: name });
  return document.ips[0].address;
}

export const REBOOT_CASES: readonly RebootCase[] = [
  {
    name: "after a reboot nobody is in the way: addresses and host ports of the boot before are given out again",
    async before(host, folder) {
      for (const name of ["old1", "old2", "old3"]) {
        const target = await pod(host, name);
        const { document } = await succeed(host, "ADD", small(folder), target);
        if (name === "old1") {
          await succeed(host, "ADD", { ...portMap(folder), prevResult: document }, target);
        }
      }
      same((await call(host, "STATUS", small(folder))).document?.code, 50, "the pool is used up");
    },
    async after(host, folder) {
      const shown = await leases(host, folder);
      same(shown.map(({ container, state }) => [container, state]).sort(), [
        ["old1", "earlier boot"],
        ["old2", "earlier boot"],
        ["old3", "earlier boot"],
      ]);
      await succeed(host, "STATUS", small(folder));
      for (const name of ["new1", "new2"]) {
        const target = await pod(host, name);
        const { document } = await succeed(host, "ADD", small(folder), target);
        if (name === "new1") {
          await succeed(host, "ADD", { ...portMap(folder), prevResult: document }, target);
        }
      }
      same(await answers(host, "10.91.0.1", "new1"), true);
      const third = await pod(host, "new3");
      await succeed(host, "ADD", small(folder), third);
      const holders = (await leases(host, folder)).map(({ container, state }) => [container, state]).sort();
      same(
        holders,
        ["new1", "new2", "new3"].map((name) => [name, "alive"]),
      );
    },
  },
  {
    name: "after a reboot an attachment that comes again has its address, and DEL and GC of the others succeed",
    async before(host, folder) {
      for (const name of ["back", "gone", "lost"]) {
        await pod(host, name);
        await addressOf(host, small(folder, { ipMasq: true, macspoofchk: true }), name);
      }
    },
    async after(host, folder) {
      const config = small(folder, { ipMasq: true, macspoofchk: true });
      const target = await pod(host, "back");
      const before = await traces(host, target);
      await succeed(host, "STATUS", config);
      same(await addressOf(host, config, "back"), "10.91.0.2/29");
      same(await answers(host, "10.91.0.1", "back"), true);
      await succeed(host, "DEL", config, { containerId: "gone", netns: "" });
      const valid = [{ containerID: "back", ifname: "eth0" }];
      await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": valid });
      same(
        (await leases(host, folder)).map(({ container, state }) => [container, state]),
        [["back", "alive"]],
      );
      same(await answers(host, "10.91.0.1", "back"), true);
      await succeed(host, "DEL", config, target);
      const { links, inside, rules }: Printed = await traces(host, target);
      same([links, inside, /masquerade|elements/.test(rules)], [["br0"], before.inside, false]);
    },
  },
];
