// The messages that port maps alone need, as nft 1.0.6 and iproute2 6.1 send them.
import { describe } from "bun:test";
import { VerdictCode } from "../../src/netlink/expression.ts";
import { addElements, concatenated, elementMessage } from "../../src/netlink/nftables-set.ts";
import { lookUpRoute } from "../../src/netlink/route.ts";
import { golden, goldenRequest, message } from "./message.ts";

// nft add element inet warren portmap-ipv4-masquerade { 10.88.0.2 . tcp . 80 comment "o" : jump portmap-masquerade-all }
const ADD_VERDICT = message(
  "8c 00 00 00  0c 0a  01 04  01 00 00 00  00 00 00 00", // length 140, NFT_MSG_NEWSETELEM, flags 0x401
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  // NFTA_SET_ELEM_LIST_SET "portmap-ipv4-masquerade"
  "1c 00 02 00  70 6f 72 74  6d 61 70 2d  69 70 76 34  2d 6d 61 73  71 75 65 72  61 64 65 00",
  // nft also gives the set's number (NFTA_SET_ELEM_LIST_SET_ID), which a set that has a name does not need
  "50 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 80 bytes NLA_F_NESTED
  "4c 00 01 80", //   NFTA_LIST_ELEM, 76 bytes NLA_F_NESTED
  "14 00 01 80", //     NFTA_SET_ELEM_KEY, 20 bytes NLA_F_NESTED
  "10 00 01 00  0a 58 00 02  06 00 00 00  00 50 00 00", //       NFTA_DATA_VALUE
  "2c 00 02 80", //     NFTA_SET_ELEM_DATA, 44 bytes NLA_F_NESTED
  "28 00 02 80", //       NFTA_DATA_VERDICT, 40 bytes NLA_F_NESTED
  "08 00 01 00  ff ff ff fd", //         NFTA_VERDICT_CODE, NFT_JUMP
  // NFTA_VERDICT_CHAIN "portmap-masquerade-all"
  "1b 00 02 00  70 6f 72 74  6d 61 70 2d  6d 61 73 71  75 65 72 61  64 65 2d 61  6c 6c 00 00",
  "08 00 06 00  00 02 6f 00", //     NFTA_SET_ELEM_USERDATA, comment "o"
);

// nft get element inet warren portmap-ipv4 { tcp . 8081 }; the padding behind the name is not nft's own to choose
const GET_ELEMENT = message(
  "4c 00 00 00  0d 0a  05 00  01 00 00 00  00 00 00 00", // length 76, NFT_MSG_GETSETELEM, flags 0x5
  "01 00 00 00", // nfgenmsg
  "11 00 02 00  70 6f 72 74  6d 61 70 2d  69 70 76 34  00 00 00 00", // NFTA_SET_ELEM_LIST_SET "portmap-ipv4"
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "18 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 24 bytes NLA_F_NESTED
  "14 00 01 80", //   NFTA_LIST_ELEM, 20 bytes NLA_F_NESTED
  "10 00 01 80", //     NFTA_SET_ELEM_KEY, 16 bytes NLA_F_NESTED
  "0c 00 01 00  06 00 00 00  1f 91 00 00", //       NFTA_DATA_VALUE
);

// ip route get ::1
const LOOK_UP = message(
  "30 00 00 00  1a 00  01 00  01 00 00 00  00 00 00 00", // length 48, RTM_GETROUTE, flags 0x1
  "0a 80 00 00  00 00 00 00  00 00 00 00", // rtmsg: AF_INET6, 128 bits, anything else open
  "14 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 01", // RTA_DST
);

describe("port maps", () => {
  goldenRequest(
    "add an element that leads to a chain",
    ADD_VERDICT,
    addElements({ family: "inet", name: "warren" }, "portmap-ipv4-masquerade", [
      {
        key: concatenated(Uint8Array.of(10, 88, 0, 2), Uint8Array.of(6), Uint8Array.of(0, 80)),
        data: { code: VerdictCode.jump, chain: "portmap-masquerade-all" },
        comment: "o",
      },
    ]),
  );
  golden("get an element", GET_ELEMENT, elementMessage, {
    header: { family: 1, version: 0, resource: 0 },
    attributes: {
      set: "portmap-ipv4",
      table: "warren",
      elements: [{ key: { value: concatenated(Uint8Array.of(6), Uint8Array.of(0x1f, 0x91)) } }],
    },
  });
  goldenRequest("look a route up", LOOK_UP, lookUpRoute(Uint8Array.of(...Array(15).fill(0), 1)));
});
