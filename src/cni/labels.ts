// The labels of a container, from wherever its runtime hands them over: a config's `args`, the pod's annotations, or
// CNI_ARGS. Which plugin does what by which label is the plugin's affair.
import * as v from "valibot";
import { podAnnotations, type WithPodAnnotations } from "./pod-annotations.ts";

const labelList = v.array(v.object({ key: v.string(), value: v.nullish(v.string(), "") }));
const labelRecord = v.record(v.string(), v.nullish(v.string(), ""));

/** The schema of a config's `args` for a plugin that reads labels (CONVENTIONS.md): a list of pairs, or an object. */
export const labelArgs = v.nullish(
  v.object({ cni: v.nullish(v.object({ labels: v.nullish(v.union([labelList, labelRecord])) })) }),
);

/** What a plugin that reads labels gets of a call. */
export interface LabelSources {
  readonly args?: v.InferOutput<typeof labelArgs>;
  readonly runtimeConfig?: WithPodAnnotations | null | undefined;
}

/**
 * Returns the labels of a container: those of `args.cni.labels`, then the pod's annotations, then the pairs of CNI_ARGS. Of
 * two with one name the one that comes first here counts.
 */
export function containerLabels(
  { args, runtimeConfig }: LabelSources,
  argumentText: string,
): Map<string, string> {
  const given = args?.cni?.labels ?? [];
  const labels = new Map(
    Array.isArray(given) ? given.map(({ key, value }) => [key, value] as const) : Object.entries(given),
  );
  const later = [
    ...podAnnotations(runtimeConfig),
    ...argumentText.split(";").map((pair): [string, string] => {
      const equals = pair.indexOf("=");
      return [pair.slice(0, Math.max(equals, 0)), pair.slice(equals + 1)];
    }),
  ];
  for (const [name, value] of later) if (name !== "" && !labels.has(name)) labels.set(name, value);
  return labels;
}

/**
 * Returns whether a label says yes: `true`, `yes`, `1` and nothing do, `false`, `no` and `0` and no label don't. Undefined
 * for any other value.
 */
export function saysYes(value: string | undefined): boolean | undefined {
  switch (value?.toLowerCase()) {
    case undefined:
    case "false":
    case "no":
    case "0":
      return false;
    case "true":
    case "yes":
    case "1":
    case "":
      return true;
    default:
      return undefined;
  }
}
