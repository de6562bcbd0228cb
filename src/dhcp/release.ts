// How an address goes back to its server: a message from inside the container that had it or, where that is gone, from this
// machine, if it reaches the server. Nobody answers it (RFC 2131, section 4.4.6), so it is sent once, and the server's own
// clock does the rest where it is lost.
import { describeError } from "../cni/error.ts";
import { addressFromBytes, formatAddress } from "../ip/address.ts";
import { type Netns, openNetns } from "../net/netns.ts";
import { Channel, sendFromHost } from "./channel.ts";
import { DhcpClient, type Patience } from "./client.ts";
import type { DhcpLeaseRow } from "./lease-table.ts";
import { decodeOptions } from "./option.ts";

/** A release waits for nothing. */
const NO_PATIENCE: Patience = { answerMs: 0, longestPauseMs: 0, totalMs: 0 };

/** Returns the options that go with every message of a lease. */
export function optionsOf({ options }: DhcpLeaseRow): ReadonlyMap<number, Uint8Array> {
  const all = new Map<number, Uint8Array>();
  decodeOptions(options, all);
  return all;
}

/**
 * Tells the server that nobody has the address any more. `container` is the namespace, or where it may be. Returns what was
 * done, in words; throws nothing, for nothing more can be done.
 */
export function giveBack(row: DhcpLeaseRow, container: Netns | string): string {
  const address = formatAddress(addressFromBytes(row.address));
  const server = formatAddress(addressFromBytes(row.server));
  const identity = { hardwareAddress: row.hardwareAddress, options: optionsOf(row), broadcast: false };
  const client = new DhcpClient(identity, NO_PATIENCE, Math.random);
  const message = client.release(addressFromBytes(row.address), addressFromBytes(row.server));
  try {
    using opened = typeof container === "string" ? openNetns(container) : undefined;
    const netns = opened ?? container;
    if (typeof netns !== "string") {
      using channel = Channel.open(netns, row.ifname);
      channel.send(message, row.serverHardwareAddress);
    }
    return `released ${address} to the server ${server}`;
  } catch (inside) {
    try {
      sendFromHost(message);
      return `released ${address} to the server ${server} from the host, for its container is gone`;
    } catch (outside) {
      const reasons = `${describeError(inside)}; from the host: ${describeError(outside)}`;
      return `${address} can't be released, and stays the container's at the server ${server} until it expires: ${reasons}`;
    }
  }
}
