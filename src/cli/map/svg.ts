// The map as a picture by itself: one SVG file without scripts, fonts or anything from elsewhere, light or dark as its
// viewer is. Pods stand in a column at the right, each beside what it is tied to; the host's interfaces at the left.
import type { SeenInterface } from "../../net/inspection.ts";
import type { MapPod, NodeMap, PodInterface } from "./node-map.ts";
import { interfaceLines, linkText, podText, routeText } from "./words.ts";

const LINE = 18;
const PADDING = 10;
const GAP = 14;
const CHARACTER = 7.3;
const MARGIN = 24;
const COLUMN_GAP = 70;

const STYLE = `
text { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1b1f24; }
.title { font-weight: bold; }
.faint { fill: #5b6570; }
rect { fill: #ffffff; stroke: #8a949e; rx: 6px; }
.ground { fill: #f4f6f8; stroke: none; }
.bridge { fill: #e3f0fb; stroke: #2f78b7; }
.pod { fill: #e8f6ec; stroke: #2e8b57; }
.gone { fill: #fdf3e1; stroke: #b07d1c; stroke-dasharray: 5 3; }
.foreign { stroke-dasharray: 2 3; }
.down { stroke: #c03a2b; }
path { fill: none; stroke: #8a949e; stroke-width: 1.5px; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ec; } .faint { fill: #9aa5b1; } .ground { fill: #15191e; }
  rect { fill: #20262d; stroke: #6d7884; } .bridge { fill: #16324a; stroke: #5aa2dd; }
  .pod { fill: #173524; stroke: #57b884; } .gone { fill: #3a2d12; stroke: #d0a044; } path { stroke: #7d8894; }
}`;

/** A box with lines of text. */
interface Box {
  readonly id: string;
  readonly className: string;
  readonly lines: readonly string[];
  readonly width: number;
  readonly height: number;
}

interface PlacedBox extends Box {
  readonly x: number;
  readonly y: number;
}

/** Returns the picture. */
export function mapSvg(map: NodeMap): string {
  const tops = map.links.filter(({ master, kind }) => master === undefined && kind !== "ifb");
  const hostBoxes = tops.map((link) => hostBox(link, map));
  const notes = notesBox(map);
  const hostColumn = [...hostBoxes, ...(notes === undefined ? [] : [notes])];
  const leftWidth = Math.max(0, ...hostColumn.map(({ width }) => width));
  // of one width, so that no line to a pod crosses a box
  const left = stack(
    hostColumn.map((box) => ({ ...box, width: leftWidth })),
    MARGIN,
    MARGIN + LINE,
  );
  const order = new Map(left.map(({ id }, index) => [id, index]));
  const pods = map.pods
    .map((pod, index) => ({ pod, box: podBox(pod, index), anchors: anchorsOf(pod, map) }))
    .sort((one, other) => rank(one.anchors, order) - rank(other.anchors, order));
  const right = stack(
    pods.map(({ box }) => box),
    MARGIN + leftWidth + COLUMN_GAP,
    MARGIN + LINE,
  );
  const boxes = [...left, ...right];
  const width = Math.max(360, ...boxes.map((box) => box.x + box.width)) + MARGIN;
  const height = Math.max(80, ...boxes.map((box) => box.y + box.height)) + MARGIN;
  const wires = pods.flatMap(({ anchors, box }) =>
    anchors.flatMap((anchor) => {
      const from = left.find(({ id }) => id === anchor);
      const to = right.find(({ id }) => id === box.id);
      return from === undefined || to === undefined ? [] : [wire(from, to)];
    }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    "<title>Network of this node</title>",
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="title" x="${MARGIN}" y="${MARGIN}">host</text>`,
    ...wires,
    ...boxes.map(drawn),
    "</svg>\n",
  ].join("\n");
}

function boxOf(id: string, className: string, lines: readonly string[]): Box {
  const longest = Math.max(...lines.map((line) => Bun.stringWidth(line)));
  return {
    id,
    className,
    lines,
    width: Math.ceil(longest * CHARACTER) + 2 * PADDING,
    height: lines.length * LINE + 2 * PADDING - 4,
  };
}

function hostBox(link: SeenInterface, { links }: NodeMap): Box {
  const ports = links.filter(({ master, kind }) => master === link.name && kind !== "ifb");
  const kind = link.kind === "bridge" ? "bridge" : "";
  return boxOf(link.name, `${kind} ${link.up ? "" : "down"}`.trim(), [
    link.name,
    linkText(link),
    ...ports.map((port) => `${port.name}${port.up ? "" : " down"}`),
  ]);
}

function notesBox({ routes, masquerades }: NodeMap): Box | undefined {
  const lines = [
    ...routes.map((route) => routeText(route, true)),
    ...masquerades.map(({ network, subnet }) => `${subnet} leaves as the host (${network})`),
  ];
  return lines.length === 0
    ? undefined
    : boxOf("routes and masquerade", "", ["routes and masquerade", ...lines]);
}

function podBox(pod: MapPod, index: number): Box {
  const lines = pod.interfaces.flatMap((own) => [
    interfaceText(own),
    ...interfaceLines(own).map((line) => `  ${line}`),
  ]);
  const className = pod.state === "alive" ? "pod" : pod.state;
  return boxOf(`pod ${index}`, className, [podText(pod), ...lines]);
}

function interfaceText({ name, network, addresses }: PodInterface): string {
  return [name, ...addresses, ...(network === "" ? [] : [`(${network})`])].join(" ");
}

/** The boxes of the host that a pod is tied to: the interface itself, or the bridge that it is a port of. */
function anchorsOf({ interfaces }: MapPod, { links }: NodeMap): string[] {
  const anchors = interfaces.flatMap(({ hostLink }) => {
    const link = links.find(({ name }) => name === hostLink);
    return link === undefined ? [] : [link.master ?? link.name];
  });
  return [...new Set(anchors)];
}

function rank(anchors: readonly string[], order: ReadonlyMap<string, number>): number {
  return Math.min(Number.MAX_SAFE_INTEGER, ...anchors.map((anchor) => order.get(anchor) ?? 0));
}

function stack(boxes: readonly Box[], x: number, top: number): PlacedBox[] {
  let y = top;
  return boxes.map((box) => {
    const placed = { ...box, x, y };
    y += box.height + GAP;
    return placed;
  });
}

function wire(from: PlacedBox, to: PlacedBox): string {
  const [x1, y1] = [from.x + from.width, from.y + from.height / 2];
  const [x2, y2] = [to.x, to.y + to.height / 2];
  const bend = (x2 - x1) / 2;
  return `<path d="M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"/>`;
}

function drawn({ className, lines, x, y, width, height }: PlacedBox): string {
  const texts = lines.map((line, index) => {
    const style = index === 0 ? ' class="title"' : line.startsWith("  ") ? ' class="faint"' : "";
    const indent = line.length - line.trimStart().length;
    const place = `x="${x + PADDING + indent * CHARACTER}" y="${y + PADDING + 10 + index * LINE}"`;
    return `<text${style} ${place}>${escaped(line.trimStart())}</text>`;
  });
  return `<g><rect class="${className}" x="${x}" y="${y}" width="${width}" height="${height}"/>${texts.join("")}</g>`;
}

function escaped(text: string): string {
  return (
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      // XML has no such characters at all, not even escaped
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "?")
  );
}
