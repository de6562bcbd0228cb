// The number by which one network namespace knows another (RTM_NEWNSID and RTM_GETNSID, linux/net_namespace.h). A
// link says, and is told, only this number of the namespace that its peer or parent is in.
import { attributes, headed, i32, padding, struct, u8, u32 } from "./codec.ts";
import type { Request } from "./message.ts";

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
/** What the kernel says of a namespace that never got a number here (NETNSA_NSID_NOT_ASSIGNED). */
const NOT_ASSIGNED = -1;

/** The body of a message about the number of a namespace. */
export const namespaceIdMessage = headed(
  struct({ family: u8, padding: padding(3) }), // struct rtgenmsg, padded to 4
  attributes({
    descriptor: [3, u32], // NETNSA_FD
    id: [1, i32], // NETNSA_NSID
  }),
);

/** Gives the namespace of `descriptor` a number here, any free one unless `id` says which; EEXIST if it has one. */
export function assignNamespaceId(descriptor: number, id = NOT_ASSIGNED): Request<never> {
  return {
    operation: "give a network namespace a number",
    type: RTM_NEWNSID,
    flags: 0,
    encode(writer) {
      namespaceIdMessage.encode(writer, { header: { family: 0 }, attributes: { descriptor, id } });
    },
  };
}

/** Asks by which number the socket's namespace knows the one that `descriptor` refers to; none passes it over. */
export function getNamespaceId(descriptor: number): Request<number> {
  return {
    operation: "get the number of a network namespace",
    type: RTM_GETNSID,
    flags: 0,
    encode(writer) {
      namespaceIdMessage.encode(writer, { header: { family: 0 }, attributes: { descriptor } });
    },
    decode(reader) {
      const { id } = namespaceIdMessage.decode(reader).attributes;
      return id === NOT_ASSIGNED ? undefined : id;
    },
  };
}
