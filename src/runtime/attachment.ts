// One container's interface on one network, as a runtime names it to plugins, and the two ways in which cnitool's
// users hand over parameters with it: CNI_ARGS and CAP_ARGS.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { checkContainerId, checkInterfaceName } from "../cni/names.ts";
import { isObject, type JsonObject, parseJson } from "../conflist/json.ts";

/** The pairs of CNI_ARGS in their order. */
export type ArgumentPairs = readonly (readonly [key: string, value: string])[];

/** What libcni calls RuntimeConf: who is attached, where, and with which parameters. */
export interface Attachment {
  readonly containerId: string;
  /** The path of the container's network namespace; empty where it is gone. */
  readonly netns: string;
  readonly ifname: string;
  readonly args: ArgumentPairs;
  /** Values by capability; a plugin gets those whose capabilities it declares (CONVENTIONS.md). */
  readonly capabilityArgs: JsonObject;
}

/** Throws CniError 4 unless the attachment's names are legal: they become part of file names. */
export function checkAttachment(attachment: Pick<Attachment, "containerId" | "ifname">): void {
  checkContainerId(attachment.containerId);
  checkInterfaceName(attachment.ifname);
}

/** Returns the pairs in `KEY=VALUE;KEY=VALUE`; throws CniError 4 for a malformed one, as cnitool does. */
export function parseArgumentPairs(text: string): ArgumentPairs {
  if (text === "") return [];
  return text.split(";").map((pair) => {
    const [key = "", value = "", ...more] = pair.split("=");
    if (key === "" || value === "" || more.length > 0) {
      throw new CniError(
        ErrorCode.invalidEnvironment,
        `invalid CNI_ARGS pair ${shown(pair)}`,
        "expected KEY=VALUE;KEY=VALUE",
      );
    }
    return [key, value] as const;
  });
}

/** Returns the values in the JSON object `text`; throws CniError 4 where it is none. */
export function parseCapabilityArgs(text: string): JsonObject {
  if (text === "") return {};
  const values = parseJson(text, "CAP_ARGS") ?? {};
  if (!isObject(values)) {
    throw new CniError(
      ErrorCode.invalidEnvironment,
      `CAP_ARGS is ${shown(values)}`,
      'expected a JSON object, such as {"portMappings":[]}',
    );
  }
  return values;
}
