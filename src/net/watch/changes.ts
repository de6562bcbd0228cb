// Changes of the network as they happen: links, addresses, routes, neighbours, traffic control and nf_tables, in this
// network namespace and in those that it has a number for. The kernel tells what a thing is like now; what it was like
// before is remembered here, so that a change can be told from something new and from a repetition.
import { dumpAddresses } from "../../netlink/address.ts";
import { dumpLinks, getLink } from "../../netlink/link.ts";
import { NetlinkListener } from "../../netlink/listener.ts";
import { ignoring, isNetlinkError, type Request } from "../../netlink/message.ts";
import { assignNamespaceId, getNamespaceId } from "../../netlink/namespace-id.ts";
import { dumpNeighbours } from "../../netlink/neighbour.ts";
import {
  type Notification,
  ROUTE_GROUPS,
  RULES_GROUP,
  routeNotifications,
  rulesNotifications,
} from "../../netlink/notification.ts";
import { dumpRoutes } from "../../netlink/route.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { directoryEntries } from "../../sys/directory.ts";
import { isSystemError } from "../../sys/libc.ts";
import { inNetns, isOwnNetns, NETNS_DIRECTORY, NetnsError, openNetns } from "../netns.ts";
import { type Facts, type Subject, subjectOf } from "./change.ts";

/** Something that has changed. */
export interface Change extends Pick<Subject, "object" | "name" | "facts"> {
  /** The namespace by its name under /var/run/netns, else by its number; empty for this one. */
  readonly namespace: string;
  readonly action: "added" | "changed" | "removed";
  /** What those facts were that are others now; empty where they were not known. */
  readonly before: Facts;
  /** Who has changed it, where the kernel tells: only of nf_tables. */
  readonly by: { readonly pid: number; readonly command: string } | undefined;
}

/** What happened: a change, or that nobody knows, because changes were lost or could not be read. */
export type Happening =
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "lost" }
  | { readonly kind: "unreadable"; readonly problem: string };

interface KnownThing extends Subject {
  /** When it was found without having been told. */
  readonly foundAtMs: number | undefined;
}

/** The number of this namespace among those of the others. */
const OWN = -1;
/** A thing that was found is told once more, if at all, within this time. */
const ECHO_MS = 1000;

/** Listens; closed by `using`. */
export class ChangeWatch implements Disposable {
  readonly #names = new Map<number, string>();
  readonly #numbered = new Set<string>();
  readonly #things = new Map<number, Map<string, KnownThing>>();
  readonly #linkNames = new Map<string, string>();
  /** Changes of rules whose transaction has not ended yet. */
  readonly #open = new Map<number, Change[]>();
  readonly #happened: Happening[] = [];

  private constructor(
    private readonly routes: NetlinkListener,
    private readonly rules: NetlinkListener | undefined,
    private readonly own: NetlinkSocket,
    /** True if also repetitions and consequences are told. */
    private readonly everything: boolean,
  ) {}

  /**
   * Begins to listen in this namespace and the others under /var/run/netns. `unheard` is called with a line about each
   * part that the kernel does not tell this process. Throws SystemError.
   */
  static open(everything: boolean, unheard: (what: string) => void): ChangeWatch {
    const routes = NetlinkListener.open("route", ROUTE_GROUPS, { allNamespaces: true });
    let rules: NetlinkListener | undefined;
    try {
      rules = NetlinkListener.open("netfilter", [RULES_GROUP], { allNamespaces: true });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      unheard(`changes of nf_tables are not told to this user (${error.errnoName})`);
    }
    const watch = new ChangeWatch(routes, rules, NetlinkSocket.open("route"), everything);
    watch.#find(OWN, watch.own, false);
    for (const problem of watch.#meetNamespaces(false)) unheard(problem);
    return watch;
  }

  /** How many other namespaces are listened to by name. */
  get namespaceCount(): number {
    return this.#names.size;
  }

  /** Waits until something happens, at most so long. */
  wait(timeoutMs: number): void {
    NetlinkListener.waitForAny(
      this.rules === undefined ? [this.routes] : [this.routes, this.rules],
      timeoutMs,
    );
  }

  /** Returns what has happened since the last call, in its order. Throws SystemError. */
  take(): Happening[] {
    this.#meetLate();
    this.#hear(this.routes, routeNotifications);
    if (this.rules !== undefined) this.#hear(this.rules, rulesNotifications);
    return this.#happened.splice(0);
  }

  #hear(listener: NetlinkListener, read: (datagram: Uint8Array) => Notification[]): void {
    for (let heard = listener.next(); heard !== undefined; heard = listener.next()) {
      if (heard.kind === "lost") this.#happened.push({ kind: "lost" });
      else {
        const namespace = heard.namespaceId ?? OWN;
        for (const notification of read(heard.bytes)) this.#note(namespace, notification);
      }
    }
  }

