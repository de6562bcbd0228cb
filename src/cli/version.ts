// `warren version`: what this executable is and which versions of the specification it speaks.
import manifest from "../../package.json" with { type: "json" };
import { SUPPORTED_VERSIONS } from "../cni/version.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";

export const command = operatorCommand({
  name: "version",
  description: "Print the version, and the CNI versions that it speaks",
  args: { json: { type: "boolean", description: "Answer with JSON on standard output" } },
  run({ args }) {
    const { version } = manifest;
    writeStdout(
      args.json === true
        ? `${JSON.stringify({ version, cniVersions: SUPPORTED_VERSIONS }, null, 4)}\n`
        : `warren ${version}\nCNI ${SUPPORTED_VERSIONS.join(", ")}\n`,
    );
    return 0;
  },
});
