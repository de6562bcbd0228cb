// How fast a pod may receive and send by its annotations, as Kubernetes documents them, within the limits that kubelet
// checks (k8s.io/kubernetes/pkg/util/bandwidth).
import { CniError, ErrorCode } from "./error.ts";
import { shown } from "./input.ts";
import { podAnnotations, type WithPodAnnotations } from "./pod-annotations.ts";
import { parseQuantity } from "./quantity.ts";

const LEAST_BITS = 1000n;
const LARGEST_BITS = 10n ** 15n;

/** Bits a second; undefined where the pod says nothing. */
export interface PodBandwidth {
  readonly ingress: bigint | undefined;
  readonly egress: bigint | undefined;
}

/** Returns what the pod's annotations ask for; throws CniError 7 naming the one that is wrong. */
export function podBandwidth(runtimeConfig: WithPodAnnotations | null | undefined): PodBandwidth {
  const annotations = podAnnotations(runtimeConfig);
  const rateOf = (direction: "ingress" | "egress"): bigint | undefined => {
    const name = `kubernetes.io/${direction}-bandwidth`;
    const text = annotations.get(name);
    if (text === undefined) return undefined;
    const bits = parseQuantity(text);
    if (bits !== undefined && bits >= LEAST_BITS && bits <= LARGEST_BITS) return bits;
    throw new CniError(
      ErrorCode.invalidConfig,
      `annotation ${name} is ${shown(text)}`,
      "expected bits a second from 1k to 1P as Kubernetes writes quantities, such as 10M, 1.5Gi or 1e6",
    );
  };
  return { ingress: rateOf("ingress"), egress: rateOf("egress") };
}
