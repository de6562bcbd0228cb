// nf_tables messages as nft sends them. Above each rule stands the nft command that made it.
import { describe } from "bun:test";
import {
  compare,
  counter,
  type Expression,
  immediate,
  lookup,
  MetaKey,
  masquerade,
  meta,
  nat,
  PayloadBase,
  payload,
  Register,
  verdict,
} from "../../src/netlink/expression.ts";
import {
  connectionState,
  connectionStatus,
  destinationIn,
  destinationIsLocal,
  inputInterface,
  interfaceNameBytes,
  packetFamily,
  sourceIn,
} from "../../src/netlink/match.ts";
import {
  addRule,
  chainMessage,
  createChain,
  createTable,
  deleteChain,
  deleteTable,
  dumpRules,
  flushChain,
  getGeneration,
  ruleMessage,
  tableMessage,
} from "../../src/netlink/nftables.ts";
import {
  concatenated,
  createSet,
  deleteElements,
  dumpElements,
  elementMessage,
  setMessage,
} from "../../src/netlink/nftables-set.ts";
import { golden, goldenRequest, message } from "./message.ts";

const CREATE_TABLE = message(
  "28 00 00 00  00 0a  01 00  01 00 00 00  00 00 00 00", // length 40, NFT_MSG_NEWTABLE, flags 0x1, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_TABLE_NAME "warren"
  "08 00 02 00  00 00 00 00", // NFTA_TABLE_FLAGS
);

const CREATE_NAT_CHAIN = message(
  "68 00 00 00  03 0a  01 04  02 00 00 00  00 00 00 00", // length 104, NFT_MSG_NEWCHAIN, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "10 00 03 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_CHAIN_NAME "postrouting"
  "08 00 07 00  6e 61 74 00", // NFTA_CHAIN_TYPE "nat"
  "08 00 05 00  00 00 00 01", // NFTA_CHAIN_POLICY
  "14 00 04 80", // NFTA_CHAIN_HOOK, 20 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 04", //   NFTA_HOOK_HOOKNUM
  "08 00 02 00  00 00 00 64", //   NFTA_HOOK_PRIORITY
  // NFTA_CHAIN_USERDATA
  "14 00 0c 00  00 0e 6e 61  74 20 6f 66  20 77 61 72  72 65 6e 00",
);

const MASQUERADE_RULE = message(
  "c4 01 00 00  06 0a  01 0c  03 00 00 00  00 00 00 00", // length 452, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "10 00 02 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_RULE_CHAIN "postrouting"
  "84 01 04 80", // NFTA_RULE_EXPRESSIONS, 388 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 06", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "2c 00 02 80", //     NFTA_EXPR_DATA, 44 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "18 00 03 80", //       NFTA_CMP_DATA, 24 bytes NLA_F_NESTED
  // NFTA_DATA_VALUE "br0"
  "14 00 01 00  62 72 30 00  00 00 00 00  00 00 00 00  00 00 00 00",
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
  "05 00 01 00  02 00 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 01", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 0c", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 02", //       NFTA_PAYLOAD_LEN
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "06 00 01 00  0a 58 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 01", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 10", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 02", //       NFTA_PAYLOAD_LEN
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 01", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "06 00 01 00  0a 58 00 00", //         NFTA_DATA_VALUE
  "14 00 01 80", //   NFTA_LIST_ELEM, 20 bytes NLA_F_NESTED
  "09 00 01 00  6d 61 73 71  00 00 00 00", //     NFTA_EXPR_NAME "masq"
  "04 00 02 80", //     NFTA_EXPR_DATA, 4 bytes NLA_F_NESTED
  "0e 00 07 00  00 08 6e 65  74 20 6c 61  62 00 00 00", // NFTA_RULE_USERDATA
);

