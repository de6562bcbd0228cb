// The page about the node: who may see it, and what a real browser shows of it.
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { TestNode } from "../support/node.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { testWith, WARREN } from "../support/sandbox.ts";

/** Where the pictures are kept, to be looked at. */
const PICTURES = resolve(import.meta.dir, "../../dist/screenshots");

/** The server on a node, until it is disposed of. */
class Page implements AsyncDisposable {
  private constructor(
    private readonly child: Bun.Subprocess<Blob, "pipe", "pipe">,
    readonly node: TestNode,
    readonly url: string,
    readonly token: string,
  ) {}

  static async open(node: TestNode, ...flags: string[]): Promise<Page> {
    const env = { NETCONFPATH: node.conf, CNI_PATH: PLUGIN_FOLDER };
    const child = node.host.start([WARREN, "ui", "--json", ...flags], { env });
    const first = await child.stdout.getReader().read();
    if (first.done) throw new Error(await new Response(child.stderr).text());
    const { url, token } = JSON.parse(new TextDecoder().decode(first.value));
    return new Page(child, node, url, token);
  }

  get origin(): string {
    return new URL(this.url).origin;
  }

  /** Returns the status and what curl, inside the node, gets. */
  async get(path: string, ...flags: string[]): Promise<{ status: number; text: string }> {
    const { stdout } = await this.node.host.run([
      "curl",
      "-sS",
      "-m",
      "5",
      "-w",
      "\n%{http_code}",
      ...flags,
      `${this.origin}${path}`,
    ]);
    const end = stdout.lastIndexOf("\n");
    return { status: Number(stdout.slice(end + 1)), text: stdout.slice(0, end) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill();
    await this.child.exited;
  }
}

testWith(tools.program("curl"))(
  "only who has the token sees the page, under its own name, and can only look",
  async () => {
    await using node = await TestNode.create();
    await node.populate();
    await using page = await Page.open(node);
    const known = ["-H", `Authorization: Bearer ${page.token}`];
    const statuses: [path: string, flags: string[], status: number][] = [
      ["/", [], 401],
      ["/map.svg", [], 401],
      ["/calls", [], 401],
      ["/?token=0123456789abcdef0123456789abcdef", [], 401],
      ["/", ["-H", "Cookie: warren_token="], 401],
      ["/", ["-H", "Authorization: Bearer x"], 401],
      ["/", known, 200],
      ["/", ["-I", ...known], 200],
      ["/nowhere", known, 404],
      ["/../../etc/passwd", ["--path-as-is", ...known], 404],
      ["/", ["-X", "POST", ...known], 405],
      ["/", ["-X", "DELETE", ...known], 405],
      // the name of somebody else's page that leads here
      ["/", ["-H", "Host: evil.example", ...known], 421],
      ["/", ["-H", "Host: 192.0.2.7", ...known], 421],
      ["/", ["-H", `Host: localhost:${new URL(page.url).port}`, ...known], 200],
      // the near end of a tunnel
      ["/", ["-H", "Host: localhost:1", ...known], 200],
    ];
    for (const [path, flags, status] of statuses) {
      expect([path, flags, (await page.get(path, ...flags)).status]).toEqual([path, flags, status]);
    }
    const welcome = await page.get(`/?token=${page.token}`, "-i");
    expect(welcome.status).toBe(303);
    const cookie = `warren_token_${new URL(page.url).port}=${page.token}`;
    expect(welcome.text).toContain(`\r\nset-cookie: ${cookie}; HttpOnly; SameSite=Strict`);
    expect((await page.get("/", "-H", `Cookie: ${cookie}`)).status).toBe(200);
    const { text } = await page.get("/", "-i", ...known);
    expect(text).toContain("Content-Security-Policy: default-src 'none'; ");
    expect(text).not.toContain(page.token);
    // it listens for this machine only
    const sockets = await node.host.text(["ss", "-Hltn"]);
    expect(sockets).toContain(`127.0.0.1:${new URL(page.url).port}`);
    expect(sockets.trim().split("\n")).toHaveLength(1);
  },
);

testWith(tools.program("curl"))(
  "listening everywhere, it answers to every address and to no name",
  async () => {
    await using node = await TestNode.create();
    await using page = await Page.open(node, "--host", "0.0.0.0");
    const known = ["-H", `Authorization: Bearer ${page.token}`];
    for (const [host, status] of [
      ["192.0.2.7:8080", 200],
      ["[2001:db8::7]", 200],
      ["localhost", 200],
      ["evil.example", 421],
      ["192.0.2.7.evil.example", 421],
    ] as const) {
      expect([host, (await page.get("/", "-H", `Host: ${host}`, ...known)).status]).toEqual([host, status]);
    }
  },
);

test("looking changes nothing: no STATUS is called and nothing is written", async () => {
  await using node = await TestNode.create();
  await node.populate();
  await using page = await Page.open(node);
  const before = await node.succeed(["events", "--json"]);
  for (const path of ["/", "/map.svg"]) {
    expect((await page.get(path, "-H", `Authorization: Bearer ${page.token}`)).status).toBe(200);
  }
  expect(await node.succeed(["events", "--json"])).toBe(before);
});

test("names from elsewhere are text on the page", async () => {
  await using node = await TestNode.create();
  await node.host.addNetns("web");
  await node.succeed(["add", "pods", "web"], { CNI_ARGS: "K8S_POD_NAMESPACE=a;K8S_POD_NAME=<b>web" });
  await node.configure("30-odd.conflist", '{"name": "<script>alert(1)</script>", "plugins": []}');
  await using page = await Page.open(node);
  const { text } = await page.get("/", "-H", `Authorization: Bearer ${page.token}`);
  expect(text).not.toContain("<b>web");
  expect(text).not.toContain("<script>alert");
  expect(text).toContain("a/&lt;b&gt;web");
});

testWith(tools.program("chromium"), tools.program("node"))(
  "a browser shows networks, pools, calls as they end, and the map; light and dark, by keyboard, without a script",
  async () => {
    await using node = await TestNode.create();
    await node.populate();
    await using page = await Page.open(node);
    mkdirSync(PICTURES, { recursive: true });
    const visit = node.host.start(
      [
        tools.program("node").path ?? "",
        join(import.meta.dir, "ui-visit.mjs"),
        page.url,
        PICTURES,
        tools.program("chromium").path ?? "",
      ],
      { env: { HOME: node.host.directory } },
    );
    let seen = "";
    const decoder = new TextDecoder();
    for await (const chunk of visit.stdout) {
      const wasReady = seen.includes("ready\n");
      seen += decoder.decode(chunk);
      if (!wasReady && seen.includes("ready\n")) await node.succeed(["del", "pods", "db"]);
    }
    const failure = await new Response(visit.stderr).text();
    expect([await visit.exited, failure]).toEqual([0, ""]);
    const report = JSON.parse(seen.slice(seen.indexOf("\n") + 1));

    expect(report.address).toBe(`${page.origin}/`);
    expect(report.problems).toEqual([]);
    expect(report.addresses).toEqual([page.origin]);
    expect(report.before.networks.map((row: string[]) => row.slice(0, 5))).toEqual([
      ["pods", "1.1.0", "warren-bridge", "3", "1"],
      ["wire", "1.1.0", "warren-ptp", "2", "0"],
    ]);
    expect(report.before.pools[0]).toEqual(["pods", "10.88.0.0/24", "2", "1", "1", "65", "185"]);
    expect(report.before.calls).toBeGreaterThanOrEqual(7);
    expect(report.cells).toContain("10.88.0.2: used");
    expect(report.cells).toContain("10.88.0.4: stale");
    expect(report.cells).toContain("10.88.0.5: resting");
    expect(report.cells).toContain("10.88.0.130: reserved");
    expect(report.skipped).toBe("#networks");
    expect(report.reached).toEqual(expect.arrayContaining(["networks", "pools", "calls", "map", "kernel"]));
    expect(report.light).not.toBe(report.dark);
    // the call came by itself, and the tables followed it
    expect(report.after.call.slice(1, 4)).toEqual(["DEL", "bridge", "pods"]);
    expect(report.after.networks[0].slice(0, 5)).toEqual(["pods", "1.1.0", "warren-bridge", "2", "1"]);
    expect(report.withoutScript).toMatchObject({ tables: 4, live: "as of loading" });
    for (const name of ["ui-light.png", "ui-dark.png"])
      expect(Bun.file(join(PICTURES, name)).size).toBeGreaterThan(10_000);
  },
  120_000,
);

test.each([
  [["ui", "--port", "99999"], 2, "expected a number from 0 to 65535"],
  [["ui", "--host", "192.0.2.1"], 1, "can't listen on 192.0.2.1"],
])("%j is refused", async (args, exitCode, message) => {
  await using node = await TestNode.create();
  const outcome = await node.warren(args);
  expect(outcome.stderr).toContain(message);
  expect(outcome.exitCode).toBe(exitCode);
});
