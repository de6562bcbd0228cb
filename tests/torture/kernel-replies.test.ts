// Damaged answers of the kernel: an answer or a NetlinkError, never an endless loop, never a read beyond the end.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { IS_FULL } from "./extent.ts";
import { SCENES, Stage } from "./scenes.ts";

const seed = Number(process.env.WARREN_TORTURE_SEED ?? Date.now() % 1_000_000);
const COUNT = IS_FULL ? 200_000 : 3_000;

test(`damaged answers are read as answers or as errors (seed ${seed})`, async () => {
  const scene = SCENES.find(({ name }) => name === "bridge with all inside");
  if (scene === undefined) throw new Error("there is no scene with everything");
  await using stage = await Stage.create(scene);
  const { interfaces } = (await stage.add(0, 1)) as {
    readonly interfaces: readonly { readonly name: string }[];
  };
  const program = [process.execPath, "--config=/dev/null", join(import.meta.dir, "kernel-replies.ts")];
  const text = await stage.sandbox.text([...program, `${seed}`, `${COUNT}`, interfaces[1]?.name ?? "lo"]);
  expect(JSON.parse(text)).toEqual({ runs: COUNT, silent: [], report: "" });
}, 3_600_000);