const MASK_RULE = message(
  "3c 01 00 00  06 0a  01 0c  04 00 00 00  00 00 00 00", // length 316, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "10 00 02 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_RULE_CHAIN "postrouting"
  "0c 01 04 80", // NFTA_RULE_EXPRESSIONS, 268 bytes NLA_F_NESTED
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
  "05 00 01 00  02 00 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 01", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 0c", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 04", //       NFTA_PAYLOAD_LEN
  "44 00 01 80", //   NFTA_LIST_ELEM, 68 bytes NLA_F_NESTED
  "0c 00 01 00  62 69 74 77  69 73 65 00", //     NFTA_EXPR_NAME "bitwise"
  "34 00 02 80", //     NFTA_EXPR_DATA, 52 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_BITWISE_SREG
  "08 00 02 00  00 00 00 01", //       NFTA_BITWISE_DREG
  "08 00 03 00  00 00 00 04", //       NFTA_BITWISE_LEN
  "0c 00 04 80", //       NFTA_BITWISE_MASK, 12 bytes NLA_F_NESTED
  "08 00 01 00  ff ff f0 00", //         NFTA_DATA_VALUE
  "0c 00 05 80", //       NFTA_BITWISE_XOR, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //         NFTA_DATA_VALUE
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "08 00 01 00  0a 58 00 00", //         NFTA_DATA_VALUE
  "14 00 01 80", //   NFTA_LIST_ELEM, 20 bytes NLA_F_NESTED
  "09 00 01 00  6d 61 73 71  00 00 00 00", //     NFTA_EXPR_NAME "masq"
  "04 00 02 80", //     NFTA_EXPR_DATA, 4 bytes NLA_F_NESTED
);

const SNAT_RULE = message(
  "48 01 00 00  06 0a  01 0c  05 00 00 00  00 00 00 00", // length 328, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "10 00 02 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_RULE_CHAIN "postrouting"
  "18 01 04 80", // NFTA_RULE_EXPRESSIONS, 280 bytes NLA_F_NESTED
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
  "08 00 03 00  00 00 00 08", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 08", //       NFTA_PAYLOAD_LEN
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "10 00 03 80", //       NFTA_CMP_DATA, 16 bytes NLA_F_NESTED
  "0c 00 01 00  fd 00 00 88  00 00 00 00", //         NFTA_DATA_VALUE
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_IMMEDIATE_DREG
  "18 00 02 80", //       NFTA_IMMEDIATE_DATA, 24 bytes NLA_F_NESTED
  // NFTA_DATA_VALUE
  "14 00 01 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 01",
  "28 00 01 80", //   NFTA_LIST_ELEM, 40 bytes NLA_F_NESTED
  "08 00 01 00  6e 61 74 00", //     NFTA_EXPR_NAME "nat"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_NAT_TYPE
  "08 00 02 00  00 00 00 0a", //       NFTA_NAT_FAMILY
  "08 00 03 00  00 00 00 01", //       NFTA_NAT_REG_ADDR_MIN
);

const CREATE_SET = message(
  "58 00 00 00  09 0a  01 04  05 00 00 00  00 00 00 00", // length 88, NFT_MSG_NEWSET, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_TABLE "warren"
  "09 00 02 00  70 6f 64 73  00 00 00 00", // NFTA_SET_NAME "pods"
  "08 00 03 00  00 00 00 00", // NFTA_SET_FLAGS
  "08 00 04 00  00 00 00 07", // NFTA_SET_KEY_TYPE
  "08 00 05 00  00 00 00 04", // NFTA_SET_KEY_LEN
  "08 00 0a 00  00 00 00 01", // NFTA_SET_ID
  "0a 00 0d 00  00 04 02 00  00 00 00 00", // NFTA_SET_USERDATA
);

const ADD_ELEMENT = message(
  "54 00 00 00  0c 0a  01 04  06 00 00 00  00 00 00 00", // length 84, NFT_MSG_NEWSETELEM, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "09 00 02 00  70 6f 64 73  00 00 00 00", // NFTA_SET_ELEM_LIST_SET "pods"
  "08 00 04 00  00 00 00 01", // NFTA_SET_ELEM_LIST_SET_ID
  "20 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 32 bytes NLA_F_NESTED
  "1c 00 01 80", //   NFTA_LIST_ELEM, 28 bytes NLA_F_NESTED
  "0c 00 01 80", //     NFTA_SET_ELEM_KEY, 12 bytes NLA_F_NESTED
  "08 00 01 00  0a 58 00 02", //       NFTA_DATA_VALUE
  "0a 00 06 00  00 04 70 6f  64 00 00 00", //     NFTA_SET_ELEM_USERDATA
);

