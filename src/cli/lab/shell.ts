// `warren lab shell`: the sandbox of the labs with a shell in it, to try the same by hand.
import { replaceProcess } from "../../sys/exec.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, splitAtDashes } from "../command.ts";
import { findProgram } from "../enter.ts";
import { CONF_FILE, enterSandbox, FOLDERS, NETWORK } from "./sandbox.ts";

const HINT = `
This shell is in a sandbox: nothing but lo in its network, an empty /run and an
empty /var/lib/cni. Nothing of them reaches your machine; "exit" ends it.
Warren is in PATH, and its network ${NETWORK.name} is in
${CONF_FILE.path}.

Try:  warren status ${NETWORK.name}
      mkdir ${FOLDERS.disk}                    (that is what status misses)
      warren lab netns pod1 pod2             (two pods)
      warren add ${NETWORK.name} pod1            (pod2 likewise)
      warren lab ping ${NETWORK.gateway} --from pod1
      warren leases --data-dir ${NETWORK.dataDir}
      warren gc ${NETWORK.name} pod1             (keeps pod1, removes the rest)
      warren help

`;

export const command = operatorCommand({
  name: "shell",
  description:
    "Open a shell in a throwaway sandbox with the lab's network, or run a command: shell -- CMD ...",
  variadic: true,
  args: {},
  run({ rawArgs }) {
    const words = splitAtDashes(rawArgs).behind ?? [];
    const [name = process.env.SHELL || "/bin/sh"] = words;
    const variables = enterSandbox();
    // searched for in there, where warren is in PATH
    process.env.PATH = variables.PATH;
    const program = findProgram(name);
    if (words.length === 0) writeStdout(HINT);
    return replaceProcess(program, words.length === 0 ? [program] : words, variables);
  },
});
