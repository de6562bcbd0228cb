// The end of an attachment, whichever plugin made it: DEL of one, and GC of all that are not valid. Both go by what is
// written down, do every step even if another one fails, and tell all failures at the end.
import { Failures } from "../cni/error.ts";
import type { AttachmentCall, DelCall, Delegate, GcCall } from "../cni/plugin.ts";
import { describeOwner } from "../ledger/owner.ts";
import { connectHost } from "../net/connection.ts";
import { removeLinks } from "../net/veth.ts";
import { type Collection, collectAttachments } from "./collection.ts";
import { removeForeignInterface } from "./foreign-interface.ts";
import type { PairedParts } from "./fused.ts";
import { hostLinkName } from "./identity.ts";
import { entryOf, release } from "./reservation.ts";
import { dataDirOf, ipamTypeOf, type PlaceKeys } from "./settings.ts";
import { type WrittenAttachment, writtenAttachment } from "./written.ts";

/** How attachments of a plugin end. */
interface Manner {
  /** Whether `remove` gives something back that must not be lost. */
  readonly givesBack?: boolean;
  /** What stands on the interfaces, and ends when they are gone and before the addresses are given back. */
  readonly parts?: Pick<PairedParts, "end">;
}

/**
 * Ends an attachment: `remove` takes its interfaces away, then addresses and entry are given back. Where `remove` gives
 * something back that must not be lost, and fails, the entry stays for the next DEL or GC.
 */
export async function endAttachment(
  call: AttachmentCall<PlaceKeys>,
  plugin: string,
  remove: (written: WrittenAttachment) => void,
  { givesBack = false, parts }: Manner = {},
): Promise<void> {
  const entry = entryOf(call, plugin);
  const dataDir = dataDirOf(call.config);
  const failures = new Failures();
  let written: WrittenAttachment = { row: undefined, objects: [] };
  await failures.collect(async () => {
    written = await writtenAttachment(call, plugin, dataDir);
  });
  const type = ipamTypeOf(call.config);
  const ipam = type === undefined ? undefined : call.delegate(type);
  let keepsEntry = false;
  // one that releases through the interface does so while that is there; one that can't be had is told below
  const isEarly = (await ipam?.catch(() => undefined))?.needsInterface === true;
  if (isEarly) {
    await failures.collect(async () => {
      keepsEntry = true;
      await (await ipam)?.del();
      keepsEntry = false;
    });
  }
  // a store that can't be read is told at the end; what follows from the attachment alone is removed even so
  await failures.collect(() => remove(written));
  keepsEntry ||= givesBack && failures.any;
  await failures.collect(() => parts?.end());
  await failures.collect(async () => {
    const late = isEarly ? undefined : await ipam;
    await (keepsEntry ? late?.del() : release(entry, dataDir, late));
  });
  failures.rethrow(`DEL of ${describeOwner(entry)}`);
}

/** Ends an attachment that is a pair: as above, and with the pair goes what else of it is on the host. */
export async function endPair(call: DelCall<PlaceKeys>, plugin: string, parts: PairedParts): Promise<void> {
  await endAttachment(
    call,
    plugin,
    ({ objects }) => {
      using host = connectHost();
      const written = objects.filter(({ kind }) => kind === "link").map(({ name }) => name);
      // a store that was lost knows nothing, but the name follows from the attachment
      const own = written.length === 0 ? [hostLinkName(entryOf(call, plugin))] : written;
      const stuck = removeLinks(host, [...own, ...parts.links]);
      // what of the parts is stuck they find themselves
      const first = stuck.find(({ name }) => own.includes(name));
      if (first !== undefined) throw first.error;
      if (written.length === 0) removeForeignInterface(call.attachment, "veth", call.remembered());
    },
    { parts },
  );
}

/** Ends all attachments of the network that are not valid, and lets the IPAM plugin do the same. */
export async function endStaleAttachments(
  call: GcCall<PlaceKeys>,
  plugin: string,
  more: Pick<Collection, "removeInside"> = {},
): Promise<void> {
  const { network, config, valid, note } = call;
  const failures = new Failures();
  let ipam: Delegate | undefined;
  await failures.collect(async () => {
    const type = ipamTypeOf(config);
    if (type !== undefined) ipam = await call.delegate(type);
  });
  const dataDir = dataDirOf(config);
  const steps = [
    () => collectAttachments({ network, dataDir, plugin, valid, ipam, failures, note, ...more }),
    async () => ipam?.gc(),
  ];
  // one that releases through the interfaces does so while they are there
  for (const step of ipam?.needsInterface === true ? steps.toReversed() : steps) {
    await failures.collect(step);
  }
  failures.rethrow(`GC of network ${network}`);
}
