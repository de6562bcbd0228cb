// `warren node run` on nodes that are namespaces on one wire, with their store in a real PostgreSQL: what each of them has the
// kernel do as others come and go, and what stays when the store or the daemon is killed.
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { reaches } from "../support/mesh.ts";
import { eventually, MeshWithStore, RunningDaemon } from "../support/mesh-daemons.ts";
import { PASSWORD, postgres } from "../support/postgres.ts";
import { testWith, WARREN } from "../support/sandbox.ts";

testWith(postgres)(
  "S3-W06 a node that comes appears on all others, one that is removed drops from them, and the rest is not touched",
  async () => {
    await using mesh = await MeshWithStore.create(3);
    const daemons = [await mesh.start(1), await mesh.start(2)];
    expect(await mesh.list()).toEqual(["node1 10.244.0.0/24 there", "node2 10.244.1.0/24 there"]);
    await daemons[0]?.tells("added peer node2");
    const before = await mesh.peers(1);
    expect(before).toHaveLength(3);
    const monitors = [
      mesh.stage.sandbox.start(["ip", "-n", "wg1", "monitor", "route", "neigh"]),
      mesh.stage.sandbox.start(["bridge", "-n", "wg1", "monitor", "fdb"]),
    ];
    const third = await mesh.start(3);
    expect(third.linesOf("added peer")).toEqual(["added peer node1", "added peer node2"]);
    for (const daemon of daemons) await daemon.tells("added peer node3");
    const after = await mesh.peers(1);
    expect(after).toHaveLength(6);
    expect(after).toEqual(expect.arrayContaining(before));
    expect(await mesh.node(1).attach("pod1")).toEqual(["10.244.0.3/24"]);
    expect(await mesh.node(3).attach("pod3")).toEqual(["10.244.2.3/24"]);
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.2.3")).toMatchObject({ passed: true });

    // the end of a daemon is not the end of its node
    expect(await third.end()).toBe(0);
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.2.3")).toMatchObject({ passed: true });
    const refused = await mesh.node(1).warren("remove", "node3");
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("was heard of")]);
    expect((await mesh.node(1).warren("remove", "node9")).stderr).toContain("there are node1, node2, node3");
    await mesh.node(1).node("remove", "node3", "--force");
    for (const daemon of daemons) await daemon.tells("removed peer");
    expect(await mesh.peers(1)).toEqual(before);
    expect(await mesh.list()).toContain("node3 10.244.2.0/24 left");
    let events = "";
    for (const monitor of monitors) {
      monitor.kill();
      events += await new Response(monitor.stdout).text();
    }
    // node 3 was seen to come and to go, and nothing was said of node 2
    for (const what of ["10.244.2.0/24 via", "Deleted 10.244.2.0/24", "dst 192.0.2.3"])
      expect(events).toContain(what);
    expect(events.split("\n").filter((line) => /10\.244\.1\.|192\.0\.2\.2 /.test(line))).toEqual([]);

    // it comes back to its own block, and its pod is reached again
    const again = await mesh.start(3);
    await daemons[0]?.tells(
      "added peer node3",
      daemons[0].lines.findIndex((line) => line.startsWith("removed")),
    );
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.2.3")).toMatchObject({ passed: true });
    for (const daemon of [...daemons, again]) {
      expect(await daemon.end()).toBe(0);
      expect(daemon.linesOf("warning")).toEqual([]);
    }
  },
  120_000,
);

