// Prints netlink messages as they pass, for whoever wants to know what was said to the kernel and what it answered.
// Used only with WARREN_NLDEBUG=1; without it this file costs nothing but its load. Of generic netlink no bytes are shown,
// because those of wireguard are secret.
import { writeStderr } from "../sys/stdio.ts";
import { Reader } from "./buffer.ts";
import type { Family, Kernel } from "./kernel.ts";
import { HEADER_BYTES, MessageType, readVerdict, splitMessages } from "./message.ts";

const OBJECTS = ["LINK", "ADDR", "ROUTE", "NEIGH", "RULE", "QDISC", "TCLASS", "TFILTER"];
const ROUTE_VERBS = ["RTM_NEW", "RTM_DEL", "RTM_GET", "RTM_SET"];
const NF_TABLES_MESSAGES = [
  "NEWTABLE",
  "GETTABLE",
  "DELTABLE",
  "NEWCHAIN",
  "GETCHAIN",
  "DELCHAIN",
  "NEWRULE",
  "GETRULE",
  "DELRULE",
  "NEWSET",
  "GETSET",
  "DELSET",
  "NEWSETELEM",
  "GETSETELEM",
  "DELSETELEM",
  "NEWGEN",
  "GETGEN",
];

/** Returns the kernel's name of a message type, such as `RTM_NEWLINK`, or its number where it has none here. */
function typeName(family: Family, type: number): string {
  if (type === MessageType.error) return "NLMSG_ERROR";
  if (type === MessageType.done) return "NLMSG_DONE";
  if (family === "netfilter") {
    if (type === 0x10) return "NFNL_MSG_BATCH_BEGIN";
    if (type === 0x11) return "NFNL_MSG_BATCH_END";
    const name = NF_TABLES_MESSAGES[type & 0xff];
    if (type >> 8 === 10 && name !== undefined) return `NFT_MSG_${name}`;
  } else if (family === "route") {
    const object = OBJECTS[(type - 16) >> 2];
    const verb = ROUTE_VERBS[type & 3];
    if (object !== undefined && verb !== undefined) return verb + object;
  }
  return `type ${type}`;
}

function hexLines(bytes: Uint8Array): string {
  let lines = "";
  for (let start = 0; start < bytes.length; start += 16) {
    let line = `    ${start.toString(16).padStart(4, "0")} `;
    for (const byte of bytes.subarray(start, start + 16)) line += ` ${byte.toString(16).padStart(2, "0")}`;
    lines += `${line}\n`;
  }
  return lines;
}

function describe(arrow: string, family: Family, datagram: Uint8Array): string {
  const reader = new Reader(datagram);
  let description = "";
  try {
    for (const message of splitMessages(reader)) {
      const { type, flags, sequence, bodyStart, end } = message;
      description += `${arrow} ${typeName(family, type)} flags 0x${flags.toString(16)} seq ${sequence}`;
      description += ` ${end - bodyStart + HEADER_BYTES} bytes`;
      if (type === MessageType.error) {
        const verdict = readVerdict(reader, message);
        description += ` errno ${verdict.errno} ${verdict.text}`;
      }
      description += family === "generic" ? "\n" : `\n${hexLines(datagram.subarray(bodyStart, end))}`;
    }
    return description;
  } catch (error) {
    const lines = family === "generic" ? "" : hexLines(datagram);
    return `${description}${arrow} unreadable: ${String(error)}\n${lines}`;
  }
}

/** Returns a kernel that passes everything on and prints each message to standard error, `>` sent, `<` received. */
export function traced(kernel: Kernel, family: Family): Kernel {
  return {
    send(datagram) {
      writeStderr(describe(">", family, datagram));
      kernel.send(datagram);
    },
    receive() {
      const datagram = kernel.receive();
      writeStderr(describe("<", family, datagram));
      return datagram;
    },
    close() {
      kernel.close();
    },
  };
}
