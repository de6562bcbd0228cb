// The map as a tree for a terminal: the host, its interfaces, and on each of them the pods that are tied to it.
import type { SeenInterface } from "../../net/inspection.ts";
import { styled, terminalColumns } from "../terminal/output.ts";
import type { MapPod, NodeMap, PodInterface } from "./node-map.ts";
import { interfaceLines, linkText, podText, routeText } from "./words.ts";

/** A line of the tree with what hangs on it. */
interface Branch {
  readonly text: string;
  readonly branches: readonly Branch[];
}

/** Returns the map as lines. */
export function mapText(map: NodeMap): string {
  const { links, pods, masquerades } = map;
  // what only holds up traffic is drawn where the traffic is
  const tops = links.filter(({ master, kind }) => master === undefined && kind !== "ifb");
  const routes = map.routes.map((route) => leaf(routeText(route, true)));
  const nat = masquerades.map(({ network, subnet }) => leaf(`${subnet} leaves as the host (${network})`));
  const gone = pods.filter(({ state }) => state === "gone");
  const root: Branch = {
    text: styled("bold", "host"),
    branches: [
      ...tops.map((link) => linkBranch(link, map)),
      ...group("routes", routes),
      ...group("masquerade", nat),
      ...group("gone, and still written down", gone.map(goneBranch)),
    ],
  };
  return linesOf(root)
    .map((line) => `${fitted(line)}\n`)
    .join("");
}

function leaf(text: string): Branch {
  return { text, branches: [] };
}

function group(title: string, branches: readonly Branch[]): Branch[] {
  return branches.length === 0 ? [] : [{ text: styled("bold", title), branches }];
}

function linkBranch(link: SeenInterface, map: NodeMap): Branch {
  const ports = map.links.filter(({ master, kind }) => master === link.name && kind !== "ifb");
  const text = `${styled(link.up ? "cyan" : "red", link.name)} ${linkText(link)}`;
  return {
    text,
    branches: [...ports.map((port) => linkBranch(port, map)), ...podBranches(link.name, map.pods)],
  };
}

/** The interfaces of pods that are tied to this one of the host. */
function podBranches(hostLink: string, pods: readonly MapPod[]): Branch[] {
  return pods.flatMap((pod) =>
    pod.interfaces
      .filter((own) => own.hostLink === hostLink)
      .map((own) => ({
        text: interfaceText(pod, own),
        branches: interfaceLines(own).map(leaf),
      })),
  );
}

function interfaceText(pod: MapPod, { name, network, addresses, up }: PodInterface): string {
  const words = [
    styled("green", podText(pod)),
    name,
    ...(up ? [] : [styled("red", "down")]),
    ...addresses,
    ...(network === "" ? [] : [styled("dim", `(${network})`)]),
  ];
  return words.join(" ");
}

function goneBranch(pod: MapPod): Branch {
  const interfaces = pod.interfaces.map((own) => ({
    text: [own.name, ...own.addresses, styled("dim", `(${own.network})`)].join(" "),
    branches: own.ports.map((port) => leaf(`port ${port}`)),
  }));
  return { text: styled("yellow", pod.name), branches: interfaces };
}

function linesOf({ text, branches }: Branch): string[] {
  return [
    text,
    ...branches.flatMap((branch, index) => {
      const isLast = index === branches.length - 1;
      const [first = "", ...rest] = linesOf(branch);
      return [`${isLast ? "└─" : "├─"} ${first}`, ...rest.map((line) => `${isLast ? "  " : "│ "} ${line}`)];
    }),
  ];
}

/** A line that is wider than the terminal would break the tree: it is cut, and says so. */
function fitted(line: string): string {
  const columns = terminalColumns();
  if (columns === undefined || Bun.stringWidth(line) <= columns) return line;
  return `${Bun.sliceAnsi(line, 0, columns - 1)}…`;
}
