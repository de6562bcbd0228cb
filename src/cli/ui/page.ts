// The page: the node at a glance, rendered here, so that it says all it has to say without a script. Scripts and styles
// stand in it and carry the nonce of their answer; nothing comes from elsewhere.
import type { Event } from "../../ledger/events.ts";
import { shownEvent } from "../events.ts";
import { shortNumber } from "../node/report.ts";
import type { NodeSurvey } from "../node/survey.ts";
import { cellText, type HeatCell } from "./heat-map.ts";
import { Html, html } from "./html.ts";
import script from "./live.browser" with { type: "text" };
import style from "./page.css" with { type: "text" };

/** A pool with its heat map. */
export interface DrawnPool {
  readonly network: string;
  readonly ranges: string;
  readonly cells: readonly HeatCell[];
}

/** What the page shows. */
export interface PageContent {
  readonly survey: NodeSurvey;
  readonly pools: readonly DrawnPool[];
  /** The latest first. */
  readonly events: readonly Event[];
}

const STATES = ["used", "stale", "resting", "reserved", "free"] as const;

/** Returns the whole page; `nonce` is that of the answer's Content-Security-Policy. */
export function pageHtml(content: PageContent, nonce: string): string {
  const { survey } = content;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Warren on this node</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<style nonce="${nonce}">${new Html(style)}</style>
</head>
<body>
<a class="skip" href="#networks">Skip to the networks</a>
<header>
<h1>Warren on this node</h1>
<p class="faint">Warren ${survey.version}, Linux ${survey.kernel}. Calls: <span id="live" role="status">as of loading</span></p>
<nav aria-label="Parts of this page"><ul>
<li><a href="#networks">Networks</a></li><li><a href="#pools">Pools</a></li><li><a href="#calls">Calls</a></li>
<li><a href="#map">Map</a></li><li><a href="#kernel">Kernel</a></li></ul></nav>
</header>
<main>${partsHtml(content)}</main>
<script nonce="${nonce}">${new Html(script)}</script>
</body>
</html>
`.text;
}

/** Returns what of the page changes, without scripts and styles. */
export function partsHtml({ survey, pools, events }: PageContent): Html {
  return html`
${networksHtml(survey)}
${poolsHtml(survey, pools)}
${callsHtml(events)}
<section id="map"><h2>Map</h2><div class="wide" tabindex="0" role="region" aria-label="Map">
<img src="/map.svg?${Date.now()}" alt="Interfaces of the host and the pods that are tied to them; the command warren map says it in words"></div></section>
${kernelHtml(survey)}
`;
}

function table(label: string, headings: readonly Html[], rows: readonly Html[]): Html {
  return html`<div class="wide" tabindex="0" role="region" aria-label="${label}"><table>
<thead><tr>${headings}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function heading(text: string, isNumber = false): Html {
  return isNumber ? html`<th scope="col" class="number">${text}</th>` : html`<th scope="col">${text}</th>`;
}

function networksHtml({ networks, brokenFiles, stores }: NodeSurvey): Html {
  const rows = networks.map(
    ({ name, cniVersion, plugins, attachments, stale, problem }) =>
      html`<tr><td>${name}</td><td>${cniVersion}</td><td>${plugins.join(", ")}</td>
<td class="number">${attachments ?? "unknown"}</td><td class="number">${stale ?? "unknown"}</td><td class="free-text">${problem}</td></tr>`,
  );
  const headings = [
    ...[heading("network"), heading("version"), heading("plugins"), heading("attached", true)],
    ...[heading("stale", true), heading("remark")],
  ];
  const broken = [
    ...brokenFiles.map(({ problem }) => problem),
    ...stores.flatMap(({ problem }) => (problem === "" ? [] : [problem])),
  ];
  return html`<section id="networks"><h2>Networks</h2>
${broken.map((problem) => html`<p class="bad">${problem}</p>`)}
${rows.length === 0 ? html`<p>There are none.</p>` : table("Networks", headings, rows)}</section>`;
}

function poolsHtml({ pools }: NodeSurvey, drawn: readonly DrawnPool[]): Html {
  const rows = pools.map(
    (pool) => html`<tr><td>${pool.network}</td><td>${pool.ranges === "" ? "in no pool" : pool.ranges}</td>
${STATES.map((state) => html`<td class="number">${shortNumber(pool[state])}</td>`)}</tr>`,
  );
  const headings = [heading("network"), heading("pool"), ...STATES.map((state) => heading(state, true))];
  const legend = STATES.map(
    (state) =>
      html`<li><svg width="12" height="12" aria-hidden="true"><rect class="${state}" width="12" height="12"/></svg>${state}</li>`,
  );
  return html`<section id="pools"><h2>Pools</h2>
${rows.length === 0 ? html`<p>There are none.</p>` : table("Pools", headings, rows)}
${drawn.map((pool, number) => html`<h3>${pool.network} ${pool.ranges}</h3>${heatHtml(pool, number)}`)}
<ul class="legend" aria-label="Colours">${legend}</ul></section>`;
}

const CELL = 13;
const COLUMNS = 64;

/** Free cells are a pattern beneath the others: a pool with a thousand of them stays a small page. */
function heatHtml({ network, cells }: DrawnPool, number: number): Html {
  const width = Math.min(COLUMNS, cells.length) * CELL;
  const whole = Math.floor(cells.length / COLUMNS) * CELL;
  const rest = (cells.length % COLUMNS) * CELL;
  const taken = cells.flatMap((cell, index) => {
    if (cell.state === "free") return [];
    const [x, y] = [(index % COLUMNS) * CELL, Math.floor(index / COLUMNS) * CELL];
    const strength = Math.max(0.35, cell.heat).toFixed(2);
    return html`<rect class="${cell.state}" x="${x}" y="${y}" width="${CELL - 2}" height="${CELL - 2}" fill-opacity="${strength}"><title>${cellText(cell)}</title></rect>`;
  });
  const grid = `grid-${number}`;
  return html`<div class="wide"><svg role="img" aria-label="Addresses of ${network}, as in the table above" width="${width}" height="${whole + (rest > 0 ? CELL : 0)}">
<defs><pattern id="${grid}" width="${CELL}" height="${CELL}" patternUnits="userSpaceOnUse"><rect class="free" width="${CELL - 2}" height="${CELL - 2}"/></pattern></defs>
<rect fill="url(#${grid})" width="${width}" height="${whole}"/><rect fill="url(#${grid})" y="${whole}" width="${rest}" height="${CELL}"/>${taken}</svg></div>`;
}

function callsHtml(events: readonly Event[]): Html {
  const headings = [
    ...[heading("time"), heading("verb"), heading("plugin"), heading("network"), heading("container")],
    ...[heading("interface"), heading("addresses"), heading("ms", true), heading(""), heading("outcome")],
  ];
  return html`<section id="calls"><h2>Calls</h2>${table("Calls", headings, events.map(callRow))}</section>`;
}

const LONGEST_BAR = 120;

/** Returns the call as a row of the table. The bar is logarithmic: from 1 ms, each ten times longer is 40 px more. */
export function callRow(event: Event): Html {
  const { time, verb, plugin, network, container, ifname, pod, addresses, ms, outcome } = shownEvent(event);
  const kind = event.code === 0 ? "ok" : "error";
  const length = Math.min(LONGEST_BAR, Math.max(2, Math.round(Math.log10(Math.max(1, ms)) * 40)));
  return html`<tr class="${kind}"><td><time datetime="${time}">${time.replace(/^.*T|\.\d+Z$/g, "")}</time></td><td>${verb}</td>
<td>${plugin}</td><td>${network}</td><td>${pod === "" ? container.slice(0, 20) : pod}</td><td>${ifname}</td><td>${addresses}</td>
<td class="number">${ms.toFixed(1)}</td><td><svg width="${LONGEST_BAR}" height="10" aria-hidden="true"><rect class="${kind}" width="${length}" height="10"/></svg></td>
<td class="free-text">${outcome}</td></tr>`;
}

function kernelHtml({ features }: NodeSurvey): Html {
  const rows = features.map(
    ({ feature, neededBy, present, problem }) => html`<tr><td>${feature}</td><td>${neededBy}</td>
<td>${present === undefined ? "unknown" : present ? "yes" : "no"}</td><td class="free-text">${problem}</td></tr>`,
  );
  const headings = [heading("what"), heading("needed by"), heading("there"), heading("remark")];
  return html`<section id="kernel"><h2>Kernel</h2>${table("Kernel", headings, rows)}</section>`;
}
