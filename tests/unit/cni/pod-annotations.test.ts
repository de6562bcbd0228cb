// Annotations as runtimes hand them over, and as they may come from elsewhere.
import { expect, test } from "bun:test";
import * as v from "valibot";
import { parseInput } from "../../../src/cni/input.ts";
import { podAnnotationEntries, podAnnotations } from "../../../src/cni/pod-annotations.ts";

const schema = v.object({ runtimeConfig: v.nullish(v.object(podAnnotationEntries)) });
const read = (document: unknown) => podAnnotations(parseInput(schema, document, 7, "config").runtimeConfig);
const withAnnotations = (annotations: unknown) => ({
  runtimeConfig: { "io.kubernetes.cri.pod-annotations": annotations },
});

test.each([
  [withAnnotations({ lat: "50ms", Lat: "" }), { lat: "50ms", Lat: "" }],
  [withAnnotations({ lat: null }), {}],
  [withAnnotations({}), {}],
  [withAnnotations(null), {}],
  [{ runtimeConfig: {} }, {}],
  [{ runtimeConfig: null }, {}],
  [{}, {}],
])("%j", (document, expected) => {
  expect(Object.fromEntries(read(document))).toEqual(expected);
});

test("what is no text is refused by its name", () => {
  expect(() => read(withAnnotations({ lat: 50 }))).toThrow(
    'config: "runtimeConfig.io.kubernetes.cri.pod-annotations.lat" is 50',
  );
  expect(() => read(withAnnotations([]))).toThrow('"runtimeConfig.io.kubernetes.cri.pod-annotations" is []');
});
