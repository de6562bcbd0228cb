// Which plugin or command am I; nothing else. The name that the executable is called by decides: a plugin's
// name runs that plugin, `warren` and `cnitool` are the operator's tool.
import { loadPlugin } from "./plugins/index.ts";

function calledAs(): string {
  const name = process.argv0 === "" ? process.execPath : process.argv0;
  return name.slice(name.lastIndexOf("/") + 1);
}

const name = calledAs();
const plugin = await loadPlugin(name);
if (plugin !== undefined) {
  const { runAsPlugin } = await import("./world.ts");
  await runAsPlugin(plugin);
} else if ((process.env.CNI_COMMAND ?? "") !== "" && process.argv.length <= 2) {
  const { refuseUnknownPlugin } = await import("./world.ts");
  refuseUnknownPlugin(name);
} else {
  const { runCommand } = await import("./cli/index.ts");
  const args = process.argv.slice(2);
  process.exitCode = await runCommand(name === "cnitool" ? "cnitool" : "warren", args);
}
