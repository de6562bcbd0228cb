// The page's server: it answers only who has the token, only under the name that it was given, and only questions; there
// is nothing that it could be asked to do.
import { timingSafeEqual } from "node:crypto";
import { parseAddress } from "../../ip/address.ts";
import { type Event, listEvents } from "../../ledger/events.ts";
import { openStore, storeExists } from "../../store/sqlite.ts";
import { mapNode } from "../map/node-map.ts";
import { mapSvg } from "../map/svg.ts";
import { type KernelFeature, surveyKernel } from "../node/kernel.ts";
import { describeNode, holdingsOf, ownSets, rangesText, takeInventory } from "../node/survey.ts";
import type { Settings } from "../settings.ts";
import { heatMap } from "./heat-map.ts";
import { callRow, type DrawnPool, type PageContent, pageHtml, partsHtml } from "./page.ts";

/** How many calls the page has. */
const SHOWN_CALLS = 50;

/** How often the journals are looked at while somebody listens. */
const LOOK_PAUSE_MS = 400;

/** How often a listener hears that nothing happened, so that whoever is in between keeps the connection. */
const SILENCE_MS = 5000;

/** Browsers keep cookies by host and not by port: each page of a host has its own. */
function cookieName(port: number): string {
  return `warren_token_${port}`;
}

/** Where and for whom the page is. */
export interface PageSettings {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  /** Whoever knows it may look. */
  readonly token: string;
}

/** Starts the server and returns it; throws what Bun throws for a port that is taken. */
export function servePage(page: PageSettings): Bun.Server<undefined> {
  // it doesn't change while the kernel runs, and asking takes a while
  const features = surveyKernel();
  const server = Bun.serve({
    hostname: page.host,
    port: page.port,
    idleTimeout: 30,
    // whatever NODE_ENV says
    development: false,
    fetch: (request): Response | Promise<Response> =>
      answer(request, page, features, server.port ?? page.port),
    error: (error) => refuse(500, error.message),
  });
  return server;
}

async function answer(
  request: Request,
  page: PageSettings,
  features: readonly KernelFeature[],
  port: number,
): Promise<Response> {
  const url = new URL(request.url);
  if (!isOwnName(url.hostname, page.host)) {
    return refuse(421, "This is not the name of this server.");
  }
  if (request.method !== "GET" && request.method !== "HEAD")
    return refuse(405, "There is nothing to do here.");
  // browsers ask for it by themselves
  if (url.pathname === "/favicon.ico") return new Response(null, { status: 204, headers: GUARDS });
  const given = url.searchParams.get("token");
  if (url.pathname === "/" && given !== null && isToken(given, page.token)) return welcome(page.token, port);
  if (!isKnown(request, page.token, port)) {
    return refuse(401, "The address that warren ui has printed has a token in it: open that one.");
  }
  switch (url.pathname) {
    case "/":
      return wholePage(await contentOf(page, features));
    case "/parts":
      return new Response(partsHtml(await contentOf(page, features)).text, {
        headers: { ...GUARDS, "Content-Type": "text/html; charset=utf-8" },
      });
    case "/map.svg":
      return mapPicture(page);
    case "/calls":
      return calls(request, page);
    default:
      return refuse(404, "There is no such page.");
  }
}

/**
 * True if a browser that names the server so means it: a name that leads here from a page of somebody else's (DNS
 * rebinding) is not ours. An address can't be made to lead elsewhere, so where the server listens on all of them, each is
 * right. The port says nothing, and is another one behind a tunnel.
 */
function isOwnName(asked: string, host: string): boolean {
  const name = asked.replace(/^\[|\]$/g, "");
  if (name === host || name === "localhost") return true;
  return (host === "0.0.0.0" || host === "::") && parseAddress(name) !== undefined;
}