const CREATE_MAP = message(
  "88 00 00 00  09 0a  01 04  07 00 00 00  00 00 00 00", // length 136, NFT_MSG_NEWSET, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_TABLE "warren"
  "0a 00 02 00  70 6f 72 74  73 00 00 00", // NFTA_SET_NAME "ports"
  "08 00 03 00  00 00 00 08", // NFTA_SET_FLAGS
  "08 00 04 00  00 00 03 0d", // NFTA_SET_KEY_TYPE
  "08 00 05 00  00 00 00 08", // NFTA_SET_KEY_LEN
  "08 00 06 00  00 00 01 cd", // NFTA_SET_DATA_TYPE
  "08 00 07 00  00 00 00 08", // NFTA_SET_DATA_LEN
  "08 00 0a 00  00 00 00 02", // NFTA_SET_ID
  // NFTA_SET_USERDATA
  "2a 00 0d 00  00 04 00 00  00 00 01 04  00 00 00 00  03 08 00 04  0d 00 00 00  01 00 04 08  00 04 0d 00  00 00 01 00  06 04 00 00  00 00 00 00",
);

const ADD_MAP_ELEMENT = message(
  "5c 00 00 00  0c 0a  01 04  08 00 00 00  00 00 00 00", // length 92, NFT_MSG_NEWSETELEM, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "0a 00 02 00  70 6f 72 74  73 00 00 00", // NFTA_SET_ELEM_LIST_SET "ports"
  "08 00 04 00  00 00 00 02", // NFTA_SET_ELEM_LIST_SET_ID
  "28 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 40 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "10 00 01 80", //     NFTA_SET_ELEM_KEY, 16 bytes NLA_F_NESTED
  "0c 00 01 00  06 00 00 00  1f 90 00 00", //       NFTA_DATA_VALUE
  "10 00 02 80", //     NFTA_SET_ELEM_DATA, 16 bytes NLA_F_NESTED
  "0c 00 01 00  0a 58 00 02  00 50 00 00", //       NFTA_DATA_VALUE
);

const CREATE_CHAIN = message(
  "2c 00 00 00  03 0a  01 04  02 00 00 00  00 00 00 00", // length 44, NFT_MSG_NEWCHAIN, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "0a 00 03 00  6f 74 68 65  72 00 00 00", // NFTA_CHAIN_NAME "other"
);

const CREATE_FILTER_CHAIN = message(
  "54 00 00 00  03 0a  01 04  03 00 00 00  00 00 00 00", // length 84, NFT_MSG_NEWCHAIN, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "0c 00 03 00  66 6f 72 77  61 72 64 00", // NFTA_CHAIN_NAME "forward"
  "0b 00 07 00  66 69 6c 74  65 72 00 00", // NFTA_CHAIN_TYPE "filter"
  "08 00 05 00  00 00 00 00", // NFTA_CHAIN_POLICY
  "14 00 04 80", // NFTA_CHAIN_HOOK, 20 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 02", //   NFTA_HOOK_HOOKNUM
  "08 00 02 00  00 00 00 00", //   NFTA_HOOK_PRIORITY
);

const CREATE_DNAT_CHAIN = message(
  "54 00 00 00  03 0a  01 04  04 00 00 00  00 00 00 00", // length 84, NFT_MSG_NEWCHAIN, flags 0x401, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "0f 00 03 00  70 72 65 72  6f 75 74 69  6e 67 00 00", // NFTA_CHAIN_NAME "prerouting"
  "08 00 07 00  6e 61 74 00", // NFTA_CHAIN_TYPE "nat"
  "08 00 05 00  00 00 00 01", // NFTA_CHAIN_POLICY
  "14 00 04 80", // NFTA_CHAIN_HOOK, 20 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //   NFTA_HOOK_HOOKNUM
  "08 00 02 00  ff ff ff 9c", //   NFTA_HOOK_PRIORITY
);

const COUNTER_RULE = message(
  "74 00 00 00  06 0a  01 0c  0a 00 00 00  00 00 00 00", // length 116, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0a 00 02 00  6f 74 68 65  72 00 00 00", // NFTA_RULE_CHAIN "other"
  "48 00 04 80", // NFTA_RULE_EXPRESSIONS, 72 bytes NLA_F_NESTED
  "14 00 01 80", //   NFTA_LIST_ELEM, 20 bytes NLA_F_NESTED
  "0c 00 01 00  63 6f 75 6e  74 65 72 00", //     NFTA_EXPR_NAME "counter"
  "04 00 02 80", //     NFTA_EXPR_DATA, 4 bytes NLA_F_NESTED
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  ff ff ff fb", //           NFTA_VERDICT_CODE
);

