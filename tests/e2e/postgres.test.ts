// Many nodes on one pool in PostgreSQL: who gets what, what each may remove, and what becomes of calls while the database is
// away. A real server, and the compiled executable as two nodes would call it.
import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { call, linkNames, PLUGIN_FOLDER, succeed, type Target, variables } from "../support/plugins.ts";
import { PASSWORD, PostgresServer, postgres } from "../support/postgres.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import type { Swarm, SwarmOutcome } from "../support/swarm.ts";
import type { Json } from "../support/world.ts";

const SWARM = resolve(import.meta.dir, "../support/swarm.ts");

interface Node {
  readonly name: string;
  readonly dataDir: string;
}

const NODES: readonly Node[] = ["node1", "node2", "node3"].map((name) => ({
  name,
  dataDir: `/run/${name}`,
}));
const [ONE, TWO] = NODES as readonly [Node, Node, Node];

/** A network whose leases are in the database, as one node has it. */
function network(server: PostgresServer, node: Node, ipam: Json = {}, settings: Json = {}) {
  return {
    cniVersion: "1.1.0",
    name: "pool",
    type: "warren-ipam",
    ipam: {
      type: "warren-ipam",
      subnet: "10.50.0.0/24",
      dataDir: node.dataDir,
      store: server.config({ nodeName: node.name, ...settings }),
      ...ipam,
    },
  };
}

function pod(containerId: string): Target {
  return { containerId, netns: `/nowhere/${containerId}` };
}

/** Returns the leases as `node container address`. */
async function held(server: PostgresServer): Promise<string[]> {
  const rows = await server.query(
    "SELECT node || ' ' || container_id || ' ' || encode(address, 'hex') FROM warren.leases ORDER BY 1",
  );
  return rows.map(String);
}

/** The runs of held addresses, as they are and as the leases say. */
async function runs(server: PostgresServer): Promise<{ kept: unknown; held: unknown }> {
  const [kept] = await server.query(
    "SELECT coalesce(sum(('x' || encode(last, 'hex'))::bit(32)::bigint - ('x' || encode(first, 'hex'))::bit(32)::bigint + 1), 0)::int FROM warren.runs",
  );
  const [held] = await server.query("SELECT count(*)::int FROM warren.leases");
  return { kept: kept?.[0], held: held?.[0] };
}

async function swarm(host: Sandbox, calls: Swarm["calls"], width: number): Promise<SwarmOutcome[]> {
  return JSON.parse(
    await host.text([process.execPath, SWARM], { stdin: JSON.stringify({ calls, width } satisfies Swarm) }),
  );
}

/** The network of `warren lab status-gc`. */
const LAB = resolve(import.meta.dir, "../../conf/lab-status-gc.conflist");

const IPAM = `${PLUGIN_FOLDER}/warren-ipam`;

testWith(postgres)(
  "S0-30 nodes that start at once on an empty database get distinct addresses, and GC on one leaves the others' rows",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const calls = Array.from({ length: 60 }, (_, index) => {
      const node = NODES[index % NODES.length] as Node;
      return {
        executable: IPAM,
        env: variables("ADD", pod(`pod${index}`)),
        stdin: JSON.stringify(network(server, node)),
      };
    });
    const outcomes = await swarm(host, calls, 20);
    expect(outcomes.filter(({ exitCode }) => exitCode !== 0).map(({ stdout }) => stdout)).toEqual([]);
    const addresses = outcomes.map(({ stdout }) => JSON.parse(stdout).ips[0].address);
    expect(new Set(addresses).size).toBe(60);
    expect(await runs(server)).toEqual({ kept: 60, held: 60 });

    // S0-20: pod0, pod3 and so on are node1's; it keeps one of them, and knows of no other node's
    const before = await held(server);
    await succeed(host, "GC", {
      ...network(server, ONE),
      "cni.dev/valid-attachments": [{ containerID: "pod3", ifname: "eth0" }],
    });
    const after = await held(server);
    expect(after).toEqual(before.filter((row) => !row.startsWith("node1") || row.includes(" pod3 ")));
    expect(after).toHaveLength(41);
    expect(await runs(server)).toEqual({ kept: 41, held: 41 });

    // another node's container of the same name is another container
    await succeed(host, "DEL", network(server, TWO), pod("pod3"));
    expect(await held(server)).toEqual(after);
    const [taken] = after.filter((row) => row.startsWith("node2"));
    const [, container, hex = ""] = taken?.split(" ") ?? [];
    const wanted = [...Uint8Array.fromHex(hex)].join(".");
    const refused = await call(
      host,
      "ADD",
      { ...network(server, ONE), args: { cni: { ips: [wanted] } } },
      pod("thief"),
    );
    expect(refused.document).toMatchObject({
      code: 100,
      msg: expect.stringContaining(`held by container ${container}, interface eth0 on node node2`),
    });
  },
  60_000,
);

