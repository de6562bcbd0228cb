// Mirroring: a copy of all that comes in, or goes out, by an interface leaves by another one of the same namespace, for
// somebody to look at. What is copied goes its own way as if nobody looked.
import { getLink, type Link } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import {
  createDiscipline,
  deleteDiscipline,
  getDiscipline,
  Handle,
  Parent,
} from "../netlink/traffic-control.ts";
import { createMirror, deleteFilter, dumpFilters, type FilterPlace } from "../netlink/traffic-filter.ts";
import { type Connection, connectHost } from "./connection.ts";
import { MissingFeatureError, needing } from "./feature.ts";
import { rehearse } from "./rehearsal.ts";

/** What of an interface's traffic is copied: what comes in, what goes out, or both. */
export type MirrorDirection = "ingress" | "egress" | "both";

/** Which traffic is copied. */
export interface Mirror {
  readonly direction: MirrorDirection;
  /** The interface whose traffic it is. */
  readonly of: string;
}

const SPELLING = /^mirror:(ingress|egress|both):([^/:\s]{1,15})$/;

/** Reads `mirror:{ingress|egress|both}:INTERFACE`; undefined for anything else. */
export function parseMirror(text: string): Mirror | undefined {
  const [, direction, of] = SPELLING.exec(text) ?? [];
  if (direction === undefined || of === undefined || of === "." || of === "..") return undefined;
  return { direction: direction as MirrorDirection, of };
}

/** Returns the mirror as parseMirror reads it. */
export function formatMirror({ direction, of }: Mirror): string {
  return `mirror:${direction}:${of}`;
}

const LARGEST_PRIORITY = 0xffff;
const PLACES: Readonly<Record<MirrorDirection, readonly FilterPlace[]>> = {
  ingress: [Parent.ingressFilters],
  egress: [Parent.egressFilters],
  both: [Parent.ingressFilters, Parent.egressFilters],
};

/** Traffic that can't be copied, and why. */
export class MirrorError extends Error {
  override readonly name = "MirrorError";
}

/**
 * Sends a copy of the traffic of `mirror.of` out by `to`; both are in the namespace of `inside`. Ours is asked before the
 * filters that are there, as far as there is room, because behind one that decides it would see nothing. Throws
 * MirrorError, MissingFeatureError or NetlinkError; `stopMirror` takes back what was made until then.
 */
export function startMirror(inside: Connection, mirror: Mirror, to: Link): void {
  if (mirror.of === to.name)
    throw new MirrorError(`interface ${to.name} can't carry a copy of its own traffic`);
  const link = inside.get(getLink(mirror.of));
  if (link === undefined) {
    throw new MirrorError(`there is no interface ${JSON.stringify(mirror.of)} to copy the traffic of`);
  }
  needing(probeMirroring, () =>
    inside.execute([
      ignoring(
        createDiscipline(link.index, Parent.ingress, Handle.ingress, { kind: "other", name: "clsact" }),
        "EEXIST",
      ),
    ]),
  );
  const place = placeOf(inside, link.index);
  if (place !== "clsact" && mirror.direction !== "ingress") {
    throw new MirrorError(
      `interface ${link.name} has a place for filters on what comes in alone (${place}), none for what goes out`,
    );
  }
  needing(probeMirroring, () =>
    inside.execute(
      PLACES[mirror.direction].map((filters) =>
        createMirror(link.index, filters, freePriority(inside, link.index, filters), to.index),
      ),
    ),
  );
}

/** The kind of the discipline that filters hang on; undefined if there is none. */
function placeOf(inside: Connection, index: number): string | undefined {
  const [outcome] = inside.execute([
    ignoring(getDiscipline(index, Parent.ingress), "EINVAL", "ENOENT", "ENODEV"),
  ]);
  return outcome.replies[0]?.kind;
}

function freePriority(inside: Connection, index: number, place: FilterPlace): number {
  const taken = inside.dump(dumpFilters(index, place)).map(({ priority }) => priority);
  if (taken.length === 0) return LARGEST_PRIORITY >> 1;
  const lowest = Math.min(...taken);
  return lowest > 1 ? lowest - 1 : Math.min(Math.max(...taken) + 1, LARGEST_PRIORITY);
}

/** True if all that `mirror` says is copied to the interface with the number `to`. */
export function isMirrored(inside: Connection, mirror: Mirror, to: number): boolean {
  const link = inside.get(getLink(mirror.of));
  if (link === undefined) return false;
  return PLACES[mirror.direction].every((place) =>
    inside.dump(ignoring(dumpFilters(link.index, place), "EINVAL")).some(({ mirrorsTo }) => mirrorsTo === to),
  );
}

/**
 * Copies nothing of the interface `of` any more to the one with the number `to`, nor to interfaces that are gone; call
 * it before that one goes, or after. Where no filter is left, the place for filters goes too. What is missing is success.
 */
export function stopMirror(inside: Connection, of: string, to: number | undefined): void {
  const link = inside.get(getLink(of));
  if (link === undefined) return;
  let isShared = false;
  for (const place of PLACES.both) {
    const filters = inside.dump(ignoring(dumpFilters(link.index, place), "EINVAL", "ENODEV"));
    const ours = new Set(
      filters
        .filter(({ mirrorsTo }) => mirrorsTo === 0 || (mirrorsTo !== undefined && mirrorsTo === to))
        .map(({ priority }) => priority),
    );
    for (const priority of ours) {
      inside.execute([ignoring(deleteFilter(link.index, place, priority), "ENOENT", "EINVAL", "ENODEV")]);
    }
    // the kernel lists the table of a filter beside the filter itself
    isShared ||= filters.some(({ priority }) => !ours.has(priority));
  }
  if (isShared || placeOf(inside, link.index) !== "clsact") return;
  inside.execute([ignoring(deleteDiscipline(link.index, Parent.ingress), "ENOENT", "EINVAL", "ENODEV")]);
}

/** Tries in a namespace of its own whether the kernel can copy traffic. Throws MissingFeatureError or SystemError. */
export function probeMirroring(): void {
  rehearse(() => {
    using host = connectHost();
    const lo = host.get(getLink("lo"));
    if (lo === undefined) throw new Error("a new network namespace has no loopback interface");
    try {
      host.execute([
        createDiscipline(lo.index, Parent.ingress, Handle.ingress, { kind: "other", name: "clsact" }),
        createMirror(lo.index, Parent.ingressFilters, 1, lo.index),
      ]);
    } catch (error) {
      if (!isNetlinkError(error)) throw error;
      const cure = `${error.message}: load the modules, or mirror nothing`;
      throw new MissingFeatureError("mirroring (clsact, cls_u32, act_mirred)", cure, { cause: error });
    }
  });
}