function isToken(given: string, token: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(token)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function isKnown(request: Request, token: string, port: number): boolean {
  const bearer = /^Bearer (\S+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  const cookie = new Bun.CookieMap(request.headers.get("cookie") ?? "").get(cookieName(port));
  return [bearer, cookie].some((given) => typeof given === "string" && isToken(given, token));
}

/** The token goes out of the address, so that it is in no history and on no screen. */
function welcome(token: string, port: number): Response {
  const cookie = `${cookieName(port)}=${token}; HttpOnly; SameSite=Strict; Path=/`;
  return new Response(null, { status: 303, headers: { ...GUARDS, Location: "/", "Set-Cookie": cookie } });
}

const GUARDS = {
  "Cache-Control": "no-store",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cross-Origin-Resource-Policy": "same-origin",
} as const;

function refuse(status: number, words: string): Response {
  return new Response(`${words}\n`, { status, headers: { ...GUARDS, "Content-Type": "text/plain" } });
}

async function contentOf(page: PageSettings, features: readonly KernelFeature[]): Promise<PageContent> {
  const { settings } = page;
  const inventory = await takeInventory(settings, [page.dataDir]);
  const leases = inventory.stores.flatMap((store) => [...store.leases, ...store.elsewhere]);
  return {
    // STATUS is not asked for: it writes, and who only looks must change nothing
    survey: describeNode(settings, inventory, features, new Map()),
    pools: inventory.lists.flatMap(({ list }): DrawnPool[] =>
      ownSets(list, settings.pluginPath).map((set) => ({
        network: list.name,
        ranges: rangesText(set),
        cells: heatMap(set, holdingsOf(list.name, leases)),
      })),
    ),
    events: inventory.stores
      .flatMap((store) => store.events)
      .sort((one, other) => other.atMs - one.atMs)
      .slice(0, SHOWN_CALLS),
  };
}

function wholePage(content: PageContent): Response {
  const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
  const policy = [
    "default-src 'none'",
    `style-src 'nonce-${nonce}'`,
    `script-src 'nonce-${nonce}'`,
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return new Response(pageHtml(content, nonce), {
    headers: { ...GUARDS, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy },
  });
}

async function mapPicture({ settings, dataDir }: PageSettings): Promise<Response> {
  const { stores } = await takeInventory(settings, [dataDir]);
  return new Response(mapSvg(mapNode(stores, () => undefined)), {
    headers: {
      ...GUARDS,
      "Content-Type": "image/svg+xml",
      "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    },
  });
}

/** Each call as it ends, for as long as somebody listens (server-sent events). */
function calls(request: Request, { settings, dataDir }: PageSettings): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      const tell = (text: string) => controller.enqueue(encoder.encode(`${text}\n\n`));
      const { dataDirs } = await takeInventory(settings, [dataDir]);
      const journals = dataDirs.map((place) => new Journal(place));
      for (const journal of journals) await journal.fresh();
      tell(": listening");
      let silentMs = 0;
      while (!request.signal.aborted) {
        await Bun.sleep(LOOK_PAUSE_MS);
        if (request.signal.aborted) break;
        const events = (await Promise.all(journals.map((journal) => journal.fresh()))).flat();
        for (const event of events) tell(`data: ${JSON.stringify({ row: callRow(event).text })}`);
        silentMs = events.length > 0 ? 0 : silentMs + LOOK_PAUSE_MS;
        if (silentMs < SILENCE_MS) continue;
        tell(": nothing");
        silentMs = 0;
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { ...GUARDS, "Content-Type": "text/event-stream" } });
}

/** The journal of a store that is read on. */
class Journal {
  #sequence = 0;

  constructor(private readonly dataDir: string) {}

  /** Returns the calls since this was asked last; none of a store that is not there, or can't be read now. */
  async fresh(): Promise<Event[]> {
    if (!storeExists(this.dataDir)) return [];
    try {
      const events = await openStore(this.dataDir).read((store) => listEvents(store, this.#sequence));
      this.#sequence = events.at(-1)?.sequence ?? this.#sequence;
      return events;
    } catch {
      // the page says what is wrong with it
      return [];
    }
  }
}
