// Ways up and NUL in the place of every text that a call brings, one after the other, for every plugin: the name of a
// network, of a container, of interfaces, plugins, settings, labels, folders. Each is refused, or is harmless: it leaves
// no file, no setting and nothing in the kernel, and the call's own DEL succeeds.
import { expect, test } from "bun:test";
import { type Config, PLUGIN_FOLDER, type Target, variables } from "../support/plugins.ts";
import type { Outcome } from "../support/sandbox.ts";
import { sample } from "./extent.ts";
import { seen } from "./ordeal.ts";
import { POD, SCENES, type Scene, Stage } from "./scenes.ts";

const HOSTILE = ["..", "../../victim", "a\0b"] as const;

/** A place in a config: the keys that lead there. */
type Way = readonly string[];

function waysToTexts(value: unknown, way: Way = []): Way[] {
  if (typeof value === "string") return [way];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inside]) => waysToTexts(inside, [...way, key]));
}

/** Returns a copy of the value with `text` at the end of the way. */
function replaced(value: unknown, [key, ...rest]: Way, text: string): unknown {
  if (key === undefined) return text;
  const copy: object = Array.isArray(value) ? [...value] : { ...(value as object) };
  Reflect.set(copy, key, replaced(Reflect.get(copy, key), rest, text));
  return copy;
}

/** One call with one hostile text in it. */
interface Attempt {
  readonly what: string;
  readonly config: Config;
  readonly target: Target;
}

function attemptsOf(config: Config): Attempt[] {
  const inConfig = waysToTexts(config).flatMap((way) =>
    HOSTILE.map((text): Attempt => {
      const what = `${way.join(".")} ${JSON.stringify(text)}`;
      return { what, config: replaced(config, way, text) as Config, target: POD };
    }),
  );
  // nobody can put NUL into an environment
  const inEnvironment = HOSTILE.filter((text) => !text.includes("\0")).flatMap((text) =>
    [
      { ...POD, containerId: text },
      { ...POD, ifname: text },
      { ...POD, netns: `/run/netns/${text}` },
      { ...POD, args: `IgnoreUnknown=1;K8S_POD_NAME=${text};K8S_POD_NAMESPACE=${text}` },
    ].map((target): Attempt => ({ what: JSON.stringify(target), config, target })),
  );
  return [...inConfig, ...inEnvironment];
}

function call(stage: Stage, verb: string, type: unknown, { config, target }: Attempt): Promise<Outcome> {
  // the executable is the one that the runtime has found, whatever its config says
  const command = ["timeout", "-s", "KILL", "20", `${PLUGIN_FOLDER}/${String(type)}`];
  return stage.sandbox.run(command, { env: variables(verb, target), stdin: JSON.stringify(config) });
}

/** Returns every file of the host but those of the store. */
function files(stage: Stage): Promise<string> {
  const look = `find "$1" /run /var/lib -not -path "$2*"; cat victim`;
  return stage.sandbox.text(["sh", "-ec", look, "sh", stage.sandbox.directory, stage.dataDir]);
}

/** One of each plugin, in the scene that has most in it. */
const CHOSEN = SCENES.filter(({ name }) => !/^(bridge|ptp|bridge and (portmap|bandwidth))$/.test(name));

async function endure(scene: Scene, index: number): Promise<void> {
  await using stage = await Stage.create(scene);
  await Bun.write(`${stage.sandbox.directory}/victim`, "precious\n");
  const previous = await stage.add(0, index);
  const config = stage.config(index, previous === undefined ? {} : { prevResult: previous });
  const attempts = attemptsOf(config);
  // the first call of all makes the store, and what stays
  const first = { what: "", config, target: POD };
  for (const verb of ["ADD", "DEL"]) expect((await call(stage, verb, config.type, first)).exitCode).toBe(0);
  const before = { remains: await seen(stage), files: await files(stage) };
  for (const attempt of sample(attempts, 12)) {
    const { exitCode, stdout, stderr } = await call(stage, "ADD", config.type, attempt);
    const said = `${attempt.what}: ${stdout}${stderr}`;
    expect([0, 1], said).toContain(exitCode);
    const { code, msg, ips, interfaces } = JSON.parse(stdout);
    // what a delegate that refuses its config may have is written down until the DEL that comes after any ADD that failed
    const removed = await call(stage, "DEL", config.type, attempt);
    if (exitCode === 1) {
      expect([typeof code, typeof msg], said).toEqual(["number", "string"]);
      expect(`${said}${removed.stdout}`).not.toContain("internal error");
    } else {
      expect(ips ?? interfaces ?? [], said).toBeArray();
      expect(removed, said).toMatchObject({ exitCode: 0, stdout: "" });
    }
    expect({ what: attempt.what, remains: await seen(stage), files: await files(stage) }).toEqual({
      what: attempt.what,
      ...before,
    });
  }
}

test.each(CHOSEN.map((scene) => [scene.name, scene] as const))(
  "ways up and NUL in every text of a call in %s are refused or harmless, and leave nothing",
  async (_, scene) => {
    for (const index of scene.tortured) await endure(scene, index);
  },
  600_000,
);