testWith(postgres)(
  "a node that loses the database keeps its releases, and the next call that reaches it delivers them",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const config = network(server, ONE);
    await succeed(host, "ADD", config, pod("a"));
    await succeed(host, "ADD", config, pod("b"));
    // as if its machine had died
    await server.end("SIGKILL");
    expect((await call(host, "ADD", config, pod("c"))).document).toMatchObject({ code: 11 });
    const gone = await call(host, "DEL", config, pod("a"));
    expect([gone.exitCode, gone.stdout]).toEqual([0, ""]);
    expect(gone.stderr).toContain("its release waits on this node");
    // as often as a runtime likes
    await succeed(host, "DEL", config, pod("a"));
    expect((await call(host, "GC", { ...config, "cni.dev/valid-attachments": [] })).exitCode).toBe(1);
    expect((await call(host, "STATUS", config)).document).toMatchObject({ code: 50 });

    await server.run();
    expect(await held(server)).toEqual(["node1 a 0a320002", "node1 b 0a320003"]);
    await succeed(host, "ADD", config, pod("c"));
    expect(await held(server)).toEqual(["node1 b 0a320003", "node1 c 0a320004"]);
    expect(await runs(server)).toEqual({ kept: 2, held: 2 });
    // the same container again, whose release waited: it is another one
    await succeed(host, "ADD", config, pod("a"));
    await succeed(host, "STATUS", config);
    expect(await held(server)).toEqual(["node1 a 0a320005", "node1 b 0a320003", "node1 c 0a320004"]);
  },
  60_000,
);

testWith(postgres)(
  "kill -9 of the server amid ADDs leaves what was answered, and one GC makes it whole",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const config = network(server, ONE);
    await succeed(host, "STATUS", config);
    const calls = Array.from({ length: 80 }, (_, index) => ({
      executable: IPAM,
      env: variables("ADD", pod(`pod${index}`)),
      stdin: JSON.stringify(config),
    }));
    const adding = swarm(host, calls, 8);
    for (let some = false; !some; await Bun.sleep(5)) some = (await held(server)).length > 10;
    await server.end("SIGKILL");
    const outcomes = await adding;
    await server.run();
    const answered = outcomes.flatMap(({ exitCode, stdout }, index) =>
      exitCode === 0 ? [{ name: `pod${index}`, address: JSON.parse(stdout).ips[0].address }] : [],
    );
    for (const { exitCode, stdout } of outcomes) if (exitCode !== 0) expect(JSON.parse(stdout).code).toBe(11);
    expect(answered.length).toBeGreaterThan(5);
    expect(answered.length).toBeLessThan(80);
    await succeed(host, "GC", {
      ...config,
      "cni.dev/valid-attachments": answered.map(({ name }) => ({ containerID: name, ifname: "eth0" })),
    });
    const expected = answered.map(({ name, address }) => {
      const bytes = Uint8Array.from(address.split("/")[0].split(".").map(Number));
      return `node1 ${name} ${bytes.toHex()}`;
    });
    expect(await held(server)).toEqual(expected.toSorted());
    expect(await runs(server)).toEqual({ kept: answered.length, held: answered.length });
  },
  60_000,
);

