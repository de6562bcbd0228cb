// `warren status NET`: would an ADD to this network work now? One line says yes, or no and why.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { checkStatus, requireVerb } from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { networkArgument, networkFlags, openNetwork } from "./settings.ts";

export const command = operatorCommand({
  name: "status",
  description: "Tell whether a network is ready for ADD requests",
  args: { ...networkArgument, ...networkFlags },
  async run({ args }) {
    const { runtime, list, settings } = openNetwork(args.network, args);
    requireVerb(list, "STATUS");
    try {
      await checkStatus(runtime, list);
    } catch (error) {
      const [code, cause, details] =
        error instanceof CniError
          ? [error.code, error.message, error.details]
          : [ErrorCode.internal, describeError(error), ""];
      throw new CniError(code, `network ${list.name} is not ready: ${cause}`, details, { cause: error });
    }
    writeStdout(
      settings.json
        ? `${JSON.stringify({ network: list.name, ready: true }, null, 4)}\n`
        : `Network ${list.name} is ready for ADD requests\n`,
    );
    return 0;
  },
});