testWith(postgres)(
  "S3-W12 while the store is away peers stay and repairs go on, nothing is told twice, and what was missed is made up for",
  async () => {
    await using mesh = await MeshWithStore.create(3);
    const [one, two] = [await mesh.start(1), await mesh.start(2)];
    await one.tells("added peer node2");
    const peers = await mesh.peers(1);
    expect(await mesh.node(1).attach("pod1")).toEqual(["10.244.0.3/24"]);
    expect(await mesh.node(2).attach("pod2")).toEqual(["10.244.1.3/24"]);
    await mesh.server.end("SIGKILL");
    await one.tells("warning: the PostgreSQL database");
    // a daemon that starts without the store waits for it, and takes nothing away
    expect(await two.end()).toBe(0);
    const again = new RunningDaemon(mesh.node(2));
    await again.tells("warning: the PostgreSQL database");
    const late = new RunningDaemon(mesh.node(3));
    await late.tells("warning: the PostgreSQL database");
    expect(await mesh.peers(1)).toEqual(peers);
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.1.3")).toMatchObject({ passed: true });
    expect((await mesh.node(3).text(["ip", "link"])).includes("warren0")).toBe(false);
    // several tries later
    await Bun.sleep(2500);
    for (const daemon of [one, again, late]) {
      const problems = daemon.linesOf("warning").map((line) => /schema warren ([^:]*)/.exec(line)?.[1]);
      expect(new Set(problems).size).toBe(problems.length);
      expect(problems[0]).toBe("can't be reached");
    }

    await mesh.server.run();
    for (const daemon of [one, again, late]) await daemon.tells("is there again");
    await one.tells("added peer node3");
    await late.tells("the mesh is up on this node");
    await again.tells("the mesh is up on this node");
    expect(await mesh.peers(1)).toEqual(expect.arrayContaining(peers));
    expect(await mesh.list()).toEqual([
      "node1 10.244.0.0/24 there",
      "node2 10.244.1.0/24 there",
      "node3 10.244.2.0/24 there",
    ]);
    // silent without a word: connections are there, and nobody answers
    const sessions = await mesh.sql(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    mesh.server.pause();
    for (const [pid] of sessions) process.kill(Number(pid), "SIGSTOP");
    one.lookNow();
    await one.tells("did not answer within");
    expect(await mesh.peers(1)).toEqual(expect.arrayContaining(peers));
    for (const [pid] of sessions) process.kill(Number(pid), "SIGCONT");
    mesh.server.resume();
    await eventually(
      "the store",
      async () => one.lines.filter((line) => line.includes("is there again")).length,
      (count) => count === 2,
    );
    await mesh.sql(
      "INSERT INTO warren.nodes SELECT network, 'node4', agreement, '\\xc0000204', port, NULL, NULL, backend, joined_at_ms, seen_at_ms, NULL, NULL, 0 FROM warren.nodes WHERE node = 'node1'; INSERT INTO warren.node_blocks VALUES ('mesh', '\\x0af40900', 24, 'node4')",
    );
    for (const daemon of [one, again, late]) await daemon.tells("added peer node4");
    for (const daemon of [one, again, late]) {
      expect(await daemon.end()).toBe(0);
      for (const line of daemon.lines) expect(line).not.toContain(PASSWORD);
    }
  },
  120_000,
);

testWith(postgres)(
  "S3-W11 a node that lacks something is left out with one warning that says what, and others are not affected",
  async () => {
    await using mesh = await MeshWithStore.create(2);
    const [one, two] = [await mesh.start(1), await mesh.start(2)];
    await one.tells("added peer node2");
    const peers = await mesh.peers(1);
    const row = (name: string, address: string, joined: string) =>
      `INSERT INTO warren.nodes (network, node, agreement, address, port, backend, joined_at_ms, seen_at_ms, revision) SELECT network, '${name}', agreement, ${address}, port, backend, ${joined}, seen_at_ms, 0 FROM warren.nodes WHERE node = 'node1'`;
    await mesh.sql(row("half", "NULL", "0"));
    await mesh.sql(row("blockless", "'\\xc0000209'", "0"));
    // one that has just come may be about to say the rest
    await mesh.sql(row("young", "NULL", "seen_at_ms"));
    await one.tells("node half is left out: it has no address and no CIDR");
    await one.tells("node blockless is left out: it has no CIDR");
    expect(one.linesOf("warning")).toHaveLength(2);
    // the store says of node 2 what is not so: that node corrects it, and the others see both
    await mesh.sql("UPDATE warren.nodes SET port = 4790 WHERE node = 'node2'");
    await two.tells("somebody else says of node node2 that it is at 192.0.2.2 port 4790");
    await eventually(
      "the right port",
      () => mesh.sql("SELECT port FROM warren.nodes WHERE node = 'node2'"),
      (rows) => String(rows) === "4789",
    );
    await eventually(
      "the peers before",
      () => mesh.peers(1),
      (now) => Bun.deepEquals(now, peers),
    );
    expect(await one.end()).toBe(0);
    expect(await two.end()).toBe(0);
  },
  120_000,
);

testWith(postgres)(
  "kill -9 of daemons and of the server at any point: the next ones make the same nodes of it, whole, and nothing twice",
  async () => {
    await using mesh = await MeshWithStore.create(2);
    const whole = await mesh.start(1);
    const other = await mesh.start(2);
    await whole.tells("added peer node2");
    const state = await mesh.state(1);
    await whole.end("SIGKILL");
    expect((await mesh.node(1).warren("down")).exitCode).toBe(0);
    for (let round = 0; round < 9; round++) {
      const daemon = new RunningDaemon(mesh.node(1));
      // from before it has read its settings until after everything is there
      await Bun.sleep(80 * round);
      const server = round % 3 === 2;
      if (server) await mesh.server.end("SIGKILL");
      await daemon.end("SIGKILL");
      if (server) await mesh.server.run();
      // a half of the times it begins with what is left
      if (round % 2 === 0) await mesh.node(1).warren("down");
    }
    const last = await mesh.start(1);
    await eventually(
      "the state before",
      () => mesh.state(1),
      (now) => now === state,
    );
    const shown = await mesh.node(1).warren("show", "--json");
    expect(JSON.parse(shown.stdout)).toMatchObject({
      complete: true,
      findings: [],
      peers: [{ known: true }],
    });
    expect(await mesh.list()).toEqual(["node1 10.244.0.0/24 there", "node2 10.244.1.0/24 there"]);
    expect((await mesh.sql("SELECT count(*)::int FROM warren.node_blocks")).flat()).toEqual([2]);
    expect(await last.end()).toBe(0);
    expect(await other.end()).toBe(0);
  },
  180_000,
);

testWith(postgres)(
  "S3-W08 one daemon keeps a node, told by name; it repairs what goes, parks the list while it can't, and rejoins if removed",
  async () => {
    await using mesh = await MeshWithStore.create(1);
    const node = mesh.node(1);
    const daemon = await mesh.start(1);
    const second = new RunningDaemon(node);
    expect(await second.exited()).toBe(1);
    expect(second.lines.join("\n")).toMatch(/Error: the mesh mesh is kept by a daemon: process \d+/);
    const down = await node.warren("down");
    expect([down.exitCode, down.stderr]).toEqual([1, expect.stringContaining("is kept by a daemon")]);
    expect(existsSync(node.conflist)).toBe(true);
    await node.node("remove", "node1", "--force");
    await daemon.tells("this node was taken out of the mesh, and has joined it again");
    expect(await mesh.list()).toEqual(["node1 10.244.0.0/24 there"]);
    const saysItsAddress = () =>
      eventually(
        "its own address",
        () => mesh.sql("SELECT encode(address, 'hex') FROM warren.nodes"),
        (rows) => String(rows) === "c0000201",
      );
    await saysItsAddress();
    // two machines of one name
    await mesh.sql("UPDATE warren.nodes SET address = '\\xc0000263'");
    await daemon.tells("somebody else says of node node1 that it is at 192.0.2.99 port 4789");
    await saysItsAddress();
    await node.text(["ip", "link", "delete", "warren0"]);
    const before = daemon.lines.length;
    daemon.lookNow();
    await daemon.tells("made bridge warren0", before);
    expect(await daemon.end()).toBe(0);
    expect(readFileSync(node.conflist, "utf8")).toContain('"10.244.0.0/24"');
    // a daemon that can't begin says why, and ends
    await mesh.configure(node, { clusterCIDRs: ["10.244.0.0/16"], nodeMasks: { ipv4: 26 } });
    await mesh.sql(
      "INSERT INTO warren.nodes SELECT network, 'other', agreement, address, port, public_key, hardware_address, backend, joined_at_ms, seen_at_ms, left_at_ms, reserved_until_ms, 0 FROM warren.nodes",
    );
    const refused = new RunningDaemon(node);
    expect(await refused.exited()).toBe(1);
    expect(refused.lines.join()).toContain(
      "the nodes of the mesh mesh disagree: node other has 10.244.0.0/16 in blocks of /24",
    );
  },
  120_000,
);

testWith(postgres)(
  "a service manager is told when the mesh is up, that the daemon lives, and that it ends",
  async () => {
    await using mesh = await MeshWithStore.create(1);
    const node = mesh.node(1);
    const path = `${node.folder}/notify`;
    const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(100).decode(), flush=True)`;
    const manager = mesh.stage.sandbox.start(["python3", "-c", script, path]);
    await eventually("the socket", async () => existsSync(path), Boolean);
    const daemon = new RunningDaemon(node, { NOTIFY_SOCKET: path });
    await daemon.tells("the mesh is up on this node");
    expect(await daemon.end()).toBe(0);
    manager.kill();
    const words = (await new Response(manager.stdout).text()).split("\n");
    expect(words).toEqual(expect.arrayContaining(["WATCHDOG=1", "READY=1", "STOPPING=1"]));
    expect(words.indexOf("READY=1")).toBeLessThan(words.indexOf("STOPPING=1"));
  },
  60_000,
);

test("the unit in conf/ is one that systemd takes, and starts a command that there is", async () => {
  const file = resolve(import.meta.dir, "../../conf/warren-mesh.service");
  const text = readFileSync(file, "utf8");
  const [, command = ""] = /^ExecStart=\/opt\/cni\/bin\/warren (.*)$/m.exec(text) ?? [];
  const help = Bun.spawnSync([WARREN, "help", ...command.split(" ")]);
  expect([help.exitCode, help.stdout.toString()]).toEqual([0, expect.stringContaining("warren node run")]);
  for (const line of text.split("\n"))
    expect(line).toMatch(/^(?:#.*|\[(?:Unit|Service|Install)\]|[A-Z]\w+=.+|)$/);
  const analyze = Bun.which("systemd-analyze");
  if (analyze === null) return;
  const folder = mkdtempSync(join(tmpdir(), "warren-unit-"));
  try {
    const copy = join(folder, "warren-mesh.service");
    writeFileSync(copy, text.replace("/opt/cni/bin/warren", WARREN));
    const verified = Bun.spawnSync([analyze, "verify", "--man=no", copy]);
    expect([verified.exitCode, verified.stderr.toString()]).toEqual([0, ""]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
