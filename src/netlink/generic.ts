// Generic netlink (linux/genetlink.h): parts of the kernel that have no protocol of their own share one, and each is
// given a number when it is loaded. Whoever wants to talk to one asks the controller for its number by its name.
import { attributes, headed, padding, struct, text, u8, u16, u32 } from "./codec.ts";
import type { Request } from "./message.ts";

const CONTROLLER = 0x10; // GENL_ID_CTRL
const GET_FAMILY = 3; // CTRL_CMD_GETFAMILY
const CONTROLLER_VERSION = 1;

/** struct genlmsghdr, which every message of a family begins with. */
export const genericHeader = struct({ command: u8, version: u8, padding: padding(2) });

/** The body of a message of the controller about a family. */
export const familyMessage = headed(
  genericHeader,
  attributes({
    number: [1, u16], // CTRL_ATTR_FAMILY_ID
    name: [2, text], // CTRL_ATTR_FAMILY_NAME
    version: [3, u32], // CTRL_ATTR_VERSION
    headerBytes: [4, u32], // CTRL_ATTR_HDRSIZE
    highestAttribute: [5, u32], // CTRL_ATTR_MAXATTR
  }),
);

/**
 * Asks for the number of a family, which is the type of all its messages. The kernel loads the module of one that it
 * does not have yet; ENOENT where there is none, so that `get` of a socket gives undefined.
 */
export function getFamilyNumber(name: string): Request<number> {
  return {
    operation: `look up the netlink family ${name}`,
    type: CONTROLLER,
    flags: 0,
    encode(writer) {
      familyMessage.encode(writer, {
        header: { command: GET_FAMILY, version: CONTROLLER_VERSION },
        attributes: { name },
      });
    },
    decode(reader) {
      reader.keepUnknown = false;
      return familyMessage.decode(reader).attributes.number;
    },
  };
}
