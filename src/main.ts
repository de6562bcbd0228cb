// Which plugin or command am I; nothing else. The name that the executable is called by decides: a plugin's
// name runs that plugin, `warren` and `cnitool` are the operator's tool, which is loaded only then.
import { versionAnswer } from "./cni/version.ts";
import { pluginCalled } from "./plugins/names.ts";
import { isInRecorderFolder } from "./record/recorder-folder.ts";
import { exitNow } from "./sys/process.ts";
import { writeStdout } from "./sys/stdio.ts";

function calledAs(): string {
  return process.argv0 === "" ? process.execPath : process.argv0;
}

const path = calledAs();
const name = path.slice(path.lastIndexOf("/") + 1);
const plugin = pluginCalled(name);
if (isInRecorderFolder(path)) {
  const { runAsRecorder } = await import("./cli/index.ts");
  await runAsRecorder(path);
} else if (plugin !== undefined && process.env.CNI_COMMAND === "VERSION") {
  // asked before every call by some runtimes, and the same for all plugins: none is loaded for it
  writeStdout(versionAnswer());
  exitNow(0);
} else if (plugin === "dhcp" && process.argv[2] === "daemon") {
  // the reference plugin is its own daemon, and units call it so
  const { runCommand } = await import("./cli/index.ts");
  process.exitCode = await runCommand("warren", ["dhcp", ...process.argv.slice(2)]);
} else if (plugin !== undefined) {
  const { runAsPlugin } = await import("./world.ts");
  await runAsPlugin(plugin);
} else if ((process.env.CNI_COMMAND ?? "") !== "" && process.argv.length <= 2) {
  const { refuseUnknownPlugin } = await import("./world.ts");
  refuseUnknownPlugin(name);
} else {
  const { runCommand } = await import("./cli/index.ts");
  process.exitCode = await runCommand(name === "cnitool" ? "cnitool" : "warren", process.argv.slice(2));
}
