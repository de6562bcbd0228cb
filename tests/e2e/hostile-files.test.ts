// Somebody prepared the places that the executable reads and writes: links that lead to files of others, and pipes
// that nobody ever writes to. Nothing is written through a link, nothing waits, and what is refused is named.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Config, PLUGIN_FOLDER, variables } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";

/** After so many seconds a call hangs: `timeout` kills it, and the exit code is 137. */
const HANG_SECONDS = "20";

const POD = { containerId: "pod-1", netns: "pod1" };
const PRECIOUS = "precious\n";

/** A host on which `$DIR/victim` is what nobody may touch. */
async function prepared(script: string): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["sh", "-ec", `echo precious > victim; ${script}`]);
  return sandbox;
}

function call(sandbox: Sandbox, verb: string, ipam: Config): Promise<Outcome> {
  const config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    dataDir: join(sandbox.directory, "store"),
    ipam: { type: "warren-ipam", subnet: "10.88.0.0/16", ...ipam },
  };
  const command = ["timeout", "-s", "KILL", HANG_SECONDS, `${PLUGIN_FOLDER}/warren-bridge`];
  return sandbox.run(command, { env: variables(verb, POD), stdin: JSON.stringify(config) });
}

async function expectUntouched(sandbox: Sandbox): Promise<void> {
  expect(await Bun.file(join(sandbox.directory, "victim")).text()).toBe(PRECIOUS);
  expect(await Bun.file(join(sandbox.directory, "victim-to-be")).exists()).toBe(false);
}

/** Names of the store, and what becomes of an ADD that finds something there: a code, or 0 for success. */
const STORE: readonly (readonly [place: string, script: string, code: number])[] = [
  ["a link to a file as store", "ln -s ../victim store/warren.db", 105],
  ["a link to nothing as store", "ln -s ../victim-to-be store/warren.db", 105],
  ["a link to a file as lock", "ln -s ../victim store/warren.db.lock", 105],
  ["a link to nothing as lock", "ln -s ../victim-to-be store/warren.db.lock", 105],
  // SQLite's own files beside a store that is not there yet are what an earlier one left, and go
  ["a link as log", "ln -s ../victim store/warren.db-wal", 0],
  ["a link as index of the log", "ln -s ../victim store/warren.db-shm", 0],
  ["a link as journal", "ln -s ../victim store/warren.db-journal", 0],
  ["a link as store in the making", "ln -s ../victim store/warren.db.new", 0],
  ["a pipe as store", "mkfifo store/warren.db", 105],
  ["a pipe as lock", "mkfifo store/warren.db.lock", 0],
  ["a pipe as log", "mkfifo store/warren.db-wal", 0],
  ["a device as store", "mknod store/warren.db c 1 3", 105],
];

test.each(STORE)("%s: nothing is written through it, and nothing waits", async (_, script, code) => {
  await using sandbox = await prepared(`mkdir -m 700 store; ${script}`);
  const added = await call(sandbox, "ADD", {});
  expect(added).toMatchObject({ exitCode: code === 0 ? 0 : 1 });
  if (code !== 0) expect(JSON.parse(added.stdout).code).toBe(code);
  await expectUntouched(sandbox);
});

test("a link in the place of a store that was there is refused, even one to a store", async () => {
  await using sandbox = await prepared("");
  expect((await call(sandbox, "ADD", {})).exitCode).toBe(0);
  await sandbox.text(["sh", "-ec", "mkdir other; mv store/warren.db* other; ln -s ../other/warren.db store"]);
  for (const verb of ["STATUS", "DEL"]) {
    const answer = await call(sandbox, verb, {});
    expect(answer.exitCode).toBe(1);
    expect(JSON.parse(answer.stdout).msg).toContain("is a symbolic link");
  }
});

test("links in the place of a living store's log are refused", async () => {
  await using sandbox = await prepared("");
  expect((await call(sandbox, "ADD", {})).exitCode).toBe(0);
  for (const suffix of ["-wal", "-shm"]) {
    await sandbox.text([
      "sh",
      "-ec",
      `rm -f store/warren.db${suffix}; ln -s ../victim store/warren.db${suffix}`,
    ]);
    const answer = await call(sandbox, "DEL", {});
    expect(answer.exitCode).toBe(1);
    expect(JSON.parse(answer.stdout).msg).toContain("store/warren.db");
    await expectUntouched(sandbox);
    await sandbox.text(["rm", `store/warren.db${suffix}`]);
  }
});