testWith(postgres)(
  "S0-04 S0-06 S0-28 STATUS names each cause of its own, in time, and no secret is in any word",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host, ["listen_addresses=127.0.0.1,127.0.0.2"]);
    const everything: string[] = [];
    const status = async (settings: Json, ipam: Json = {}, node = ONE): Promise<string> => {
      const startedAtMs = performance.now();
      const answer = await call(host, "STATUS", network(server, node, ipam, settings));
      everything.push(answer.stdout, answer.stderr);
      // an outer limit against hanging: the words say how long was waited
      expect(performance.now() - startedAtMs).toBeLessThan(20_000);
      if (answer.exitCode === 0) return "ready";
      expect(answer.document.code).toBe(50);
      return `${String(answer.document.details).split(":")[0]} | ${answer.document.msg}`;
    };
    const place = "the PostgreSQL database postgres at 127.0.0.1:5432, schema warren";
    expect(await status({})).toBe("ready");
    expect(await status({ port: 1 })).toStartWith(
      "unreachable | the PostgreSQL database postgres at 127.0.0.1:1, schema warren can't be reached",
    );
    const wrong = join(host.directory, "wrong-password");
    writeFileSync(wrong, "Wr0ng-and-secret\n", { mode: 0o600 });
    expect(await status({ passwordFile: wrong })).toStartWith(`authentication failed | ${place} refused`);
    expect(await status({ user: "nobody" })).toStartWith("authentication failed | ");
    expect(await status({ passwordFile: "/nowhere" })).toStartWith("password missing | passwordFile of");
    expect(await status({ passwordFile: null, passwordVariable: "NOT_THERE" })).toStartWith(
      "password missing | the variable NOT_THERE",
    );
    expect(await status({ database: "other" })).toStartWith(
      "database missing | the PostgreSQL database other at",
    );
    expect(await status({ tls: { mode: "verify-full" } })).toStartWith(`not encrypted | ${place}`);
    // no free address
    await succeed(host, "ADD", network(server, ONE, { subnet: "10.60.0.0/30" }), pod("only"));
    expect(await status({}, { subnet: "10.60.0.0/30" })).toContain("no free addresses in 10.60.0.0/30");
    // a black hole: packets to it go nowhere, and nobody says so
    await host.text(["ip", "link", "add", "hole", "type", "bridge"]);
    await host.text(["ip", "address", "add", "192.0.2.1/24", "dev", "hole"]);
    await host.text(["ip", "link", "set", "hole", "up"]);
    await host.text(["ip", "neighbour", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "hole"]);
    expect(await status({ host: "192.0.2.9" })).toStartWith(
      "timed out | the PostgreSQL database postgres at 192.0.2.9:5432, schema warren did not answer within 2000 ms",
    );
    // one that is there, and says nothing
    server.pause();
    expect(await status({})).toStartWith(`timed out | ${place} did not answer within 2000 ms (connecting)`);
    server.resume();
    await server.query("ALTER DATABASE postgres SET default_transaction_read_only = on");
    expect(await status({})).toStartWith(`read-only replica | ${place} takes no writes`);
    await server.query("ALTER DATABASE postgres RESET default_transaction_read_only").catch(async () => {
      await server.query("SET transaction_read_only = off; ALTER DATABASE postgres RESET ALL");
    });
    expect(await status({})).toBe("ready");
    const [version] = await server.query("SELECT version FROM warren.schema_version");
    await server.query("UPDATE warren.schema_version SET version = 99");
    expect(await status({})).toStartWith(`newer schema | ${place} has schema version 99`);
    await server.query(`UPDATE warren.schema_version SET version = ${version?.[0]}`);
    await server.query("ALTER TABLE warren.heartbeat RENAME TO elsewhere");
    expect(await status({})).toStartWith(`table missing | ${place} lacks a table`);
    await server.query("ALTER TABLE warren.elsewhere RENAME TO heartbeat");
    await server.query("CREATE ROLE poor LOGIN PASSWORD 'poor'");
    const poor = join(host.directory, "poor-password");
    writeFileSync(poor, "poor", { mode: 0o600 });
    expect(await status({ user: "poor", passwordFile: poor })).toStartWith(`permission denied | ${place}`);
    await server.query("ALTER ROLE poor CONNECTION LIMIT 0");
    expect(await status({ user: "poor", passwordFile: poor })).toStartWith("too many connections | ");
    // an old version of the config's key, said with the place
    const inline = await call(host, "STATUS", network(server, ONE, {}, { password: PASSWORD }));
    everything.push(inline.stdout, inline.stderr);
    expect(inline.document).toMatchObject({ code: 7 });
    // calls of every outcome are remembered too, on the node
    for (const command of [
      [WARREN, "events", "--data-dir", ONE.dataDir],
      [WARREN, "events", "--json", "--data-dir", ONE.dataDir],
      [WARREN, "leases", "--data-dir", ONE.dataDir],
    ]) {
      const { stdout, stderr } = await host.run(command);
      everything.push(stdout, stderr);
    }
    for (const file of readdirSync(host.directory).filter((name) => name.startsWith("warren"))) {
      everything.push(readFileSync(join(host.directory, file), "utf8"));
    }
    for (const words of everything) {
      expect(words).not.toContain("p@ss");
      expect(words).not.toContain("Wr0ng-and-secret");
      expect(words).not.toMatch(/postgres(?:ql)?:\/\//);
    }
  },
  120_000,
);

