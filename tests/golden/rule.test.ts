// Rule messages as iproute2 sends them.
import { describe } from "bun:test";
import { addRule, deleteRule, dumpRules, ruleMessage } from "../../src/netlink/rule.ts";
import { golden, goldenRequest, message } from "./message.ts";

const ADD_IPV4 = message(
  "24 00 00 00  20 00  05 06  8b 5e 0b 6b  00 00 00 00", // length 36, RTM_NEWRULE, flags 0x605, sequence, port
  "02 00 20 00  64 00 00 01  00 00 00 00", // fib_rule_hdr: table 100, FR_ACT_TO_TBL
  "08 00 02 00  0a 5b 00 02", // FRA_SRC
);

const ADD_IPV6 = message(
  "38 00 00 00  20 00  05 06  8b 5e 0b 6b  00 00 00 00", // length 56, RTM_NEWRULE, flags 0x605, sequence, port
  "0a 00 80 00  00 00 00 01  00 00 00 00", // fib_rule_hdr
  "14 00 02 00  fd 00 00 91  00 00 00 00  00 00 00 00  00 00 00 02", // FRA_SRC
  "08 00 0f 00  e8 03 00 00", // FRA_TABLE
);

const DELETE_IPV4 = message(
  "24 00 00 00  21 00  05 00  8b 5e 0b 6b  00 00 00 00", // length 36, RTM_DELRULE, flags 0x5, sequence, port
  "02 00 20 00  64 00 00 00  00 00 00 00", // fib_rule_hdr: any action
  "08 00 02 00  0a 5b 00 02", // FRA_SRC
);

const DUMP_IPV6 = message(
  "1c 00 00 00  22 00  01 03  8b 5e 0b 6b  00 00 00 00", // length 28, RTM_GETRULE, flags 0x301, sequence, port
  "0a 00 00 00  00 00 00 00  00 00 00 00", // fib_rule_hdr
);

const IPV4 = { source: new Uint8Array([10, 91, 0, 2]), table: 100 };
const IPV6 = { source: Uint8Array.of(0xfd, 0, 0, 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2), table: 1000 };

describe("a rule by source", () => {
  // ip rule add from 10.91.0.2 table 100
  golden("for IPv4", ADD_IPV4, ruleMessage, {
    header: {
      ...{ family: 2, destinationLength: 0, sourceLength: 32, serviceType: 0 },
      ...{ table: 100, action: 1, flags: 0 },
    },
    attributes: { source: IPV4.source },
  });
  goldenRequest("for IPv4", ADD_IPV4, addRule(IPV4));
  // ip -6 rule add from fd00:91::2 table 1000
  golden("for IPv6, in a table with a large number", ADD_IPV6, ruleMessage, {
    header: {
      ...{ family: 10, destinationLength: 0, sourceLength: 128, serviceType: 0 },
      ...{ table: 0, action: 1, flags: 0 },
    },
    attributes: { source: IPV6.source, table: 1000 },
  });
  goldenRequest("for IPv6, in a table with a large number", ADD_IPV6, addRule(IPV6));
  // ip rule del from 10.91.0.2 table 100
  goldenRequest("removed", DELETE_IPV4, deleteRule(IPV4));
  // ip -6 rule list
  goldenRequest("all of them", DUMP_IPV6, dumpRules("ipv6"));
});
