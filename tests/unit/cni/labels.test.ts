import { expect, test } from "bun:test";
import * as v from "valibot";
import { ErrorCode } from "../../../src/cni/error.ts";
import { parseInput } from "../../../src/cni/input.ts";
import { containerLabels, labelArgs, saysYes } from "../../../src/cni/labels.ts";
import { POD_ANNOTATIONS, podAnnotationEntries } from "../../../src/cni/pod-annotations.ts";

const schema = v.object({ args: labelArgs, runtimeConfig: v.nullish(v.object(podAnnotationEntries)) });

function labelsOf(config: unknown, argumentText = ""): Record<string, string> {
  const sources = parseInput(schema, config, ErrorCode.invalidConfig, "config");
  return Object.fromEntries(containerLabels(sources, argumentText));
}

test("S1-03 labels come from args.cni.labels, then the pod's annotations, then CNI_ARGS", () => {
  const runtimeConfig = { [POD_ANNOTATIONS]: { a: "annotation", b: "annotation", n: null } };
  const args = { cni: { labels: [{ key: "a", value: "args" }, { key: "e" }] } };
  expect(labelsOf({ args, runtimeConfig }, "a=env;b=env;c=env;IgnoreUnknown=1;=x;odd")).toEqual({
    a: "args",
    b: "annotation",
    c: "env",
    e: "",
    IgnoreUnknown: "1",
  });
  expect(labelsOf({ args: { cni: { labels: { a: "1", b: null } } } })).toEqual({ a: "1", b: "" });
  expect(labelsOf({})).toEqual({});
});

test("labels are data, whatever is in them", () => {
  const value = `$(reboot) ' " \n ; = ${"x".repeat(10_240)}`;
  expect(labelsOf({ args: { cni: { labels: { [value]: value } } } })).toEqual({ [value]: value });
});

test.each([
  [{ args: { cni: { labels: [1] } } }, "labels"],
  [{ args: { cni: { labels: [{ value: "x" }] } } }, "labels"],
  [{ args: { cni: { labels: { a: {} } } } }, "labels"],
  [{ args: { cni: { labels: "a=b" } } }, "labels"],
])("labels that are none are refused: %j", (config, place) => {
  expect(() => labelsOf(config)).toThrow(place);
});

test("S1-02 true, yes, 1 and nothing say yes; false, no, 0 and no label say no; the rest says neither", () => {
  expect(["true", "True", "yes", "1", ""].map(saysYes)).toEqual([true, true, true, true, true]);
  expect(["false", "NO", "0", undefined].map(saysYes)).toEqual([false, false, false, false]);
  expect(["2", "maybe", " true"].map(saysYes)).toEqual([undefined, undefined, undefined]);
});