  #note(namespace: number, notification: Notification): void {
    if (notification.object === "unreadable") {
      const problem = `a message of type ${notification.type} can't be read: ${notification.problem}`;
      this.#happened.push({ kind: "unreadable", problem });
      return;
    }
    if (notification.object === "transaction") {
      const { processId: pid, processName: command } = notification;
      for (const change of this.#open.get(namespace) ?? []) this.#tell({ ...change, by: { pid, command } });
      this.#open.delete(namespace);
      return;
    }
    if (notification.object === "namespace") {
      this.#noteNumber(namespace, notification.id, notification.isRemoval);
      return;
    }
    if (notification.object === "link") {
      const { index, name } = notification.link;
      this.#linkNames.set(`${namespace}/${index}`, name);
    }
    const subject = subjectOf(notification, (index) => this.#linkName(namespace, index));
    if (subject === undefined || (subject.isConsequence && !this.everything)) return;
    const change = this.#changeOf(namespace, subject, notification.isRemoval);
    if (change === undefined) return;
    if (change.object !== "nft") this.#tell(change);
    else this.#open.set(namespace, [...(this.#open.get(namespace) ?? []), change]);
  }

  /** Numbers of namespaces are told in the one that has given them; others' numbers mean nothing here. */
  #noteNumber(namespace: number, id: number, isRemoval: boolean): void {
    if (namespace !== OWN) return;
    if (!isRemoval) {
      this.#meetLate();
      if (!this.#names.has(id) && this.everything) this.#tellNamespace(id, "added");
      return;
    }
    const name = this.#names.get(id);
    if (name !== undefined || this.everything) this.#tellNamespace(id, "removed");
    // the number may be given to another one
    this.#numbered.delete(name ?? "");
    this.#names.delete(id);
    this.#things.delete(id);
  }

  #tellNamespace(id: number, action: "added" | "removed"): void {
    const plain = { namespace: "", facts: { number: id }, before: {}, by: undefined } as const;
    this.#tell({ ...plain, object: "namespace", name: this.#names.get(id) ?? "", action });
  }

  #meetLate(): void {
    for (const problem of this.#meetNamespaces(true)) this.#happened.push({ kind: "unreadable", problem });
  }