const STATE_RULE = message(
  "f0 00 00 00  06 0a  01 0c  0b 00 00 00  00 00 00 00", // length 240, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "c4 00 04 80", // NFTA_RULE_EXPRESSIONS, 196 bytes NLA_F_NESTED
  "20 00 01 80", //   NFTA_LIST_ELEM, 32 bytes NLA_F_NESTED
  "07 00 01 00  63 74 00 00", //     NFTA_EXPR_NAME "ct"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 00", //       NFTA_CT_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_CT_DREG
  "44 00 01 80", //   NFTA_LIST_ELEM, 68 bytes NLA_F_NESTED
  "0c 00 01 00  62 69 74 77  69 73 65 00", //     NFTA_EXPR_NAME "bitwise"
  "34 00 02 80", //     NFTA_EXPR_DATA, 52 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_BITWISE_SREG
  "08 00 02 00  00 00 00 01", //       NFTA_BITWISE_DREG
  "08 00 03 00  00 00 00 04", //       NFTA_BITWISE_LEN
  "0c 00 04 80", //       NFTA_BITWISE_MASK, 12 bytes NLA_F_NESTED
  "08 00 01 00  06 00 00 00", //         NFTA_DATA_VALUE
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

const JUMP_RULE = message(
  "c8 00 00 00  06 0a  01 0c  0d 00 00 00  00 00 00 00", // length 200, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "9c 00 04 80", // NFTA_RULE_EXPRESSIONS, 156 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 07", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "2c 00 02 80", //     NFTA_EXPR_DATA, 44 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "18 00 03 80", //       NFTA_CMP_DATA, 24 bytes NLA_F_NESTED
  // NFTA_DATA_VALUE "br0"
  "14 00 01 00  62 72 30 00  00 00 00 00  00 00 00 00  00 00 00 00",
  "3c 00 01 80", //   NFTA_LIST_ELEM, 60 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "28 00 02 80", //     NFTA_EXPR_DATA, 40 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "1c 00 02 80", //       NFTA_IMMEDIATE_DATA, 28 bytes NLA_F_NESTED
  "18 00 02 80", //         NFTA_DATA_VERDICT, 24 bytes NLA_F_NESTED
  "08 00 01 00  ff ff ff fd", //           NFTA_VERDICT_CODE
  "0a 00 02 00  6f 74 68 65  72 00 00 00", //           NFTA_VERDICT_CHAIN "other"
);

const SET_RULE = message(
  "14 01 00 00  06 0a  01 0c  0e 00 00 00  00 00 00 00", // length 276, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "e8 00 04 80", // NFTA_RULE_EXPRESSIONS, 232 bytes NLA_F_NESTED
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
  "05 00 01 00  02 00 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 01", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 0c", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 04", //       NFTA_PAYLOAD_LEN
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "09 00 01 00  70 6f 64 73  00 00 00 00", //       NFTA_LOOKUP_SET "pods"
  "08 00 04 00  00 00 00 01", //       NFTA_LOOKUP_SET_ID
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //           NFTA_VERDICT_CODE
);

const PORT_RULE = message(
  "10 01 00 00  06 0a  01 0c  0f 00 00 00  00 00 00 00", // length 272, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "e4 00 04 80", // NFTA_RULE_EXPRESSIONS, 228 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 10", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "05 00 01 00  06 00 00 00", //         NFTA_DATA_VALUE
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 02", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 02", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 02", //       NFTA_PAYLOAD_LEN
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "06 00 01 00  00 50 00 00", //         NFTA_DATA_VALUE
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "10 00 02 80", //       NFTA_IMMEDIATE_DATA, 16 bytes NLA_F_NESTED
  "0c 00 02 80", //         NFTA_DATA_VERDICT, 12 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //           NFTA_VERDICT_CODE
);

const LOCAL_RULE = message(
  "c0 00 00 00  06 0a  01 0c  10 00 00 00  00 00 00 00", // length 192, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "94 00 04 80", // NFTA_RULE_EXPRESSIONS, 148 bytes NLA_F_NESTED
  "28 00 01 80", //   NFTA_LIST_ELEM, 40 bytes NLA_F_NESTED
  "08 00 01 00  66 69 62 00", //     NFTA_EXPR_NAME "fib"
  "1c 00 02 80", //     NFTA_EXPR_DATA, 28 bytes NLA_F_NESTED
  "08 00 03 00  00 00 00 02", //       NFTA_FIB_FLAGS
  "08 00 02 00  00 00 00 03", //       NFTA_FIB_RESULT
  "08 00 01 00  00 00 00 01", //       NFTA_FIB_DREG
  "2c 00 01 80", //   NFTA_LIST_ELEM, 44 bytes NLA_F_NESTED
  "08 00 01 00  63 6d 70 00", //     NFTA_EXPR_NAME "cmp"
  "20 00 02 80", //     NFTA_EXPR_DATA, 32 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_CMP_SREG
  "08 00 02 00  00 00 00 00", //       NFTA_CMP_OP
  "0c 00 03 80", //       NFTA_CMP_DATA, 12 bytes NLA_F_NESTED
  "08 00 01 00  02 00 00 00", //         NFTA_DATA_VALUE
  "3c 00 01 80", //   NFTA_LIST_ELEM, 60 bytes NLA_F_NESTED
  "0e 00 01 00  69 6d 6d 65  64 69 61 74  65 00 00 00", //     NFTA_EXPR_NAME "immediate"
  "28 00 02 80", //     NFTA_EXPR_DATA, 40 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 00", //       NFTA_IMMEDIATE_DREG
  "1c 00 02 80", //       NFTA_IMMEDIATE_DATA, 28 bytes NLA_F_NESTED
  "18 00 02 80", //         NFTA_DATA_VERDICT, 24 bytes NLA_F_NESTED
  "08 00 01 00  ff ff ff fc", //           NFTA_VERDICT_CODE
  "0a 00 02 00  6f 74 68 65  72 00 00 00", //           NFTA_VERDICT_CHAIN "other"
);

const STATUS_RULE = message(
  "f0 00 00 00  06 0a  01 0c  12 00 00 00  00 00 00 00", // length 240, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
  "c4 00 04 80", // NFTA_RULE_EXPRESSIONS, 196 bytes NLA_F_NESTED
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

const MAP_RULE = message(
  "f4 00 00 00  06 0a  01 0c  13 00 00 00  00 00 00 00", // length 244, NFT_MSG_NEWRULE, flags 0xc01, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0f 00 02 00  70 72 65 72  6f 75 74 69  6e 67 00 00", // NFTA_RULE_CHAIN "prerouting"
  "c4 00 04 80", // NFTA_RULE_EXPRESSIONS, 196 bytes NLA_F_NESTED
  "24 00 01 80", //   NFTA_LIST_ELEM, 36 bytes NLA_F_NESTED
  "09 00 01 00  6d 65 74 61  00 00 00 00", //     NFTA_EXPR_NAME "meta"
  "14 00 02 80", //     NFTA_EXPR_DATA, 20 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 10", //       NFTA_META_KEY
  "08 00 01 00  00 00 00 01", //       NFTA_META_DREG
  "34 00 01 80", //   NFTA_LIST_ELEM, 52 bytes NLA_F_NESTED
  "0c 00 01 00  70 61 79 6c  6f 61 64 00", //     NFTA_EXPR_NAME "payload"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 09", //       NFTA_PAYLOAD_DREG
  "08 00 02 00  00 00 00 02", //       NFTA_PAYLOAD_BASE
  "08 00 03 00  00 00 00 02", //       NFTA_PAYLOAD_OFFSET
  "08 00 04 00  00 00 00 02", //       NFTA_PAYLOAD_LEN
  "38 00 01 80", //   NFTA_LIST_ELEM, 56 bytes NLA_F_NESTED
  "0b 00 01 00  6c 6f 6f 6b  75 70 00 00", //     NFTA_EXPR_NAME "lookup"
  "28 00 02 80", //     NFTA_EXPR_DATA, 40 bytes NLA_F_NESTED
  "08 00 02 00  00 00 00 01", //       NFTA_LOOKUP_SREG
  "08 00 03 00  00 00 00 01", //       NFTA_LOOKUP_DREG
  "0a 00 01 00  70 6f 72 74  73 00 00 00", //       NFTA_LOOKUP_SET "ports"
  "08 00 04 00  00 00 00 02", //       NFTA_LOOKUP_SET_ID
  "30 00 01 80", //   NFTA_LIST_ELEM, 48 bytes NLA_F_NESTED
  "08 00 01 00  6e 61 74 00", //     NFTA_EXPR_NAME "nat"
  "24 00 02 80", //     NFTA_EXPR_DATA, 36 bytes NLA_F_NESTED
  "08 00 01 00  00 00 00 01", //       NFTA_NAT_TYPE
  "08 00 02 00  00 00 00 02", //       NFTA_NAT_FAMILY
  "08 00 03 00  00 00 00 01", //       NFTA_NAT_REG_ADDR_MIN
  "08 00 05 00  00 00 00 09", //       NFTA_NAT_REG_PROTO_MIN
);

// MISSING GET_CHAIN
const DUMP_RULES = message(
  "30 00 00 00  07 0a  01 03  00 00 00 00  00 00 00 00", // length 48, NFT_MSG_GETRULE, flags 0x301, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "10 00 02 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_RULE_CHAIN "postrouting"
);

const DUMP_ELEMENTS = message(
  "2c 00 00 00  0d 0a  01 03  00 00 00 00  00 00 00 00", // length 44, NFT_MSG_GETSETELEM, flags 0x301, sequence, port
  "01 00 00 00", // nfgenmsg
  "09 00 02 00  70 6f 64 73  00 00 00 00", // NFTA_SET_ELEM_LIST_SET "pods"
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren" (nft left garbage in the padding)
);

const FLUSH_CHAIN = message(
  "2c 00 00 00  08 0a  01 00  01 00 00 00  00 00 00 00", // length 44, NFT_MSG_DELRULE, flags 0x1, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_RULE_TABLE "warren"
  "0c 00 02 00  66 6f 72 77  61 72 64 00", // NFTA_RULE_CHAIN "forward"
);

const DELETE_CHAIN = message(
  "2c 00 00 00  05 0a  01 00  01 00 00 00  00 00 00 00", // length 44, NFT_MSG_DELCHAIN, flags 0x1, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "0a 00 03 00  6f 74 68 65  72 00 00 00", // NFTA_CHAIN_NAME "other"
);

const DELETE_ELEMENT = message(
  "40 00 00 00  0e 0a  01 00  01 00 00 00  00 00 00 00", // length 64, NFT_MSG_DELSETELEM, flags 0x1, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_SET_ELEM_LIST_TABLE "warren"
  "09 00 02 00  70 6f 64 73  00 00 00 00", // NFTA_SET_ELEM_LIST_SET "pods"
  "14 00 03 80", // NFTA_SET_ELEM_LIST_ELEMENTS, 20 bytes NLA_F_NESTED
  "10 00 01 80", //   NFTA_LIST_ELEM, 16 bytes NLA_F_NESTED
  "0c 00 01 80", //     NFTA_SET_ELEM_KEY, 12 bytes NLA_F_NESTED
  "08 00 01 00  0a 58 00 02", //       NFTA_DATA_VALUE
);

const DELETE_TABLE = message(
  "20 00 00 00  02 0a  01 00  01 00 00 00  00 00 00 00", // length 32, NFT_MSG_DELTABLE, flags 0x1, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_TABLE_NAME "warren"
);

const GET_GENERATION = message(
  "14 00 00 00  10 0a  01 00  00 00 00 00  00 00 00 00", // length 20, NFT_MSG_GETGEN, flags 0x1, sequence, port
  "00 00 00 00", // nfgenmsg
);

const GET_CHAIN = message(
  "30 00 00 00  04 0a  05 00  00 00 00 00  00 00 00 00", // length 48, NFT_MSG_GETCHAIN, flags 0x5, sequence, port
  "01 00 00 00", // nfgenmsg
  "0b 00 01 00  77 61 72 72  65 6e 00 00", // NFTA_CHAIN_TABLE "warren"
  "10 00 03 00  70 6f 73 74  72 6f 75 74  69 6e 67 00", // NFTA_CHAIN_NAME "postrouting"
);

const WARREN = { family: "inet", name: "warren" } as const;
const HEADER = { family: 1, version: 0, resource: 0 };
const NETWORK = Uint8Array.of(10, 88, 0, 0);
const POD = Uint8Array.of(10, 88, 0, 2);

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

function goldenRule(
  name: string,
  recorded: Uint8Array,
  chain: string,
  expressions: readonly Expression[],
  comment?: string,
): void {
  golden(name, recorded, ruleMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      chain,
      expressions,
      userData: comment === undefined ? undefined : [{ type: 0, bytes: text(comment) }],
    },
  });
  goldenRequest(name, recorded, addRule(WARREN, { chain, expressions, comment }));
}

