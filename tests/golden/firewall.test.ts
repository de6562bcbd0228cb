// The firewall's nf_tables messages as nft sends them. Above each stands the nft command that made it.
import { describe } from "bun:test";
import { type Expression, verdict } from "../../src/netlink/expression.ts";
import {
  addressInSet,
  connectionStatus,
  inputInterfaceIn,
  interfaceNameBytes,
  interfacePairIn,
  outputInterfaceIn,
} from "../../src/netlink/match.ts";
import { addRule, createChain, dumpAllChains } from "../../src/netlink/nftables.ts";
import { concatenated, createSet, elementMessage, setMessage } from "../../src/netlink/nftables-set.ts";
import { golden, goldenRequest, message } from "./message.ts";

const CREATE_CHAIN = message(
  "58 00 00 00  03 0a 01 04  0c 00 00 00  00 00 00 00", // length 88, NFT_MSG_NEWCHAIN, flags 0x401, sequence, port
  "07 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "0d 00 03 00  66 69 72 65  77 61 6c 6c  00 00 00 00", // NFTA_CHAIN_NAME "firewall"
  "0b 00 07 00  66 69 6c 74  65 72 00 00", // NFTA_CHAIN_TYPE "filter"
  "08 00 05 00  00 00 00 01", // NFTA_CHAIN_POLICY
  "14 00 04 80", // NFTA_CHAIN_HOOK, 20 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 02", //   NFTA_HOOK_HOOKNUM
  "08 00 02 00  ff ff ff 38", //   NFTA_HOOK_PRIORITY
);

const CREATE_PAIRS = message(
  "64 00 00 00  09 0a 01 04  03 00 00 00  00 00 00 00", // length 100, NFT_MSG_NEWSET, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_TABLE "warren"
  "10 00 02 00  73 61 6d 65  2d 62 72 69  64 67 65 00", // NFTA_SET_NAME "same-bridge"
  "08 00 03 00  00 00 00 00", // NFTA_SET_FLAGS
  "08 00 04 00  00 00 0a 69", // NFTA_SET_KEY_TYPE
  "08 00 05 00  00 00 00 20", // NFTA_SET_KEY_LEN
  "08 00 0a 00  00 00 00 01", // NFTA_SET_ID
  "14 00 0d 00  00 04 00 00  00 00 03 08  00 04 0d 00  00 00 01 00", // NFTA_SET_USERDATA
);

const CREATE_PORTS = message(
  "60 00 00 00  09 0a 01 04  0d 00 00 00  00 00 00 00", // length 96, NFT_MSG_NEWSET, flags 0x401, sequence, port
  "07 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_TABLE "warren"
  "13 00 02 00  69 73 6f 6c  61 74 65 64  2d 70 6f 72  74 73 00 00", // NFTA_SET_NAME "isolated-ports"
  "08 00 03 00  00 00 00 00", // NFTA_SET_FLAGS
  "08 00 04 00  00 00 00 29", // NFTA_SET_KEY_TYPE
  "08 00 05 00  00 00 00 10", // NFTA_SET_KEY_LEN
  "08 00 0a 00  00 00 00 04", // NFTA_SET_ID
  "0a 00 0d 00  00 04 01 00  00 00 00 00", // NFTA_SET_USERDATA
);

const ADD_PAIR = message(
  "68 00 00 00  0c 0a 01 04  04 00 00 00  00 00 00 00", // length 104, NFT_MSG_NEWSETELEM, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "10 00 02 00  73 61 6d 65  2d 62 72 69  64 67 65 00", // NFTA_SET_ELEM_LIST_SET "same-bridge"
  "08 00 04 00  00 00 00 01", // NFTA_SET_ELEM_LIST_SET_ID
  "30 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 48 bytes NLA_F_NESTED
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "28 00 01 80", //     NFTA_SET_ELEM_KEY, 40 bytes NLA_F_NESTED
  //       NFTA_DATA_VALUE
  "24 00 01 00  62 72 30 00  00 00 00 00  00 00 00 00  00 00 00 00  62 72 30 00  00 00 00 00  00 00 00 00  00 00 00 00",
);