  #tell(change: Change): void {
    this.#happened.push({ kind: "change", change });
  }

  /** Returns undefined for what was told, or found, before. */
  #changeOf(namespace: number, subject: Subject, isRemoval: boolean): Change | undefined {
    const { object, name, facts } = subject;
    const things = this.#thingsOf(namespace);
    const key = keyOf(subject);
    const known = key === undefined ? undefined : things.get(key);
    const plain = { namespace: this.#nameOf(namespace), object, name, facts, before: {}, by: undefined };
    if (isRemoval) {
      if (key !== undefined) things.delete(key);
      if (object === "link") forget(things, subject.linkIndex, ["address", "route", "neighbour", "qdisc"]);
      return { ...plain, action: "removed" };
    }
    if (key !== undefined) things.set(key, { ...subject, foundAtMs: undefined });
    if (known === undefined) return { ...plain, action: "added" };
    // with the link down its ways are gone, and the kernel does not tell
    if (object === "link" && facts.state === "down" && known.facts.state === "up")
      forget(things, subject.linkIndex, ["route", "neighbour"]);
    const before = { ...differences(known, subject), ...(known.name === name ? {} : { name: known.name }) };
    if (Object.keys(before).length > 0) return { ...plain, before, action: "changed" };
    const isRepetition =
      object === "link" || object === "address" || object === "neighbour" || isEcho(known.foundAtMs);
    return isRepetition && !this.everything ? undefined : { ...plain, action: "added" };
  }

  /** Looks for namespaces with a name; returns a line about each that can't be listened to. */
  #meetNamespaces(isLate: boolean): string[] {
    const problems: string[] = [];
    for (const name of namesIn(NETNS_DIRECTORY)) {
      if (this.#numbered.has(name)) continue;
      try {
        using netns = openNetns(`${NETNS_DIRECTORY}/${name}`);
        this.#numbered.add(name);
        if (isOwnNetns(netns)) continue;
        // without a number here the kernel does not tell of it
        this.own.attempt([ignoring(assignNamespaceId(netns.fd), "EEXIST")]);
        const id = this.own.get(getNamespaceId(netns.fd));
        if (id === undefined) problems.push(`the namespace ${name} is not listened to: it has no number`);
        else {
          this.#names.set(id, name);
          if (isLate) this.#tellNamespace(id, "added");
          using there = inNetns(netns, () => NetlinkSocket.open("route"));
          this.#find(id, there, isLate);
        }
      } catch (error) {
        if (!(error instanceof NetnsError) && !isSystemError(error) && !isNetlinkError(error)) throw error;
        // one that is just being made has its file before it is there; one without rights says so once
        if (error instanceof NetnsError) continue;
        problems.push(`the namespace ${name} is not listened to: ${error.message}`);
      }
    }
    return problems;
  }

  /** Remembers what is there, so that only changes of it are told. What is found late is told as new. */
  #find(namespace: number, socket: NetlinkSocket, isLate: boolean): void {
    const found: Notification[] = [];
    const add = <T>(request: Request<T>, notification: (reply: T) => Notification) => {
      try {
        found.push(...socket.dump(request).map(notification));
      } catch (error) {
        // such as IPv6, which this kernel may not have
        if (!isNetlinkError(error)) throw error;
      }
    };
    const isRemoval = false;
    add(dumpLinks(), (link) => ({ isRemoval, object: "link", link }));
    for (const { index, name } of found.flatMap((one) => (one.object === "link" ? [one.link] : [])))
      this.#linkNames.set(`${namespace}/${index}`, name);
    add(dumpAddresses(), (address) => ({ isRemoval, object: "address", address }));
    for (const family of ["ipv4", "ipv6"] as const) {
      add(dumpRoutes({ family }), (route) => ({ isRemoval, object: "route", route }));
      add(dumpNeighbours(family), (neighbour) => ({ isRemoval, object: "neighbour", neighbour }));
    }
    for (const notification of found) {
      const subject = subjectOf(notification, (index) => this.#linkName(namespace, index));
      const key = subject === undefined ? undefined : keyOf(subject);
      if (subject === undefined || key === undefined) continue;
      const isNew = !this.#thingsOf(namespace).has(key);
      this.#thingsOf(namespace).set(key, { ...subject, foundAtMs: Date.now() });
      const isBorn = this.#linkName(namespace, subject.linkIndex) === "lo";
      if (!isLate || !isNew || isBorn || (subject.isConsequence && !this.everything)) continue;
      const { object, name, facts } = subject;
      const place = this.#nameOf(namespace);
      this.#tell({ namespace: place, object, name, facts, action: "added", before: {}, by: undefined });
    }
  }

  #thingsOf(namespace: number): Map<string, KnownThing> {
    const known = this.#things.get(namespace) ?? new Map<string, KnownThing>();
    this.#things.set(namespace, known);
    return known;
  }

  #linkName(namespace: number, index: number): string {
    const key = `${namespace}/${index}`;
    const name = this.#linkNames.get(key) ?? this.#askForName(namespace, index);
    if (name !== undefined) this.#linkNames.set(key, name);
    return name ?? `link ${index}`;
  }

  /** Of a new bridge's port the kernel tells before it tells of the bridge. */
  #askForName(namespace: number, index: number): string | undefined {
    return namespace === OWN && index > 0 ? this.own.get(getLink(index))?.name : undefined;
  }

  #nameOf(namespace: number): string {
    return namespace === OWN ? "" : (this.#names.get(namespace) ?? `namespace ${namespace}`);
  }

  [Symbol.dispose](): void {
    this.routes[Symbol.dispose]();
    this.rules?.[Symbol.dispose]();
    this.own[Symbol.dispose]();
  }
}

/** What makes a thing the same one later; undefined for those that are not remembered. */
function keyOf({ object, name, facts, linkIndex }: Subject): string | undefined {
  switch (object) {
    case "link":
      return `link ${linkIndex}`;
    case "address":
    case "neighbour":
      return `${object} ${linkIndex} ${name}`;
    case "route": {
      // IPv6 has such a route on each link, and all of them count
      const link = /:|IPv6/.test(name) ? linkIndex : "";
      return `route ${name} ${facts.table ?? ""} ${facts.metric ?? ""} ${facts.type ?? ""} ${link}`;
    }
    case "qdisc":
      return `qdisc ${linkIndex} ${facts.at}`;
    default:
      return undefined;
  }
}

function forget(things: Map<string, KnownThing>, linkIndex: number, objects: readonly string[]): void {
  for (const [key, thing] of things)
    if (thing.linkIndex === linkIndex && objects.includes(thing.object)) things.delete(key);
}

function isEcho(foundAtMs: number | undefined): boolean {
  return foundAtMs !== undefined && Date.now() - foundAtMs < ECHO_MS;
}

/** Returns what those facts were that are others now. */
function differences(known: Subject, now: Subject): Facts {
  const before: Record<string, string | number | boolean> = {};
  for (const key of new Set([...Object.keys(known.facts), ...Object.keys(now.facts)])) {
    if (known.facts[key] !== now.facts[key]) before[key] = known.facts[key] ?? "none";
  }
  return before;
}

function namesIn(folder: string): string[] {
  try {
    return directoryEntries(folder).map(({ name }) => name);
  } catch (error) {
    if (isSystemError(error)) return [];
    throw error;
  }
}
