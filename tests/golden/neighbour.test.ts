// Messages about neighbours, and about what tunnels know of hardware addresses, as iproute2 sends them.
import { describe } from "bun:test";
import {
  deleteNeighbour,
  deleteTunnelEntry,
  neighbourMessage,
  setNeighbour,
  setTunnelEntry,
} from "../../src/netlink/neighbour.ts";
import { golden, goldenRequest, message } from "./message.ts";

const SET_NEIGHBOUR = message(
  "30 00 00 00  1c 00  05 05  48 68 0b 6b  00 00 00 00", // length 48, RTM_NEWNEIGH, flags 0x505, sequence, port
  "02 00 00 00  02 00 00 00  80 00  00 00", // ndmsg: AF_INET, interface 2, NUD_PERMANENT
  "08 00 01 00  0a f4 02 02", // NDA_DST
  "0a 00 02 00  0e 58 0a f4  02 02 00 00", // NDA_LLADDR
);

const DELETE_NEIGHBOUR = message(
  "24 00 00 00  1d 00  05 00  48 68 0b 6b  00 00 00 00", // length 36, RTM_DELNEIGH, flags 0x5, sequence, port
  "02 00 00 00  02 00 00 00  80 00  00 00", // ndmsg: AF_INET, interface 2, NUD_PERMANENT
  "08 00 01 00  0a f4 02 02", // NDA_DST
);

const SET_ENTRY = message(
  "38 00 00 00  1c 00  05 05  48 68 0b 6b  00 00 00 00", // length 56, RTM_NEWNEIGH, flags 0x505, sequence, port
  "07 00 00 00  02 00 00 00  c0 00  02 00", // ndmsg: AF_BRIDGE, interface 2, NUD_NOARP | NUD_PERMANENT, NTF_SELF
  "0a 00 02 00  0e 58 0a f4  02 02 00 00", // NDA_LLADDR
  "08 00 01 00  c0 00 02 02", // NDA_DST
  "06 00 06 00  6e 7b 00 00", // NDA_PORT
);

const DELETE_ENTRY = message(
  "38 00 00 00  1d 00  05 00  48 68 0b 6b  00 00 00 00", // length 56, RTM_DELNEIGH, flags 0x5, sequence, port
  "07 00 00 00  02 00 00 00  c0 00  02 00", // ndmsg: AF_BRIDGE, interface 2, NUD_NOARP | NUD_PERMANENT, NTF_SELF
  "0a 00 02 00  0e 58 0a f4  02 02 00 00", // NDA_LLADDR
  "08 00 01 00  c0 00 02 02", // NDA_DST
  "06 00 06 00  6e 7b 00 00", // NDA_PORT
);

const ROUTER = Uint8Array.of(10, 244, 2, 2);
const HARDWARE = Uint8Array.of(0x0e, 0x58, 10, 244, 2, 2);
const END = Uint8Array.of(192, 0, 2, 2);

describe("ip neigh", () => {
  // ip neigh replace 10.244.2.2 lladdr 0e:58:0a:f4:02:02 dev v0 nud permanent
  golden("set", SET_NEIGHBOUR, neighbourMessage, {
    header: { family: 2, index: 2, state: 0x80, flags: 0, type: 0 },
    attributes: { destination: ROUTER, hardwareAddress: HARDWARE },
  });
  goldenRequest("set", SET_NEIGHBOUR, setNeighbour({ index: 2, address: ROUTER, hardwareAddress: HARDWARE }));
  // ip neigh del 10.244.2.2 dev v0
  goldenRequest("delete", DELETE_NEIGHBOUR, deleteNeighbour({ index: 2, address: ROUTER }));
});

describe("bridge fdb", () => {
  const entry = { index: 2, hardwareAddress: HARDWARE, tunnelEnd: END, port: 28_283 };
  // bridge fdb replace 0e:58:0a:f4:02:02 dev v0 dst 192.0.2.2 port 28283
  golden("set", SET_ENTRY, neighbourMessage, {
    header: { family: 7, index: 2, state: 0xc0, flags: 2, type: 0 },
    attributes: { hardwareAddress: HARDWARE, destination: END, port: 28_283 },
  });
  goldenRequest("set", SET_ENTRY, setTunnelEntry(entry));
  // bridge fdb del 0e:58:0a:f4:02:02 dev v0 dst 192.0.2.2 port 28283
  goldenRequest("delete", DELETE_ENTRY, deleteTunnelEntry(entry));
});
