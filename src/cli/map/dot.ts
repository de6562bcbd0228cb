// The map in the language of Graphviz: `warren map --dot | dot -Tpng`.
import type { NodeMap } from "./node-map.ts";
import { interfaceLines, linkText, podText, routeText } from "./words.ts";

/** Returns the map as a graph. */
export function mapDot({ links, routes, masquerades, pods }: NodeMap): string {
  const lines = [
    "graph warren {",
    '  graph [rankdir=LR, fontname="sans-serif", compound=true];',
    '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11];',
    '  edge [fontname="sans-serif", fontsize=10];',
    "  subgraph cluster_host {",
    '    label="host";',
  ];
  const drawn = links.filter(({ kind }) => kind !== "ifb");
  for (const link of drawn) {
    const shape = link.kind === "bridge" ? ", style=bold" : "";
    lines.push(`    ${quoted(`link ${link.name}`)} [label=${label([link.name, linkText(link)])}${shape}];`);
  }
  const notes = [
    ...routes.map((route) => routeText(route, true)),
    ...masquerades.map(({ network, subnet }) => `${subnet} masqueraded (${network})`),
  ];
  if (notes.length > 0) lines.push(`    "notes" [shape=note, style="", label=${label(notes, "\\l")}];`);
  lines.push("  }");
  for (const { name, master } of drawn) {
    if (master !== undefined) lines.push(`  ${quoted(`link ${master}`)} -- ${quoted(`link ${name}`)};`);
  }
  for (const [index, pod] of pods.entries()) {
    const dashed = pod.state === "gone" ? " style=dashed;" : "";
    lines.push(`  subgraph cluster_pod_${index} {`, `    label=${label([podText(pod)])};${dashed}`);
    for (const [number, own] of pod.interfaces.entries()) {
      const words = [[own.name, own.network].filter((word) => word !== "").join(" "), ...own.addresses];
      const text = label([...words, ...interfaceLines(own)], "\\l");
      lines.push(`    "pod ${index} ${number}" [label=${text}];`);
    }
    lines.push("  }");
    for (const [number, own] of pod.interfaces.entries()) {
      if (own.hostLink === undefined) continue;
      lines.push(`  ${quoted(`link ${own.hostLink}`)} -- "pod ${index} ${number}";`);
    }
  }
  return `${[...lines, "}"].join("\n")}\n`;
}

function quoted(text: string): string {
  return `"${escaped(text)}"`;
}

/** Several lines, each ended by `ending`: \\l puts it to the left. */
function label(lines: readonly string[], ending = "\\n"): string {
  return `"${lines.map((line) => escaped(line) + ending).join("")}"`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", " ");
}