test("a pipe as resolver configuration is an error, not a wait", async () => {
  await using sandbox = await prepared("mkfifo pipe");
  const answer = await call(sandbox, "ADD", { resolvConf: join(sandbox.directory, "pipe") });
  expect(answer.exitCode).toBe(1);
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 5, msg: expect.stringContaining("a pipe") });
  // not even where somebody holds its other end and says nothing
  const holder = sandbox.start(["sh", "-c", "exec 3<>pipe; echo held; cat"], {});
  await holder.stdout.getReader().read();
  const again = await call(sandbox, "ADD", { resolvConf: join(sandbox.directory, "pipe") });
  expect(again.exitCode).toBe(1);
  await holder.exited;
});

test.each([
  ["lock", 0],
  ["last_reserved_ip.0", 1],
  ["10.88.0.2", 1],
])("a pipe as %s in a folder of the reference's leases makes nobody wait", async (name, exitCode) => {
  await using sandbox = await prepared(`mkdir -p leases/lab; mkfifo leases/lab/${name}`);
  const answer = await call(sandbox, "ADD", {
    type: "warren-host-local",
    dataDir: join(sandbox.directory, "leases"),
  });
  expect(answer.exitCode).toBe(exitCode);
  if (exitCode !== 0) expect(JSON.parse(answer.stdout).msg).toContain(name);
});

test("a link as lock in a folder of the reference's leases is refused, and nothing is made where it leads", async () => {
  await using sandbox = await prepared("mkdir -p leases/lab; ln -s ../../victim-to-be leases/lab/lock");
  const answer = await call(sandbox, "ADD", {
    type: "warren-host-local",
    dataDir: join(sandbox.directory, "leases"),
  });
  expect(answer.exitCode).toBe(1);
  expect(JSON.parse(answer.stdout).msg).toContain("leases/lab/lock");
  await expectUntouched(sandbox);
});

test("pipes among the configs and the cached results make no command wait", async () => {
  await using sandbox = await prepared("mkdir -p conf cache/results; mkfifo cache/results/lab-pod-1-eth0");
  const network = {
    cniVersion: "1.1.0",
    name: "lab",
    plugins: [{ type: "warren-bridge", dataDir: join(sandbox.directory, "store") }],
  };
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), JSON.stringify(network));
  const folders = ["--cni-conf-dir", "conf", "--cache-dir", "cache", "--cni-bin-dir", PLUGIN_FOLDER];
  const warren = (...args: string[]) =>
    sandbox.run(["timeout", "-s", "KILL", HANG_SECONDS, WARREN, ...args, ...folders]);
  const collected = await warren("gc", "lab");
  expect(collected).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("passed over") });
  await sandbox.text(["mkfifo", "conf/a.conflist"]);
  const found = await warren("status", "lab");
  expect(found.exitCode).not.toBe(137);
  expect(found.stderr).toContain("a.conflist");
});

test("what is cached replaces a link, and never follows it", async () => {
  await using sandbox = await prepared(
    "mkdir -p conf cache/results; ln -s ../../victim cache/results/lab-pod-1-eth0",
  );
  const network = {
    cniVersion: "1.1.0",
    name: "lab",
    plugins: [{ type: "warren-bridge", dataDir: join(sandbox.directory, "store") }],
  };
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), JSON.stringify(network));
  const folders = ["--cni-conf-dir", "conf", "--cache-dir", "cache", "--cni-bin-dir", PLUGIN_FOLDER];
  await sandbox.text([WARREN, "add", "lab", "pod1", "--container-id", "pod-1", ...folders]);
  await expectUntouched(sandbox);
  expect(await sandbox.text(["stat", "-c", "%F %a", "cache/results/lab-pod-1-eth0"])).toBe(
    "regular file 600\n",
  );
});

/** Runs the tool as the first process of a namespace of its own, whose number can be foretold: 1, or 2 behind a shell. */
const FORETOLD = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

