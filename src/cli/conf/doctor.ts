// `warren conf doctor`: what is wrong with the networks of this machine, file by file, before a pod finds out.
import { diagnoseFolder } from "../../runtime/diagnosis.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { networkFlags, settingsOf } from "../settings.ts";

const { "cni-conf-dir": confFolder, "cni-bin-dir": binFolder, json } = networkFlags;

export const command = operatorCommand({
  name: "doctor",
  description: "Say what is wrong with the network lists; exit code 1 if there is something",
  args: { "cni-conf-dir": confFolder, "cni-bin-dir": binFolder, json },
  run({ args }) {
    const settings = settingsOf(args, process.env);
    const findings = diagnoseFolder(settings.confFolder, settings.pluginPath);
    if (args.json === true) writeStdout(`${JSON.stringify(findings, null, 4)}\n`);
    else if (findings.length === 0) writeStdout(`nothing is wrong in ${settings.confFolder}\n`);
    for (const { file, severity, message } of args.json === true ? [] : findings) {
      writeStdout(`${file}: ${severity}: ${message}\n`);
    }
    // what a command below another one returns does not get through (index.ts)
    if (findings.length > 0) process.exitCode = 1;
    return undefined;
  },
});
