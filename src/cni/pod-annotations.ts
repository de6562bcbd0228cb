// A pod's annotations, which containerd and CRI-O hand to every plugin that declares the capability. Plugins take from
// them what a pod wants otherwise than its network's config says, and need no API server for it.
import * as v from "valibot";
import { optionalText } from "./value.ts";

/** The capability whose value is the pod's annotations (containerd, pkg/cri/annotations and go-cni). */
export const POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations";

/** What `runtimeConfig` of a plugin that reads annotations has: an entry for its schema. */
export const podAnnotationEntries = {
  [POD_ANNOTATIONS]: v.nullish(v.record(v.string(), optionalText)),
};

/** A `runtimeConfig` as a schema with these entries types it. */
export interface WithPodAnnotations {
  readonly [POD_ANNOTATIONS]?: Readonly<Record<string, string | null | undefined>> | null | undefined;
}

/** Returns all annotations of the pod that have a value; none where the runtime hands over none. */
export function podAnnotations(runtimeConfig: WithPodAnnotations | null | undefined): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(runtimeConfig?.[POD_ANNOTATIONS] ?? {})) {
    if (value !== null && value !== undefined) found.set(name, value);
  }
  return found;
}
