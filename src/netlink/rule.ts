// Routing rules, by which the kernel chooses a table before it looks for a route: RTM_NEWRULE, RTM_DELRULE and RTM_GETRULE
// (linux/fib_rules.h). Only what rules by source need has a name here; addresses are raw bytes, as in address.ts.
import { type AddressFamily, addressText, FAMILIES, familyOf } from "./address.ts";
import { attributes, bytes, headed, padding, struct, u8, u32 } from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";
import { Table } from "./route.ts";

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const TO_TABLE = 1; // FR_ACT_TO_TBL

/** The body of a rule message: struct fib_rule_hdr and FRA_*. */
export const ruleMessage = headed(
  struct({
    family: u8,
    destinationLength: u8,
    sourceLength: u8,
    serviceType: u8,
    table: u8,
    reserved: padding(2),
    action: u8,
    flags: u32,
  }),
  attributes({
    source: [2, bytes], // FRA_SRC
    priority: [6, u32], // FRA_PRIORITY
    table: [15, u32], // FRA_TABLE: the header has room only for tables up to 255
  }),
);

/** A rule: what comes from this address goes by that table. */
export interface SourceRule {
  readonly source: Uint8Array;
  readonly table: number;
}

function ruleRequest(
  verb: string,
  type: number,
  flags: number,
  rule: SourceRule,
  action: number,
): Request<never> {
  const { source, table } = rule;
  return {
    operation: `${verb} rule from ${addressText(source)} lookup ${table}`,
    type,
    flags,
    encode(writer) {
      ruleMessage.encode(writer, {
        header: {
          family: FAMILIES[familyOf(source)],
          destinationLength: 0,
          sourceLength: source.length * 8,
          serviceType: 0,
          table: table > 0xff ? Table.unspecified : table,
          action,
          flags: 0,
        },
        attributes: { source, table: table <= 0xff ? undefined : table },
      });
    },
  };
}

/** Makes a rule, which goes before all others but that of the table `local`; EEXIST if there is one like it. */
export function addRule(rule: SourceRule): Request<never> {
  return ruleRequest("add", RTM_NEWRULE, MessageFlag.create | MessageFlag.exclusive, rule, TO_TABLE);
}

/** Removes the first such rule; ENOENT if there is none. */
export function deleteRule(rule: SourceRule): Request<never> {
  return ruleRequest("delete", RTM_DELRULE, 0, rule, 0);
}

/** A rule as the kernel describes it. */
export interface Rule {
  readonly family: AddressFamily;
  /** Undefined for a rule that takes packets from everywhere. */
  readonly source: Uint8Array | undefined;
  readonly sourceLength: number;
  readonly table: number;
  readonly priority: number;
}

/** Asks for all rules of a family; a kernel without rules has none. */
export function dumpRules(family: AddressFamily): Request<Rule> {
  return {
    operation: `list ${family} rules`,
    type: RTM_GETRULE,
    flags: 0,
    ignore: ["EAFNOSUPPORT", "EOPNOTSUPP"],
    encode(writer) {
      ruleMessage.encode(writer, {
        header: {
          family: FAMILIES[family],
          destinationLength: 0,
          sourceLength: 0,
          serviceType: 0,
          table: 0,
          action: 0,
          flags: 0,
        },
        attributes: {},
      });
    },
    decode(reader) {
      const { header, attributes: values } = ruleMessage.decode(reader);
      if (header.family !== FAMILIES[family]) return undefined;
      return {
        family,
        source: values.source,
        sourceLength: header.sourceLength,
        table: values.table ?? header.table,
        priority: values.priority ?? 0,
      };
    },
  };
}
