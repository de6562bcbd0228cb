// The real world for a plugin: this process's environment, standard streams, network namespace and executable.
// It also says what the errors of the lower layers mean to a runtime, which those layers don't know.
import { CniError, ErrorCode } from "./cni/error.ts";
import { runPlugin, type World } from "./cni/runner.ts";
import { CURRENT_VERSION } from "./cni/version.ts";
import { formatPrefix } from "./ip/prefix.ts";
import { rememberCall } from "./ledger/journal.ts";
import { GatewayConflictError, NotABridgeError } from "./net/bridge.ts";
import { MissingFeatureError } from "./net/feature.ts";
import { DuplicateAddressError, HardwareAddressTakenError } from "./net/interface.ts";
import { UnfitMasterError } from "./net/master.ts";
import { NetnsError } from "./net/netns.ts";
import { PortStateError } from "./net/veth.ts";
import { UnfilteredBridgeError } from "./net/vlan-filter.ts";
import { NetlinkError } from "./netlink/message.ts";
import { loadPlugin } from "./plugins/index.ts";
import { PLUGIN_NAMES, type PluginName, pluginCalled } from "./plugins/names.ts";
import { isInRecorderFolder } from "./record/recorder-folder.ts";
import { maskText } from "./record/redaction.ts";
import { DEFAULT_DATA_DIR, leaveStores } from "./store/sqlite.ts";
import { StoreError } from "./store/store.ts";
import { statFile } from "./sys/files.ts";
import { SystemError } from "./sys/libc.ts";
import { endPhase, phaseReport } from "./sys/phases.ts";
import { exitNow, ownExecutable } from "./sys/process.ts";
import { readStdin, writeStderr, writeStdout } from "./sys/stdio.ts";

/** Runs this process's call of the plugin of this name and ends the process. */
export async function runAsPlugin(name: PluginName): Promise<never> {
  let exitCode = 1;
  const plugin = await loadPlugin(name);
  endPhase();
  try {
    exitCode = await runPlugin(plugin, WORLD);
  } catch (error) {
    // only the writing of the answer itself gets here: nobody reads it
    writeStderr(`${plugin.name}: ${String(error)}\n`);
  }
  leaveStores();
  const report = phaseReport(`warren-${plugin.name} ${process.env.CNI_COMMAND ?? ""}`);
  if (report !== undefined) writeStderr(report);
  exitNow(exitCode);
}

/** Answers a runtime that called the executable by a name that is no plugin's, and ends the process. */
export function refuseUnknownPlugin(name: string): never {
  const error = new CniError(
    ErrorCode.invalidConfig,
    `there is no plugin ${JSON.stringify(name)} in this executable`,
    `it has ${PLUGIN_NAMES.map((known) => `warren-${known}`).join(", ")}`,
  );
  writeStdout(error.toDocument(CURRENT_VERSION));
  exitNow(1);
}

/** The world of this process, for one call. */
export const WORLD: World = {
  variables: process.env,
  readStdin,
  writeStdout,
  writeStderr,
  isOwnNetns(path) {
    const own = statFile("/proc/thread-self/ns/net");
    const other = statFile(path);
    return (
      own !== undefined && other !== undefined && own.inode === other.inode && own.device === other.device
    );
  },
  async ownPlugin(file) {
    // a recorder stands in the place of whatever plugin has that name, ours or not
    if (isInRecorderFolder(file)) return undefined;
    const own = ownExecutable();
    const other = statFile(file);
    const same = own !== undefined && own.inode === other?.inode && own.device === other.device;
    const name = same ? pluginCalled(file.slice(file.lastIndexOf("/") + 1)) : undefined;
    return name === undefined ? undefined : loadPlugin(name);
  },
  explain,
  remember: (plugin, transcript) => rememberCall(plugin, transcript, DEFAULT_DATA_DIR, maskText),
};

function explain(error: unknown): CniError | undefined {
  if (error instanceof StoreError) {
    const code = error.isPassing ? ErrorCode.tryAgainLater : ErrorCode.storeUnusable;
    return new CniError(code, error.message, `${error.problem}: ${error.cure}`, { cause: error });
  }
  if (error instanceof NetnsError) {
    return new CniError(
      ErrorCode.invalidNetns,
      `failed to open netns ${JSON.stringify(error.path)}: ${error.problem}`,
      "CNI_NETNS must be the path of a network namespace, such as /var/run/netns/NAME",
      { cause: error },
    );
  }
  if (error instanceof MissingFeatureError) {
    return new CniError(ErrorCode.unsupportedField, error.message, error.cure, { cause: error });
  }
  if (error instanceof NotABridgeError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      `it is a ${error.link.kind || "physical"} interface: choose another "bridge"`,
      { cause: error },
    );
  }
  if (error instanceof GatewayConflictError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      `it has ${formatPrefix(error.present)}: set forceAddress to replace it, or choose another bridge`,
      { cause: error },
    );
  }
  if (error instanceof UnfilteredBridgeError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      "choose another bridge, or turn its vlan_filtering on: vlan and vlanTrunk would separate nobody",
      { cause: error },
    );
  }
  if (error instanceof DuplicateAddressError) {
    return new CniError(ErrorCode.addressInUse, error.message, "find out who has it, or exclude it", {
      cause: error,
    });
  }
  if (error instanceof HardwareAddressTakenError) {
    return new CniError(ErrorCode.addressInUse, error.message, "ask for another mac, or for none", {
      cause: error,
    });
  }
  if (error instanceof UnfitMasterError) {
    return new CniError(ErrorCode.kernelRefused, error.message, error.cure, { cause: error });
  }
  if (error instanceof PortStateError) {
    return new CniError(ErrorCode.kernelRefused, error.message, `see "ip link show ${error.link.name}"`, {
      cause: error,
    });
  }
  if (error instanceof NetlinkError) {
    return new CniError(ErrorCode.kernelRefused, error.message, cureOf(error), { cause: error });
  }
  if (error instanceof SystemError) {
    return new CniError(ErrorCode.ioFailure, error.message, cureOf(error), { cause: error });
  }
  return undefined;
}

/** Returns what to do about a refusal of the kernel's that says what is the matter; empty for all others. */
function cureOf({ errnoName, message }: NetlinkError | SystemError): string {
  if (errnoName === "EROFS" && message.includes("/proc/sys/")) {
    return "/proc/sys is read-only here: set it from where it is not, or mount it read-write";
  }
  if (errnoName !== "EPERM" && errnoName !== "EACCES") return "";
  return "plugins need root, with CAP_NET_ADMIN and CAP_SYS_ADMIN";
}
