// `warren pod exec NAME -- CMD`: becomes CMD in a pod: in its network, with its hostname and its /etc/resolv.conf, and
// with the machine's files otherwise. Namespaces for hostname and mounts are made anew for every command.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { enterNetns } from "../../net/netns.ts";
import { DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { PodRecords, type RecordedPod } from "../../runtime/pod-record.ts";
import { statFile } from "../../sys/files.ts";
import { isSystemError } from "../../sys/libc.ts";
import {
  bindMount,
  makeMountsReceiving,
  mountSysfs,
  Namespace,
  setHostname,
  unshareNamespaces,
} from "../../sys/namespace.ts";
import { operatorCommand, splitAtDashes, UsageError } from "../command.ts";
import { become, findProgram } from "../enter.ts";
import { existingPod, stateOf } from "./known.ts";

const RESOLVER_CONFIG = "/etc/resolv.conf";

export const command = operatorCommand({
  name: "exec",
  description: "Run a command in a pod: exec POD -- CMD ...",
  variadic: true,
  args: {
    pod: { type: "positional", required: true, description: "The pod's name" },
    "cache-dir": {
      type: "string",
      valueHint: "DIR",
      default: DEFAULT_CACHE_FOLDER,
      description: "Where pods are written down",
    },
  },
  run({ args, rawArgs }) {
    const words = splitAtDashes(rawArgs).behind ?? [];
    const [name] = words;
    if (name === undefined || args._.length - words.length !== 1) {
      throw new UsageError("expected: pod exec POD -- CMD ...");
    }
    const pod = existingPod(new PodRecords(args["cache-dir"]), args.pod);
    requireAlive(pod);
    const program = findProgram(name);
    enterPod(pod);
    return become(program, words);
  },
});

/** Throws CniError 8 if the pod has no namespace, and 11 while it is being made. */
function requireAlive(pod: RecordedPod): void {
  const { name } = pod;
  const state = stateOf(pod);
  switch (state) {
    case "alive":
      return;
    case "being made":
      throw new CniError(ErrorCode.tryAgainLater, `pod ${name} is still being made`);
    case "half made":
    case "killed":
      throw new CniError(
        ErrorCode.invalidNetns,
        `pod ${name} is ${state}: the process that made it was killed`,
        `warren pod rm ${name} removes what is left of it`,
      );
    case "netns gone":
    case "earlier boot":
      throw new CniError(
        ErrorCode.invalidNetns,
        state === "earlier boot"
          ? `pod ${name} ended with the boot that it was made in`
          : `the network namespace of pod ${name} is gone`,
        `warren pod rm ${name} removes what is left of it`,
      );
  }
}

function enterPod({ name, plan, resolverConfig }: RecordedPod): void {
  unshareNamespaces(Namespace.mount | Namespace.uts);
  makeMountsReceiving();
  setHostname(plan.hostname);
  if (resolverConfig !== undefined) {
    if (statFile(RESOLVER_CONFIG) !== undefined) bindMount(resolverConfig, RESOLVER_CONFIG);
    else log.warn(`this machine has no ${RESOLVER_CONFIG}, so that of pod ${name} has no place`);
  }
  enterNetns(plan.netns);
  try {
    mountSysfs();
  } catch (error) {
    // a machine that is a container itself may not: then /sys/class/net shows the interfaces outside
    if (!isSystemError(error, "EPERM", "EACCES", "EBUSY")) throw error;
  }
}