describe("tables and chains", () => {
  // add table inet warren
  golden("create table", CREATE_TABLE, tableMessage, {
    header: HEADER,
    attributes: { name: "warren", flags: 0 },
  });
  goldenRequest("create table", CREATE_TABLE, createTable(WARREN));

  // chain postrouting { type nat hook postrouting priority srcnat; policy accept; comment "nat of warren"; }
  golden("create nat chain", CREATE_NAT_CHAIN, chainMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      name: "postrouting",
      type: "nat",
      policy: 1,
      hook: { number: 4, priority: 100 },
      userData: [{ type: 0, bytes: text("nat of warren") }],
    },
  });
  goldenRequest(
    "create nat chain",
    CREATE_NAT_CHAIN,
    createChain(WARREN, {
      name: "postrouting",
      base: { type: "nat", hook: "postrouting", priority: 100 },
      comment: "nat of warren",
    }),
  );

  // chain other { }
  golden("create chain", CREATE_CHAIN, chainMessage, {
    header: HEADER,
    attributes: { table: "warren", name: "other" },
  });
  goldenRequest("create chain", CREATE_CHAIN, createChain(WARREN, { name: "other" }));

  // chain forward { type filter hook forward priority filter; policy drop; }
  goldenRequest(
    "create filter chain",
    CREATE_FILTER_CHAIN,
    createChain(WARREN, {
      name: "forward",
      base: { type: "filter", hook: "forward", priority: 0, policy: "drop" },
    }),
  );

  // chain prerouting { type nat hook prerouting priority dstnat; policy accept; }
  golden("create dnat chain", CREATE_DNAT_CHAIN, chainMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      name: "prerouting",
      type: "nat",
      policy: 1,
      hook: { number: 0, priority: -100 },
    },
  });

  golden("get chain", GET_CHAIN, chainMessage, {
    header: HEADER,
    attributes: { table: "warren", name: "postrouting" },
  });
  goldenRequest("delete chain", DELETE_CHAIN, deleteChain(WARREN, "other"));
  goldenRequest("delete table", DELETE_TABLE, deleteTable(WARREN));
  goldenRequest("get generation", GET_GENERATION, getGeneration());
});

