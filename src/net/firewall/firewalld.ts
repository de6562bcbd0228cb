// firewalld, where it runs: it refuses to forward what belongs to none of its zones, so pods' addresses are put into
// one. That is its running configuration, which it forgets when it ends, and with it everything that we asked for.
import { type Address, formatAddress } from "../../ip/address.ts";
import { BusError, type Method, SystemBus } from "./system-bus.ts";

const NAME = "org.fedoraproject.FirewallD1";

function zoneMethod(member: string): Method {
  return { destination: NAME, path: "/org/fedoraproject/FirewallD1", interface: `${NAME}.zone`, member };
}

/** An address in a zone. */
export interface ZoneSource {
  readonly zone: string;
  /** With its length: `10.88.0.2/32`. */
  readonly source: string;
}

/** Returns the source that an address is in a zone. */
export function zoneSource(zone: string, address: Address): ZoneSource {
  return { zone, source: `${formatAddress(address)}/${address.family === 4 ? 32 : 128}` };
}

/** True if firewalld runs. Throws SystemError or BusError. */
export function firewalldRuns(): boolean {
  using bus = SystemBus.open();
  return bus !== undefined && runsOn(bus);
}

function runsOn(bus: SystemBus): boolean {
  const ask: Method = {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "NameHasOwner",
  };
  return bus.call(ask, [NAME]) === 1;
}

/**
 * Calls a method with each source, and with every one even if another fails; refusals that begin with one of
 * `passable` are no failures. Returns the answers, or undefined if firewalld doesn't run.
 */
function forEach(
  member: string,
  sources: readonly ZoneSource[],
  passable: readonly string[],
): (string | number | undefined)[] | undefined {
  if (sources.length === 0) return [];
  using bus = SystemBus.open();
  if (bus === undefined || !runsOn(bus)) return undefined;
  let failure: BusError | undefined;
  const answers = sources.map(({ zone, source }) => {
    try {
      return bus.call(zoneMethod(member), [zone, source]);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      // firewalld's own errors all have one name, and begin with what they mean
      if (!passable.some((meaning) => error.message.startsWith(meaning))) failure ??= error;
      return undefined;
    }
  });
  if (failure !== undefined) throw failure;
  return answers;
}

/** Puts sources into their zones; one that is there is success. Throws SystemError or BusError (INVALID_ZONE). */
export function addZoneSources(sources: readonly ZoneSource[]): void {
  forEach("addSource", sources, ["ZONE_ALREADY_SET"]);
}

/** Takes sources out of their zones; missing ones, missing zones and a firewalld that doesn't run are success. */
export function removeZoneSources(sources: readonly ZoneSource[]): void {
  forEach("removeSource", sources, ["UNKNOWN_SOURCE", "INVALID_ZONE"]);
}

/** Returns the first source that is not in its zone; undefined if all are, or if firewalld doesn't run. */
export function missingZoneSource(sources: readonly ZoneSource[]): ZoneSource | undefined {
  const answers = forEach("querySource", sources, []);
  return answers === undefined ? undefined : sources.find((_, index) => answers[index] !== 1);
}
