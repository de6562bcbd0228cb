// The ends of a probe as an operator names them: this machine, a namespace in any form that the
// tool knows, or an address.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { type Address, formatAddress, parseAddress } from "../../ip/address.ts";
import { type Netns, openNetns } from "../../net/netns.ts";
import { type ProbePath, reachableAddresses, sourceAddress } from "../../net/probe/path.ts";
import { UsageError } from "../command.ts";
import { findNetns } from "../netns-argument.ts";

/** The word for the namespace that the command itself is in. A namespace called so is /var/run/netns/host. */
const HOST = "host";

/** A path with the names of its ends, to be closed after use. */
export interface NamedPath extends ProbePath, Disposable {
  readonly fromName: string;
  readonly toName: string;
  /** The address that packets of the first end have; undefined where no route leads to the other. */
  readonly source: Address | undefined;
}

/** True if the path ends in a namespace, where packets can be received and answered. */
export function endsInNetns(path: NamedPath): path is NamedPath & ProbePath<Netns> {
  return path.to !== undefined;
}

function openEnd(name: string): Netns {
  return openNetns(name === HOST ? "/proc/thread-self/ns/net" : findNetns(name).path);
}

/**
 * Opens the path between what the two words name. `wanted` is the address of the second end to probe, where it has
 * several. Throws UsageError, NetnsError, or CniError: 7 for an end without an
 * address, 8 for a container that does not run.
 */
export function openPath(fromName: string, toName: string, wanted: string | undefined): NamedPath {
  const resources = new DisposableStack();
  try {
    const from = resources.use(openEnd(fromName));
    const given = parseAddress(toName);
    const to = given === undefined ? resources.use(openEnd(toName)) : undefined;
    if (to === undefined && wanted !== undefined) {
      throw new UsageError(
        "--address chooses among the addresses of a namespace, and the other end is an address",
      );
    }
    if (to?.inode === from.inode && wanted === undefined) {
      throw new UsageError(`${fromName} and ${toName} are the same namespace`);
    }
    const address = given ?? addressOf(from, to ?? from, toName, wanted);
    const opened = resources.move();
    const [source, close] = [sourceAddress(from, address), () => opened.dispose()];
    return { from, to, address, fromName, toName, source, [Symbol.dispose]: close };
  } catch (error) {
    resources.dispose();
    throw error;
  }
}

function addressOf(from: Netns, to: Netns, toName: string, wanted: string | undefined): Address {
  const addresses = reachableAddresses(to);
  if (wanted !== undefined) {
    const found = addresses.find((address) => formatAddress(address) === wanted);
    if (found !== undefined) return found;
    const known = addresses.map(formatAddress).join(", ");
    throw new UsageError(`${toName} has no address ${JSON.stringify(wanted)}; it has ${known || "none"}`);
  }
  const [first] = addresses;
  if (first === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${toName} has no address`,
      "attach it to a network, or name the address of somebody else",
    );
  }
  return addresses.find((address) => sourceAddress(from, address) !== undefined) ?? first;
}
