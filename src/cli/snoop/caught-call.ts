// A call together with what was caught of its standard streams by the kernel's programs: what may be said of it, and
// whether that is enough to make the call again.
import { isObject } from "../../conflist/json.ts";
import type { CaughtStream, CaughtStreams } from "../../net/watch/streams.ts";
import { type Caught, networkIn } from "../../record/call-record.ts";
import type { OutlinedCall } from "./live-calls.ts";

/** Returns the call with what went through its streams. */
export function withStreams(call: OutlinedCall, streams: CaughtStreams): OutlinedCall {
  const [stdin, stdout, stderr] = streams;
  const { network } = call.more;
  return {
    ...call,
    stdin: stdin.bytes,
    more: {
      ...call.more,
      network: network === "" ? networkIn(stdin.bytes) : network,
      stdout: new TextDecoder().decode(stdout.bytes),
      stderr: new TextDecoder().decode(stderr.bytes),
    },
    caught: {
      gaps: {
        ...gapIn("stdin", stdin),
        ...gapIn("stdout", stdout),
        ...gapIn("stderr", stderr),
      },
      // another process that has the same standard input, a part of a script, could have read the beginning
      isRepeatable: stdin.isWhole && stdin.hasEnded && isConfig(stdin.bytes),
    },
  };
}

function gapIn(name: keyof Caught["gaps"], { isWhole, missedBytes }: CaughtStream): Caught["gaps"] {
  if (isWhole) return {};
  const words =
    missedBytes > 0
      ? `${missedBytes} more bytes were not caught`
      : "more may have gone by that was not caught";
  return { [name]: words };
}

function isConfig(bytes: Uint8Array): boolean {
  try {
    return isObject(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return false;
  }
}
