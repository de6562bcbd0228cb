// A part of a plugin that is for STATUS alone costs the other verbs nothing: they do not even load it.
import { expect, test } from "bun:test";
import * as v from "valibot";
import { defineChained } from "../../../src/attachment/addition.ts";
import { type ChainedPiece, defineInterfacePlugin, fused } from "../../../src/attachment/fused.ts";
import type { AddCall, CheckCall } from "../../../src/cni/plugin.ts";

const config = v.object({ mesh: v.optional(v.unknown()) });
type Config = v.InferOutput<typeof config>;

const told: string[] = [];
const part = defineChained({
  ...{ name: "mesh", about: "", statusOnly: true, config: v.object({}), cleanup: v.object({}) },
  additionOf: () => undefined,
  del: async () => undefined,
  check: async () => undefined,
  status: async () => {
    told.push("status of the part");
  },
});
const piece: ChainedPiece = {
  ...{ name: "mesh", statusOnly: true },
  load: async () => {
    told.push("loaded");
    return part;
  },
};
const plugin = fused(
  defineInterfacePlugin({
    ...{ name: "bridge", about: "", config, cleanup: config },
    add: async () => ({ ips: [], interfaces: [], routes: [], dns: {} }),
    del: async () => undefined,
    check: async () => undefined,
    status: async () => undefined,
    gc: async () => undefined,
  }),
  [piece],
);

test("ADD and CHECK pass by a part that is for STATUS alone", async () => {
  const call: AddCall<Config> & CheckCall<Config> = {
    ...{ network: "lab", cniVersion: "1.1.0", config: { mesh: {} }, previous: undefined },
    attachment: { containerId: "pod", netns: "/run/netns/pod", ifname: "eth0" },
    ...{ args: {}, argumentText: "", note: () => undefined, requirePlugin: () => undefined },
    delegate: () => Promise.reject(new Error("no delegate is asked for")),
    invoke: () => Promise.reject(new Error("no plugin is called")),
  };
  await plugin.add(call);
  await plugin.check(call);
  expect(told).toEqual([]);
  await plugin.status?.(call);
  expect(told).toEqual(["loaded", "status of the part"]);
});
