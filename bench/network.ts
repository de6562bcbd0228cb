// Networks as contestants get them configured, and their calls: one plugin, or a chain with each plugin's result
// handed to the next one, as a runtime does it.
import { type Contestant, executable, pluginName } from "./contestant.ts";
import { assertDone, type Run, timed, writeInput } from "./process.ts";
import type { Stage } from "./stage.ts";

/** What a scenario wants of a network. */
export interface NetworkSettings {
  readonly name: string;
  readonly masquerade: boolean;
  readonly dualStack?: boolean;
  /** What comes behind the bridge: the configs of the chain without their types. */
  readonly chain?: Readonly<Record<string, object>>;
  /** The whole chain as keys of the bridge's config; only Warren can do that. */
  readonly fused?: boolean;
  /** Names the store, if it is not to be the one that all networks of a contestant share. */
  readonly store?: string;
}

/** An attachment: a container's interface in a pod. */
export interface Attachment {
  readonly container: string;
  readonly ifname: string;
  readonly netns: string;
  /** What the runtime hands over for this attachment, by capability. */
  readonly runtimeConfig?: Readonly<Record<string, unknown>>;
}

type Plugin = Readonly<
  { type: string; capabilities?: Readonly<Record<string, boolean>> } & Record<string, unknown>
>;

/** The verbs that scenarios call. */
export type Verb = "ADD" | "DEL" | "CHECK" | "STATUS" | "GC";

/** A network of a contestant. */
export class Network {
  readonly #plugins: readonly { readonly file: string; readonly config: Plugin }[];
  readonly #results = new Map<string, unknown>();
  #calls = 0;

  constructor(
    private readonly stage: Stage,
    readonly contestant: Contestant,
    private readonly settings: NetworkSettings,
  ) {
    this.#plugins = pluginsOf(stage, contestant, settings);
  }

  /** Returns how long the verb took, all plugins of the chain together; throws if one of them failed. */
  call(verb: Verb, attachment: Attachment, more: object = {}): number {
    const plugins = verb === "DEL" ? this.#plugins.toReversed() : this.#plugins;
    const key = `${attachment.container} ${attachment.ifname}`;
    let ms = 0;
    let result = verb === "ADD" ? undefined : this.#results.get(key);
    for (const { file, config } of plugins) {
      const run = this.#run(file, verb, { ...config, ...more }, attachment, result);
      const ended = timed(run);
      const output = assertDone(run, ended);
      if (verb === "ADD") result = JSON.parse(output);
      ms += ended.ms;
    }
    if (verb === "ADD") this.#results.set(key, result);
    if (verb === "DEL") this.#results.delete(key);
    return ms;
  }

  /** Returns the run of the first plugin, for scenarios that start many at once. */
  run(verb: Verb, attachment: Attachment): Run {
    const [first] = this.#plugins;
    if (first === undefined) throw new Error("a network has at least one plugin");
    return this.#run(first.file, verb, first.config, attachment, this.#results.get(attachment.container));
  }

  #run(file: string, verb: Verb, config: Plugin, attachment: Attachment, result: unknown): Run {
    const { contestant, stage } = this;
    const { capabilities = {}, ...keys } = config;
    const given = Object.entries(attachment.runtimeConfig ?? {}).filter(
      ([name]) => capabilities[name] === true,
    );
    const name = stage.file(`call-${contestant.name}-${this.settings.name}-${this.#calls++ % 64}`);
    const document = {
      cniVersion: "1.1.0",
      name: networkName(contestant, this.settings),
      ...keys,
      ...(given.length === 0 ? {} : { runtimeConfig: Object.fromEntries(given) }),
      ...(result === undefined || verb === "STATUS" || verb === "GC" ? {} : { prevResult: result }),
    };
    return {
      file,
      env: {
        PATH: process.env.PATH ?? "",
        CNI_COMMAND: verb,
        CNI_PATH: contestant.folder,
        CNI_CONTAINERID: attachment.container,
        CNI_NETNS: attachment.netns,
        CNI_IFNAME: attachment.ifname,
      },
      input: writeInput(`${name}.in`, document),
      output: `${name}.out`,
    };
  }
}

/** Returns the name of a contestant's network; everybody has networks of his own. */
export function networkName({ name }: Contestant, settings: Pick<NetworkSettings, "name">): string {
  return `${name}-${settings.name}`;
}

function storeOf(stage: Stage, contestant: Contestant, { store }: Pick<NetworkSettings, "store">): string {
  return stage.dataDir(contestant, store ?? "leases");
}

/** Returns the `ipam` of a network. */
export function ipamOf(
  stage: Stage,
  contestant: Contestant,
  settings: Pick<NetworkSettings, "dualStack" | "store">,
) {
  return {
    type: contestant.ipam,
    dataDir: storeOf(stage, contestant, settings),
    ranges: [
      [{ subnet: `10.${contestant.octet}.0.0/16` }],
      ...(settings.dualStack === true ? [[{ subnet: `fd00:${contestant.octet}::/64` }]] : []),
    ],
    routes: [{ dst: "0.0.0.0/0" }, ...(settings.dualStack === true ? [{ dst: "::/0" }] : [])],
  };
}

/** Which capability a chained plugin is told by. */
const CAPABILITIES: Readonly<Record<string, string>> = { portmap: "portMappings", bandwidth: "bandwidth" };

function pluginsOf(stage: Stage, contestant: Contestant, settings: NetworkSettings) {
  const bridge: Plugin = {
    type: pluginName(contestant, "bridge"),
    bridge: `br-${contestant.octet}`,
    isGateway: true,
    ipMasq: settings.masquerade,
    ipam: ipamOf(stage, contestant, settings),
  };
  const chain = Object.entries(settings.chain ?? {});
  const capable = (plugin: string) => {
    const name = CAPABILITIES[plugin];
    return name === undefined ? {} : { [name]: true };
  };
  if (settings.fused === true) {
    const capabilities = Object.assign({}, ...chain.map(([plugin]) => capable(plugin))) as Record<
      string,
      boolean
    >;
    const config = { ...bridge, ...settings.chain, capabilities };
    return [{ file: executable(contestant, "bridge"), config }];
  }
  const dataDir = storeOf(stage, contestant, settings);
  return [
    { file: executable(contestant, "bridge"), config: bridge },
    ...chain.map(([plugin, config]) => ({
      file: executable(contestant, plugin),
      config: {
        ...config,
        type: pluginName(contestant, plugin),
        ...(contestant.isWarren ? { dataDir } : {}),
        capabilities: capable(plugin),
      },
    })),
  ];
}
