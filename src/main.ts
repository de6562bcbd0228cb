// Which plugin or command am I; nothing else. The name that the executable is called by decides: a plugin's
// name runs that plugin, `warren` and `cnitool` are the operator's tool, which is loaded only then.
import { pluginCalled } from "./plugins/index.ts";
import { refuseUnknownPlugin, runAsPlugin } from "./world.ts";

function calledAs(): string {
  const name = process.argv0 === "" ? process.execPath : process.argv0;
  return name.slice(name.lastIndexOf("/") + 1);
}

const name = calledAs();
const plugin = pluginCalled(name);
if (plugin !== undefined) {
  await runAsPlugin(plugin);
} else if ((process.env.CNI_COMMAND ?? "") !== "" && process.argv.length <= 2) {
  refuseUnknownPlugin(name);
} else {
  const { runCommand } = await import("./cli/index.ts");
  process.exitCode = await runCommand(name === "cnitool" ? "cnitool" : "warren", process.argv.slice(2));
}