const ADD_NAME = message(
  "68 00 00 00  0c 0a 01 04  06 00 00 00  00 00 00 00", // length 104, NFT_MSG_NEWSETELEM, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "0c 00 02 00  67 75 61 72  64 65 64 00", // NFTA_SET_ELEM_LIST_SET "guarded"
  "08 00 04 00  00 00 00 02", // NFTA_SET_ELEM_LIST_SET_ID
  "34 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 52 bytes NLA_F_NESTED
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "18 00 01 80", //     NFTA_SET_ELEM_KEY, 24 bytes NLA_F_NESTED
  "14 00 01 00  62 72 30 00  00 00 00 00  00 00 00 00  00 00 00 00", //       NFTA_DATA_VALUE
  "11 00 06 00  00 0b 77 61  72 72 65 6e  20 6c 61 62  00 00 00 00", //     NFTA_SET_ELEM_USERDATA
);

const PAIR_RULE = message(
  "e0 00 00 00  06 0a 01 0c  08 00 00 00  00 00 00 00", // length 224, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0d 00 02 00  66 69 72 65  77 61 6c 6c  00 00 00 00", // NFTA_RULE_CHAIN "firewall"
  "b0 00 04 80", // NFTA_RULE_EXPRESSIONS, 176 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 06", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 07", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 02", //       NFTA_META_DREG
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "10 00 01 00  73 61 6d 65  2d 62 72 69  64 67 65 00", //       NFTA_LOOKUP_SET "same-bridge"
  "08 00 04 00  00 00 00 01", //       NFTA_LOOKUP_SET_ID
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //           NFTA_VERDICT_CODE
);

const PUBLISHED_RULE = message(
  "a4 01 00 00  06 0a 01 0c  09 00 00 00  00 00 00 00", // length 420, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0d 00 02 00  66 69 72 65  77 61 6c 6c  00 00 00 00", // NFTA_RULE_CHAIN "firewall"
  "74 01 04 80", // NFTA_RULE_EXPRESSIONS, 372 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 07", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "0c 00 01 00  67 75 61 72  64 65 64 00", //       NFTA_LOOKUP_SET "guarded"
  "08 00 04 00  00 00 00 02", //       NFTA_LOOKUP_SET_ID
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 06", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "28 00 02 80", //     NFTA_EXPR_DATA, 40 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "0c 00 01 00  67 75 61 72  64 65 64 00", //       NFTA_LOOKUP_SET "guarded"
  "08 00 04 00  00 00 00 02", //       NFTA_LOOKUP_SET_ID
  "08 00 05 00  00 00 00 01", //       NFTA_LOOKUP_FLAGS
  "20 00 01 80", //   NFTA_LIST_ELEM, 32 bytes NLA_F_NESTED
  "07 00 01 00  63 74 00 00", //     NFTA_EXPR_NAME "ct"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 02", //       NFTA_CT_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_CT_DREG
  "44 00 01 80", //   NFTA_LIST_ELEM, 68 bytes NLA_F_NESTED
  "0c 00 01 00  62 69 74 77  69 73 65 00", //     NFTA_EXPR_NAME "bitwise"
  "34 00 02 80", //     NFTA_EXPR_DATA, 52 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_BITWISE_SREG
  "08 00 02 00  00 00 00 01", //       NFTA_BITWISE_DREG
  "08 00 03 00  00 00 00 04", //       NFTA_BITWISE_LEN
  "0c 00 04 80", //       NFTA_BITWISE_MASK, 12 bytes NLA_F_NESTED
  "08 00 01 00  20 00 00 00", //         NFTA_DATA_VALUE
  "0c 00 05 80", //       NFTA_BITWISE_XOR, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //         NFTA_DATA_VALUE
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 01", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //         NFTA_DATA_VALUE
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //           NFTA_VERDICT_CODE
);

const POD_RULE = message(
  "1c 01 00 00  06 0a 01 0c  0a 00 00 00  00 00 00 00", // length 284, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0d 00 02 00  66 69 72 65  77 61 6c 6c  00 00 00 00", // NFTA_RULE_CHAIN "firewall"
  "ec 00 04 80", // NFTA_RULE_EXPRESSIONS, 236 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 0f", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "05 00 01 00  0a 00 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 01", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 18", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 10", //       NFTA_PAYLOAD_LEN
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "0e 00 01 00  70 6f 64 73  2d 69 70 76  36 00 00 00", //       NFTA_LOOKUP_SET "pods-ipv6"
  "08 00 04 00  00 00 00 03", //       NFTA_LOOKUP_SET_ID
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //           NFTA_VERDICT_CODE
);

