// The catalogue says of plugins that are not loaded what they say of themselves.
import { expect, test } from "bun:test";
import { CHAIN, loadPlugin } from "../../src/plugins/index.ts";
import { PLUGIN_NAMES, pluginCalled } from "../../src/plugins/names.ts";

test.each(PLUGIN_NAMES)("%s is loaded by its own name", async (name) => {
  expect((await loadPlugin(name)).name).toBe(name);
  expect([pluginCalled(name), pluginCalled(`warren-${name}`)]).toEqual([name, name]);
});

test("what is no plugin is not called", () => {
  expect(["", "warren", "warren-", "toString", "warren-constructor"].map(pluginCalled)).toEqual(
    Array(5).fill(undefined),
  );
});

test.each(CHAIN.map((piece) => [piece.name, piece] as const))("%s is told as it is", async (_, piece) => {
  const { name, capability, uniqueKeys, statusOnly, isOnPair } = await piece.load();
  const { load: _load, ...told } = piece;
  const silent = { capability: undefined, uniqueKeys: undefined, statusOnly: undefined, isOnPair: undefined };
  expect({ ...silent, ...told }).toEqual({ ...silent, name, capability, uniqueKeys, statusOnly, isOnPair });
});
