// `warren show CONTAINER`: everything that is written down about a container: what it has (addresses, kernel objects,
// namespace), and its whole life in calls, also when it is over. A part of the id is enough where it means one container.
import { CniError, ErrorCode } from "../cni/error.ts";
import { type NetworkStatus, networkStatus } from "../delegation/network-status.ts";
import { listAttachments, listObjects, type WrittenEntry } from "../ledger/attachments.ts";
import { type Event, listEvents } from "../ledger/events.ts";
import { netnsIsGone } from "../ledger/owner.ts";
import { log } from "../log.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { eventDocument, shownEvent } from "./events.ts";
import { knownDhcpLeases } from "./known-dhcp-leases.ts";
import { knownLeases } from "./known-leases.ts";
import { existingStore, shownLease, storeFlags } from "./leases.ts";
import { containerIdOf } from "./settings.ts";
import { printTable } from "./terminal/table.ts";

interface ShownAttachment {
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
  readonly plugin: string;
  readonly addresses: string;
  readonly objects: string;
  readonly netns: string;
  readonly state: "alive" | "netns gone";
  readonly since: string;
}

/**
 * Returns the id that `part` is the beginning of, or that stands for the NETNS `part`; throws CniError 3 if it is that
 * of none or of several.
 */
export function matchingContainer(part: string, containers: ReadonlySet<string>): string {
  if (containers.has(part)) return part;
  const ofNetns = containerIdOf(part);
  if (containers.has(ofNetns)) return ofNetns;
  const matching = [...containers].filter((container) => container.startsWith(part));
  const [only] = matching;
  if (only !== undefined && matching.length === 1) return only;
  throw new CniError(
    ErrorCode.unknownContainer,
    matching.length === 0
      ? `no container ${JSON.stringify(part)} is known`
      : `${JSON.stringify(part)} is the beginning of ${matching.length} container ids`,
    matching.length === 0 ? "see warren leases" : matching.join(", "),
  );
}

/** Which container it is about stands above the table already. */
function ofOneContainer(event: Event): object {
  const { container: _container, pod: _pod, ...shown } = shownEvent(event);
  return shown;
}

function shownNetwork({ name, ips, mac, default: isDefault, ...network }: NetworkStatus): object {
  return {
    network: name,
    interface: network.interface,
    addresses: ips.join(" "),
    mac,
    "default route": isDefault ? "yes" : "",
  };
}

export const command = operatorCommand({
  name: "show",
  description: "Show what is written down about a container",
  args: {
    container: {
      type: "positional",
      required: true,
      description: "The container's id, its beginning, or NETNS",
    },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    const own = existingStore(args["data-dir"]);
    const known = await knownLeases(args["data-dir"]);
    for (const problem of known.problems) log.warn(problem);
    const dhcp = await knownDhcpLeases(args["data-dir"]);
    const shown = await own.read(async (store) => {
      const leases = [...known.own.map(shownLease), ...dhcp];
      const attachments = await listAttachments(store);
      const events = await listEvents(store);
      const container = matchingContainer(
        args.container,
        new Set([
          ...leases.map((lease) => lease.container),
          ...attachments.map((one) => one.containerId),
          ...events.map((event) => event.containerId).filter((id) => id !== ""),
        ]),
      );
      const own = attachments.filter((one) => one.containerId === container);
      const written = await Promise.all(
        own.map(async (row) => ({ row, objects: await listObjects(store, row) })),
      );
      const describe = ({ row: one, objects }: WrittenEntry): ShownAttachment => ({
        network: one.network,
        container: one.containerId,
        ifname: one.ifname,
        plugin: one.plugin,
        addresses: leases
          .filter(
            (lease) =>
              lease.network === one.network &&
              lease.container === one.containerId &&
              lease.ifname === one.ifname,
          )
          .map(({ address }) => address)
          .join(" "),
        objects: objects.map(({ kind, name }) => `${kind} ${name}`).join(", "),
        netns: one.netns,
        state: netnsIsGone(one) ? "netns gone" : "alive",
        since: new Date(one.createdAtMs).toISOString(),
      });
      return {
        container,
        attachments: written.map(describe),
        // the runtime knows of one of several networks only
        networks: written.flatMap(({ objects }) => networkStatus(objects)),
        // leases that no attachment explains belong to another net plugin that uses ours as its IPAM
        leases: leases.filter((lease) => lease.container === container),
        calls: events.filter((event) => event.containerId === container),
      };
    });
    if (args.json === true) {
      const calls = shown.calls.map(eventDocument);
      writeStdout(`${JSON.stringify({ ...shown, calls }, null, 4)}\n`);
      return 0;
    }
    for (const attachment of shown.attachments) {
      for (const [key, value] of Object.entries(attachment))
        writeStdout(`${`${key}:`.padEnd(12)} ${value}\n`);
      writeStdout("\n");
    }
    if (shown.networks.length > 0) {
      printTable(shown.networks.map(shownNetwork));
      writeStdout("\n");
    }
    const others = shown.leases.filter(
      (lease) =>
        !shown.attachments.some((one) => one.network === lease.network && one.ifname === lease.ifname),
    );
    if (others.length > 0) {
      printTable(others);
      writeStdout("\n");
    }
    if (shown.calls.length > 0) printTable(shown.calls.map(ofOneContainer));
    return 0;
  },
});