testWith(postgres)(
  "the operator's commands show a shared store from what the node remembers, and gc collects in it",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const folder = join(host.directory, "net.d");
    mkdirSync(folder);
    const { name, cniVersion, ipam } = network(server, ONE);
    writeFileSync(
      join(folder, "10-pool.conflist"),
      JSON.stringify({
        ...{ cniVersion, name },
        plugins: [{ type: "warren-bridge", bridge: "br0", dataDir: ONE.dataDir, ipam }],
      }),
    );
    const env = { CNI_PATH: PLUGIN_FOLDER, NETCONFPATH: folder };
    const warren = (...command: string[]) => host.run([WARREN, ...command], { env });
    await host.addNetns("a");
    await host.addNetns("b");
    for (const netns of ["a", "b"]) {
      const { exitCode, stderr } = await warren("add", name, `/run/netns/${netns}`);
      expect([exitCode, stderr]).toEqual([0, ""]);
    }
    await succeed(host, "ADD", network(server, TWO), pod("other"));

    const table = await warren("leases", "--data-dir", ONE.dataDir);
    expect([table.exitCode, table.stderr]).toEqual([0, ""]);
    expect(table.stdout).toMatch(/10\.50\.0\.2\/24 .* alive +node1/);
    expect(table.stdout).toMatch(/10\.50\.0\.4\/24 +other +eth0 .* elsewhere +node2/);
    const status = JSON.parse((await warren("status", "--json", "--data-dir", ONE.dataDir)).stdout);
    expect(status.networks).toMatchObject([{ name, ready: true, attachments: 2, stale: 0 }]);
    expect(status.pools).toMatchObject([{ network: name, used: 3 }]);

    await host.text(["ip", "netns", "delete", "a"]);
    const [first] = JSON.parse((await warren("leases", "--json", "--data-dir", ONE.dataDir)).stdout);
    expect(first).toMatchObject({ state: "netns gone", node: "node1" });
    const shown = await warren("show", first.container, "--data-dir", ONE.dataDir);
    expect(shown.stdout).toContain("10.50.0.2/24");
    const preview = await warren("gc", name, "/run/netns/b", "--dry-run");
    expect(preview.stdout).toContain("10.50.0.2/24");
    expect((await held(server)).length).toBe(3);
    const collected = await warren("gc", name, "/run/netns/b");
    expect(collected.exitCode).toBe(0);
    expect((await held(server)).map((row) => row.split(" ")[0])).toEqual(["node1", "node2"]);

    // the database away: what this node has by itself is shown all the same, and the rest is said to be missing
    await server.end("SIGKILL");
    expect((await warren("del", name, "/run/netns/b")).exitCode).toBe(0);
    const left = await warren("leases", "--data-dir", ONE.dataDir);
    expect([left.exitCode, left.stdout]).toEqual([1, "no leases\n"]);
    expect(left.stderr).toContain("can't be reached");
    expect(left.stderr).toContain("1 release waits until the PostgreSQL database postgres at 127.0.0.1:5432");
    expect(await linkNames(host)).toEqual(["br0"]);
    await server.run();
    expect((await warren("gc", name, "/run/netns/b")).exitCode).toBe(0);
    expect((await held(server)).map((row) => row.split(" ")[0])).toEqual(["node2"]);
    expect((await warren("leases", "--data-dir", ONE.dataDir)).stderr).toBe("");
  },
  60_000,
);