describe("rules", () => {
  // iifname "br0" ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 masquerade comment "net lab"
  goldenRule(
    "masquerade",
    MASQUERADE_RULE,
    "postrouting",
    [
      ...inputInterface("br0"),
      ...packetFamily("ipv4"),
      ...sourceIn(NETWORK, 16),
      ...destinationIn(NETWORK, 16, "notEqual"),
      masquerade(),
    ],
    "net lab",
  );
  // ip saddr 10.88.0.0/20 masquerade
  goldenRule("prefix inside a byte", MASK_RULE, "postrouting", [
    ...packetFamily("ipv4"),
    ...sourceIn(NETWORK, 20),
    masquerade(),
  ]);
  // ip6 saddr fd00:88::/64 snat ip6 to fd00::1
  goldenRule("snat", SNAT_RULE, "postrouting", [
    ...packetFamily("ipv6"),
    ...sourceIn(Uint8Array.of(0xfd, 0, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 64),
    immediate(Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
    nat("source", { family: "ipv6", address: Register.first }),
  ]);
  // counter return
  goldenRule("counter", COUNTER_RULE, "other", [counter(), verdict("return")]);
  // ct state established,related accept
  goldenRule("connection state", STATE_RULE, "forward", [
    ...connectionState("established", "related"),
    verdict("accept"),
  ]);
  // oifname "br0" jump other
  goldenRule("jump", JUMP_RULE, "forward", [
    meta(MetaKey.outputName),
    compare("equal", interfaceNameBytes("br0")),
    verdict("jump", "other"),
  ]);
  // ip saddr @pods drop; attributes in nft's order, which the kernel doesn't ask for
  goldenRequest(
    "set",
    SET_RULE,
    addRule(WARREN, {
      chain: "forward",
      expressions: [
        ...packetFamily("ipv4"),
        payload(PayloadBase.network, 12, 4),
        lookup("pods", { setId: 1 }),
        verdict("drop"),
      ],
    }),
  );
  // tcp dport 80 accept
  goldenRule("port", PORT_RULE, "forward", [
    meta(MetaKey.transport),
    compare("equal", Uint8Array.of(6)),
    payload(PayloadBase.transport, 2, 2),
    compare("equal", Uint8Array.of(0, 80)),
    verdict("accept"),
  ]);
  // fib daddr type local goto other
  goldenRule("local address", LOCAL_RULE, "forward", [...destinationIsLocal(), verdict("goto", "other")]);
  // ct status dnat accept
  goldenRule("connection status", STATUS_RULE, "forward", [...connectionStatus("dnat"), verdict("accept")]);
  // dnat ip to meta l4proto . th dport map @ports
  goldenRequest(
    "map",
    MAP_RULE,
    addRule(WARREN, {
      chain: "prerouting",
      expressions: [
        meta(MetaKey.transport),
        payload(PayloadBase.transport, 2, 2, Register.word(1)),
        lookup("ports", { destination: Register.first, setId: 2 }),
        nat("destination", { family: "ipv4", address: Register.first, port: Register.word(1) }),
      ],
    }),
  );
  goldenRequest("list rules", DUMP_RULES, dumpRules(WARREN, "postrouting"));
  goldenRequest("flush chain", FLUSH_CHAIN, flushChain(WARREN, "forward"));
});

describe("sets", () => {
  // set pods { type ipv4_addr; }
  golden("create set", CREATE_SET, setMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      name: "pods",
      flags: 0,
      keyType: 7,
      keyLength: 4,
      id: 1,
      userData: [{ type: 0, bytes: Uint8Array.of(2, 0, 0, 0) }],
    },
  });
  goldenRequest("create set", CREATE_SET, createSet(WARREN, { name: "pods", key: ["ipv4Address"] }));

  // map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  golden("create map", CREATE_MAP, setMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      name: "ports",
      flags: 8,
      keyType: (12 << 6) | 13,
      keyLength: 8,
      dataType: (7 << 6) | 13,
      dataLength: 8,
      id: 2,
      userData: [
        { type: 0, bytes: new Uint8Array(4) }, // NFTNL_UDATA_SET_KEYBYTEORDER
        { type: 1, bytes: new Uint8Array(4) }, // NFTNL_UDATA_SET_DATABYTEORDER
        { type: 3, bytes: Uint8Array.of(0, 4, 13, 0, 0, 0, 1, 0) }, // NFTNL_UDATA_SET_KEY_TYPEOF
        { type: 4, bytes: Uint8Array.of(0, 4, 13, 0, 0, 0, 1, 0) }, // NFTNL_UDATA_SET_DATA_TYPEOF
        { type: 6, bytes: new Uint8Array(4) }, // NFTNL_UDATA_SET_DATA_INTERVAL
      ],
    },
  });

  // elements = { 10.88.0.2 comment "pod" }, the set's number left to nft
  golden("add element", ADD_ELEMENT, elementMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      set: "pods",
      setId: 1,
      elements: [{ key: { value: POD }, userData: [{ type: 0, bytes: text("pod") }] }],
    },
  });

  // elements = { tcp . 8080 : 10.88.0.2 . 80 }
  golden("add map element", ADD_MAP_ELEMENT, elementMessage, {
    header: HEADER,
    attributes: {
      table: "warren",
      set: "ports",
      setId: 2,
      elements: [
        {
          key: { value: concatenated(Uint8Array.of(6), Uint8Array.of(0x1f, 0x90)) },
          data: { value: concatenated(POD, Uint8Array.of(0, 80)) },
        },
      ],
    },
  });
  goldenRequest("delete element", DELETE_ELEMENT, deleteElements(WARREN, "pods", [{ key: POD }]));
  goldenRequest("list elements", DUMP_ELEMENTS, dumpElements(WARREN, "pods"));
});