test("a pod's record is never written through links that somebody put there", async () => {
  await using sandbox = await prepared("mkdir -p -m 700 conf cache/warren-pods/web");
  for (const name of ["plan.json", "progress.json", "resolv.conf"])
    await sandbox.text(["ln", "-s", "../../../victim", `cache/warren-pods/web/.${name}`]);
  const network = {
    cniVersion: "1.1.0",
    name: "lab",
    plugins: [
      {
        type: "warren-bridge",
        dataDir: join(sandbox.directory, "store"),
        dns: { nameservers: ["10.0.0.1"] },
      },
    ],
  };
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), JSON.stringify(network));
  const folders = ["--cni-conf-dir", "conf", "--cache-dir", "cache", "--cni-bin-dir", PLUGIN_FOLDER];
  const pod = (...args: string[]) => sandbox.text([WARREN, "pod", ...args, ...folders]);
  await pod("create", "web", "--net", "lab");
  // of the record only the names of the servers are for everybody
  const look = "find cache/warren-pods/web -printf '%y %m %f\\n' | sort";
  expect(await sandbox.text(["sh", "-c", look])).toBe(
    "d 700 web\nf 600 plan.json\nf 600 progress.json\nf 644 resolv.conf\n",
  );
  await pod("rm", "web");
  await expectUntouched(sandbox);
  expect(await sandbox.text(["ls", "-A", "cache/warren-pods"])).toBe("");
});

test("a list that is edited is never written through links in the place of its draft", async () => {
  await using sandbox = await prepared("mkdir conf");
  const text = JSON.stringify({ cniVersion: "1.1.0", name: "lab", plugins: [{ type: "warren-bridge" }] });
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), text);
  for (const pid of [1, 2]) await sandbox.text(["ln", "-s", "../victim", `conf/lab.conflist.${pid}.new`]);
  const plugin = JSON.stringify({ type: "warren-tuning", mtu: 1400 });
  const { stderr } = await sandbox.run([
    ...FORETOLD,
    WARREN,
    "conf",
    "add",
    plugin,
    "--cni-conf-dir",
    "conf",
  ]);
  expect(stderr).toContain("lab.conflist");
  expect(await Bun.file(join(sandbox.directory, "conf/lab.conflist")).text()).toBe(text);
  await expectUntouched(sandbox);
});

test("a marker is never written through a link in the place of its draft", async () => {
  await using sandbox = await prepared("mkdir conf");
  const text = JSON.stringify({ cniVersion: "1.1.0", name: "lab", plugins: [{ type: "warren-bridge" }] });
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), text);
  for (const pid of [1, 2]) await sandbox.text(["ln", "-s", "victim", `ready.${pid}.new`]);
  const plugin = JSON.stringify({ type: "warren-tuning", mtu: 1400 });
  const flags = ["--cni-conf-dir", "conf", "--marker", "ready"];
  // it watches until it is told to end, and has said that the marker is there before
  const watcher = sandbox.start(
    [...FORETOLD, WARREN, "conf", "watch", "--json", "--add", plugin, ...flags],
    {},
  );
  for (let tries = 0; tries < 500 && (await sandbox.run(["test", "-f", "ready"])).exitCode !== 0; tries++)
    await Bun.sleep(20);
  expect(await sandbox.text(["stat", "-c", "%F", "ready"])).toBe("regular file\n");
  watcher.kill("SIGKILL");
  await watcher.exited;
  await expectUntouched(sandbox);
});

test("an installation is never written through a link that somebody put there", async () => {
  await using sandbox = await prepared("mkdir bin; ln -s ../victim bin/warren-bridge");
  for (const pid of [1, 2]) await sandbox.text(["ln", "-s", "../victim", `bin/.warren-${pid}`]);
  const refused = await sandbox.run([...FORETOLD, WARREN, "install", "--dir", "bin"]);
  expect(refused.stderr).toContain("not Warren's: warren-bridge");
  const forced = await sandbox.run([...FORETOLD, WARREN, "install", "--dir", "bin", "--force"]);
  expect(forced).toMatchObject({ exitCode: 0, stderr: "" });
  await expectUntouched(sandbox);
  expect((await sandbox.text(["readlink", "bin/warren-bridge"])).trim()).toBe("warren");
});