const PORT_RULE = message(
  "c0 00 00 00  06 0a 01 0c  0e 00 00 00  00 00 00 00", // length 192, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "07 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0d 00 02 00  66 69 72 65  77 61 6c 6c  00 00 00 00", // NFTA_RULE_CHAIN "firewall"
  "90 00 04 80", // NFTA_RULE_EXPRESSIONS, 144 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 07", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "28 00 02 80", //     NFTA_EXPR_DATA, 40 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "13 00 01 00  69 73 6f 6c  61 74 65 64  2d 70 6f 72  74 73 00 00", //       NFTA_LOOKUP_SET "isolated-ports"
  "08 00 04 00  00 00 00 04", //       NFTA_LOOKUP_SET_ID
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //           NFTA_VERDICT_CODE
);

const DUMP_ALL_CHAINS = message(
  "14 00 00 00  04 0a 01 03  00 00 00 00  00 00 00 00", // length 20, NFT_MSG_GETCHAIN, flags 0x301, sequence, port
  "00 00 00 00", // nfgenmsg
);

const INET = { family: "inet", name: "warren" } as const;
const BRIDGE = { family: "bridge", name: "warren" } as const;
const HEADER = { family: 1, version: 0, resource: 0 };

/** nft names a set of the same transaction by its number too, which the kernel doesn't ask for. */
function numbered(setId: number, expressions: readonly Expression[]): Expression[] {
  return expressions.map((one) =>
    one.kind === "lookup" && one.data !== undefined ? { ...one, data: { ...one.data, setId } } : one,
  );
}

describe("chains", () => {
  // table bridge warren { chain firewall { type filter hook forward priority filter; policy accept; } }
  goldenRequest(
    "create a chain of bridged frames",
    CREATE_CHAIN,
    createChain(BRIDGE, { name: "firewall", base: { type: "filter", hook: "forward", priority: -200 } }),
  );
  // list chains
  goldenRequest("list all chains", DUMP_ALL_CHAINS, dumpAllChains());
});

describe("sets", () => {
  // set same-bridge { type ifname . ifname; }
  golden("create a set of pairs", CREATE_PAIRS, setMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      name: "same-bridge",
      flags: 0,
      keyType: (41 << 6) | 41,
      keyLength: 32,
      id: 1,
      userData: [
        { type: 0, bytes: new Uint8Array(4) }, // NFTNL_UDATA_SET_KEYBYTEORDER
        // NFTNL_UDATA_SET_KEY_TYPEOF, which only nft's own listing would miss
        { type: 3, bytes: Uint8Array.of(0, 4, 13, 0, 0, 0, 1, 0) },
      ],
    },
  });
  // set isolated-ports { type ifname; }
  goldenRequest(
    "create a set of names",
    CREATE_PORTS,
    createSet(BRIDGE, { name: "isolated-ports", key: ["interfaceName"], id: 4 }),
  );
  // elements = { "br0" . "br0" }
  golden("add a pair", ADD_PAIR, elementMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      set: "same-bridge",
      setId: 1,
      elements: [{ key: { value: concatenated(interfaceNameBytes("br0"), interfaceNameBytes("br0")) } }],
    },
  });
  // elements = { "br0" comment "warren lab" }
  golden("add a name with a comment", ADD_NAME, elementMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      set: "guarded",
      setId: 2,
      elements: [
        {
          key: { value: interfaceNameBytes("br0") },
          userData: [{ type: 0, bytes: new TextEncoder().encode("warren lab\0") }],
        },
      ],
    },
  });
});

describe("rules", () => {
  // iifname . oifname @same-bridge accept
  goldenRequest(
    "pair of interfaces",
    PAIR_RULE,
    addRule(INET, {
      chain: "firewall",
      expressions: [...numbered(1, interfacePairIn("same-bridge")), verdict("accept")],
    }),
  );
  // oifname @guarded iifname != @guarded ct status dnat accept
  goldenRequest(
    "published ports",
    PUBLISHED_RULE,
    addRule(INET, {
      chain: "firewall",
      expressions: [
        ...numbered(2, [...outputInterfaceIn("guarded"), ...inputInterfaceIn("guarded", "notEqual")]),
        ...connectionStatus("dnat"),
        verdict("accept"),
      ],
    }),
  );
  // ip6 daddr @pods-ipv6 accept
  goldenRequest(
    "address in a set",
    POD_RULE,
    addRule(INET, {
      chain: "firewall",
      expressions: [...numbered(3, addressInSet("destination", "ipv6", "pods-ipv6")), verdict("accept")],
    }),
  );
  // oifname @isolated-ports drop
  goldenRequest(
    "bridged to a port in a set",
    PORT_RULE,
    addRule(BRIDGE, {
      chain: "firewall",
      expressions: [...numbered(4, outputInterfaceIn("isolated-ports")), verdict("drop")],
    }),
  );
});
