// Nodes of a mesh that have their store on a test's server, in this process: what the daemon of each would write and read.
import { parsePrefix } from "../../src/ip/prefix.ts";
import { sharedStore } from "../../src/ipam/shared-store.ts";
import { Registry } from "../../src/mesh/registry.ts";
import type { MeshSettings } from "../../src/mesh/settings.ts";
import type { PostgresServer } from "./postgres.ts";
import type { Json } from "./world.ts";

type Settings = ConstructorParameters<typeof Registry>[1];

const SETTINGS: Settings = {
  network: "mesh",
  clusterCIDRs: subnets("10.244.0.0/16"),
  nodeMasks: { 4: 24, 6: 64 },
  backend: "vxlan",
  vni: 1,
  port: 4789,
  graceSeconds: 3600,
};

/** Returns the subnets that these texts spell. */
export function subnets(...texts: string[]): MeshSettings["clusterCIDRs"] {
  return texts.map((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new Error(text);
    return prefix;
  });
}

/** Returns the registry as the node of that name has it, by the server's socket. */
export function registryOf(
  server: PostgresServer,
  nodeName: string,
  settings: Partial<Settings> = {},
  database: Json = {},
): Registry {
  const store = server.config({ host: server.folder, nodeName, ...database });
  return new Registry(sharedStore(store, "/nowhere"), { ...SETTINGS, ...settings });
}
