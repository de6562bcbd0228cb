// `warren completion SHELL`: the script by which a shell completes the words of a call. It knows nothing itself and asks
// `warren complete`, so that it never gets old.
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { nearestWord } from "../spelling.ts";
import bash from "./warren.bash" with { type: "text" };
import fish from "./warren.fish" with { type: "text" };
import zsh from "./warren.zsh" with { type: "text" };

const SCRIPTS: Readonly<Record<string, string>> = { bash, zsh, fish };

/** The shells that there is a script for. */
export const SHELLS: readonly string[] = Object.keys(SCRIPTS);

export const command = operatorCommand({
  name: "completion",
  description: "Print the script by which a shell completes commands, flags and names",
  args: { shell: { type: "positional", required: true, description: `The shell: ${SHELLS.join(", ")}` } },
  run({ args }) {
    const script = Object.hasOwn(SCRIPTS, args.shell) ? SCRIPTS[args.shell] : undefined;
    if (script === undefined) {
      const meant = nearestWord(args.shell, SHELLS);
      const cure = meant === undefined ? `expected one of ${SHELLS.join(", ")}` : `did you mean ${meant}?`;
      throw new UsageError(`no completion for ${JSON.stringify(args.shell)}; ${cure}`);
    }
    writeStdout(script);
    return 0;
  },
});