testWith(postgres, tools.program("openssl"))(
  "X-30 each mode of TLS accepts what it says and nothing else, whatever the environment says",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const file = (name: string) => join(server.data, name);
    const openssl = (...command: string[]) => host.text(["openssl", ...command]);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    await openssl(
      "req",
      "-x509",
      ...key,
      "-keyout",
      file("ca.key"),
      "-out",
      file("ca.pem"),
      "-subj",
      "/CN=ca",
    );
    await openssl(
      ...["req", "-x509", ...key, "-keyout", file("server.key"), "-out", file("server.crt")],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
      ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-addext", "basicConstraints=CA:FALSE"],
    );
    await host.text(["chown", "65534:65534", file("server.key"), file("server.crt")]);
    await host.text(["chmod", "600", file("server.key")]);
    await server.end();
    await server.run(["ssl=on"]);
    // what is not encrypted is refused from here on, so that a success means that it is
    writeFileSync(file("pg_hba.conf"), "local all all scram-sha-256\nhostssl all all all scram-sha-256\n");
    await server.query("SELECT pg_reload_conf()");
    await host.text(["cp", file("ca.pem"), join(host.directory, "ca.pem")]);
    const caFile = join(host.directory, "ca.pem");
    const status = async (place: string, tls: Json, env: Record<string, string> = {}): Promise<string> => {
      const { exitCode, stdout } = await host.run([IPAM], {
        env: { ...variables("STATUS"), ...env },
        stdin: JSON.stringify(network(server, ONE, {}, { host: place, tls })),
      });
      return exitCode === 0 ? "ready" : (String(JSON.parse(stdout).details).split(":")[0] ?? "");
    };
    expect(await status("127.0.0.1", { mode: "disable" })).toBe("authentication failed");
    expect(await status("127.0.0.1", { mode: "prefer" })).toBe("ready");
    expect(await status("127.0.0.1", { mode: "require" })).toBe("ready");
    expect(await status("127.0.0.1", { mode: "verify-ca" })).toBe("certificate refused");
    expect(await status("127.0.0.1", { mode: "verify-ca", caFile })).toBe("ready");
    expect(await status("127.0.0.1", { mode: "verify-full", caFile })).toBe("certificate refused");
    expect(await status("localhost", { mode: "verify-full", caFile })).toBe("ready");
    expect(await status("localhost", { mode: "verify-full" })).toBe("certificate refused");
    expect(await status("localhost", { mode: "verify-full", caFile: "/nowhere" })).toBe(
      "certificate refused",
    );
    const hostile = {
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      DATABASE_URL: "postgres://other:secret@127.0.0.1:1/other?sslmode=disable",
      TLS_DATABASE_URL: "postgres://other:secret@127.0.0.1:1/other",
      PGHOST: "127.0.0.1",
      PGPORT: "1",
      PGUSER: "other",
      PGPASSWORD: "other",
      PGDATABASE: "other",
      PGSSLMODE: "disable",
    };
    expect(await status("localhost", { mode: "verify-full" }, hostile)).toBe("certificate refused");
    expect(await status("localhost", { mode: "verify-full", caFile }, hostile)).toBe("ready");
  },
  60_000,
);

testWith(postgres)(
  "S0-29 the story of STATUS and GC has the same visible text on a file and on PostgreSQL",
  async () => {
    const story = async (isShared: boolean): Promise<string> => {
      await using host = await Sandbox.create();
      await using server = isShared ? await PostgresServer.start(host) : undefined;
      const folder = join(host.directory, "net.d");
      mkdirSync(folder);
      const list = JSON.parse(readFileSync(LAB, "utf8"));
      const [bridge] = list.plugins;
      bridge.ipam.dataDir = bridge.dataDir ?? bridge.ipam.dataDir;
      if (server !== undefined) bridge.ipam.store = server.config();
      writeFileSync(join(folder, "10-lab.conflist"), JSON.stringify(list));
      const env = { CNI_PATH: PLUGIN_FOLDER, NETCONFPATH: folder };
      const told: string[] = [];
      const warren = async (line: string, more: Record<string, string> = {}) => {
        const { exitCode, stdout, stderr } = await host.run([WARREN, ...line.split(" ")], {
          env: { ...env, ...more },
        });
        told.push(`$ warren ${line}`, stdout, stderr, `exit code ${exitCode}`);
      };
      const leases = `leases --data-dir ${bridge.ipam.dataDir}`;
      await host.text(["mkdir", "/run/lab"]);
      await warren(`status ${list.name}`);
      await host.text(["mkdir", "/run/lab/disk"]);
      await warren(`status ${list.name}`);
      for (const [pod, IP] of [
        ["pod1", "192.168.200.1"],
        ["pod2", "192.168.200.22"],
        ["pod3", "192.168.200.123"],
      ] as const) {
        await host.addNetns(pod);
        await warren(`add ${list.name} ${pod}`, { CNI_ARGS: `IP=${IP}` });
      }
      await warren(`gc ${list.name} pod1 pod2 pod3`);
      await warren(leases);
      await host.text(["ip", "netns", "delete", "pod2"]);
      await warren(`${leases} --leaked`);
      await warren(`gc ${list.name} pod1 pod3`);
      await warren(leases);
      for (const pod of ["pod1", "pod3"]) await warren(`del ${list.name} ${pod}`);
      await warren(leases);
      // times and hardware addresses are never the same twice
      return told
        .join("\n")
        .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "TIME")
        .replaceAll(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC");
    };
    const onFile = await story(false);
    expect(onFile).toContain("192.168.200.123/24");
    expect(onFile.match(/exit code 1$/gm)).toHaveLength(1);
    expect(await story(true)).toBe(onFile);
  },
  120_000,
);
