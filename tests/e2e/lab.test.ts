// The lab as a user meets it: unattended, interrupted, as root and as an ordinary user, and the same steps by hand
// through scripts/demo. Labs make namespaces of their own; that they leave nothing behind is looked at from a
// sandbox around them, because nothing else changes there meanwhile.
import { expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { isRoot, type Outcome, type RunOptions, Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const SCRIPTS = resolve(import.meta.dir, "../../scripts/demo");
const DATA_DIR = "/run/lab/disk/warren";
const TIMEOUT_MS = 60_000;

const IDS = {
  pod1: "cnitool-294e5a00691dfbb9d727",
  pod2: "cnitool-e1a2493cc355134dc89d",
  pod3: "cnitool-bf4114a94da8d19d2b93",
} as const;

/** What the lab must say, in this order. */
const KEY_LINES = [
  "$ warren status ipam-status",
  "Error: network ipam-status is not ready: the directory /run/lab/disk, ",
  "(exit code 1)",
  "$ mkdir /run/lab/disk",
  "Network ipam-status is ready for ADD requests",
  "$ CNI_ARGS=IP=192.168.200.1 warren add ipam-status pod1",
  '"address": "192.168.200.1/24"',
  "$ CNI_ARGS=IP=192.168.200.22 warren add ipam-status pod2",
  "$ CNI_ARGS=IP=192.168.200.123 warren add ipam-status pod3",
  "$ warren add ipam-status pod4",
  "192.168.200.22 answered pod1 after ",
  "192.168.200.254 answered pod1 after ",
  "answered the host after ",
  "NETWORK       ADDRESS ",
  IDS.pod1,
  "$ warren gc ipam-status pod1 pod2 pod3 pod4",
  "the same four leases as before",
  "$ warren gc ipam-status pod1 pod3 pod4",
  `removed ${IDS.pod2} eth0`,
  "$ warren del ipam-status pod1",
  "no leases",
  "interfaces:  lo, lab0",
  "nft chains:  none",
  "Where to go next",
  "warren help",
] as const;

/** Returns those of the key lines that are found, each behind the one before. */
function foundInOrder(text: string): string[] {
  let offset = 0;
  return KEY_LINES.filter((line) => {
    const index = text.indexOf(line, offset);
    if (index >= 0) offset = index + line.length;
    return index >= 0;
  });
}

/** All of a host that a lab could leave something in. */
async function traces(host: Sandbox): Promise<string> {
  return host.text([
    "sh",
    "-c",
    'ip -br link; ip netns; nft list tables; sort /proc/self/mounts; ls -AR /run /var/lib "$0"',
    host.directory,
  ]);
}

const [ip, nft] = [tools.program("ip"), tools.program("nft")];

testWith(ip, nft)(
  "S0-29 the lab runs unattended as root, tells the story in order and leaves nothing",
  async () => {
    await using host = await Sandbox.create();
    const before = await traces(host);
    const { exitCode, stdout, stderr } = await host.run([WARREN, "lab", "status-gc"]);
    expect([stderr, exitCode]).toEqual(["", 0]);
    expect(foundInOrder(stdout)).toEqual([...KEY_LINES]);
    // into a pipe: no colours, and the lines as the commands wrote them
    expect(stdout).not.toContain("\u001b");
    expect(await traces(host)).toBe(before);
  },
  TIMEOUT_MS,
);

const ORDINARY_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** Why an ordinary user can't have a namespace here, if so; the kernel's answer, not a guess. */
function userNamespaceProblem(): { readonly reason?: string } {
  if (!isRoot) return { reason: "not root; the test above ran in a user namespace already" };
  if (Bun.which("setpriv") === null) return { reason: "setpriv is not installed" };
  const { exitCode, stderr } = Bun.spawnSync([...ORDINARY_USER, "unshare", "-U", "-r", "true"]);
  return exitCode === 0 ? {} : { reason: `ordinary users get no namespaces here: ${stderr}`.trim() };
}

/** Copies the executable to where every user can reach it, and returns the copy's path. */
function copyForAll(host: Sandbox): string {
  const copy = join(host.directory, "warren");
  copyFileSync(WARREN, copy);
  chmodSync(host.directory, 0o755);
  chmodSync(copy, 0o755);
  return copy;
}

testWith(userNamespaceProblem(), ip, nft)(
  "S0-29 the lab runs unattended as an ordinary user and leaves nothing",
  async () => {
    await using host = await Sandbox.create();
    const warren = copyForAll(host);
    const before = await traces(host);
    const { exitCode, stdout, stderr } = await host.run([...ORDINARY_USER, warren, "lab", "status-gc"]);
    expect([stderr, exitCode]).toEqual(["", 0]);
    expect(foundInOrder(stdout)).toEqual([...KEY_LINES]);
    expect(await traces(host)).toBe(before);
  },
  TIMEOUT_MS,
);

testWith(userNamespaceProblem())("an ordinary user is told what only root can do", async () => {
  await using host = await Sandbox.create();
  const warren = copyForAll(host);
  const { exitCode, stdout, stderr } = await host.run([...ORDINARY_USER, warren, "lab", "ping", "127.0.0.1"]);
  expect([exitCode, stdout, stderr]).toEqual([1, "", "Error: open raw socket: EPERM; run it as root\n"]);
});

/** Runs "$0" as an ordinary user in a user namespace in which nobody may make another one. */
const WITHOUT_NAMESPACES = `
unshare --user sh -c '
  until [ -n "$(cat /proc/self/uid_map)" ] && [ -n "$(cat /proc/self/gid_map)" ]; do sleep 0.01; done
  exec sh -c "echo 0 > /proc/sys/user/max_user_namespaces; exec ${ORDINARY_USER.join(" ")} $0 lab status-gc"
' "$0" &
for map in uid_map gid_map; do
  until echo 0 0 65536 2>/dev/null > /proc/$!/$map; do sleep 0.01; done
done
wait $!
`;

testWith(userNamespaceProblem())(
  "where ordinary users get no namespaces, the lab says how to get on",
  async () => {
    await using host = await Sandbox.create();
    const { exitCode, stdout, stderr } = await host.run(["sh", "-c", WITHOUT_NAMESPACES, copyForAll(host)]);
    const [last = ""] = stderr.trimEnd().split("\n").slice(-1);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(last).toStartWith("Error: this machine does not let ordinary users make namespaces (unshare: ");
    expect(last).toEndWith(
      "run it as root, or allow it to all, as root: sysctl -w user.max_user_namespaces=10000",
    );
  },
);

for (const [signal, exitCode, farewell] of [
  ["SIGINT", 130, "Interrupted: the sandbox and all that was in it are gone.\n"],
  ["SIGTERM", 143, "Interrupted: the sandbox and all that was in it are gone.\n"],
  ["SIGKILL", 137, ""],
] as const) {
  testWith(ip, nft)(
    `the lab ended by ${signal} in the middle leaves nothing`,
    async () => {
      await using host = await Sandbox.create();
      const before = await traces(host);
      const lab = host.start([WARREN, "lab", "status-gc"]);
      const decoder = new TextDecoder();
      let told = "";
      for await (const part of lab.stdout) {
        told += decoder.decode(part, { stream: true });
        if (told.includes(" 3. ADD") && !lab.killed) lab.kill(signal);
      }
      expect(await lab.exited).toBe(exitCode);
      expect(told).not.toContain("Where to go next");
      expect(await new Response(lab.stderr).text()).toEndWith(farewell);
      expect(await tracesWithoutEndingProcesses(host, before)).toBe(before);
    },
    TIMEOUT_MS,
  );
}

test("Ctrl-C ends the lab as such, not as a step that failed because its command died of it", async () => {
  await using host = await Sandbox.create();
  const folder = join(host.directory, "bin");
  mkdirSync(folder);
  const endless = `#!/bin/sh\n: >${host.directory}/started\nexec sleep 600\n`;
  writeFileSync(join(folder, "mkdir"), endless, { mode: 0o755 });
  const lab = host.start(["setsid", WARREN, "lab", "status-gc"], {
    env: { PATH: `${folder}:${process.env.PATH ?? ""}` },
  });
  while (!existsSync(join(host.directory, "started"))) await Bun.sleep(5);
  // a terminal's Ctrl-C goes to the whole group, and nobody knows who hears of it first: here the lab is the last one
  const others = membersOfGroup(lab.pid).filter((pid) => pid !== lab.pid);
  for (const pid of others) process.kill(pid, "SIGINT");
  if (others.length > 0) await lab.exited;
  lab.kill("SIGINT");
  expect([await new Response(lab.stderr).text(), await lab.exited]).toEqual([
    "\nInterrupted: the sandbox and all that was in it are gone.\n",
    130,
  ]);
});

/** Returns the processes that a terminal would signal with this one. */
function membersOfGroup(group: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) === group;
    } catch {
      // it ended meanwhile
      return false;
    }
  });
}

/** A command that ran when its lab was killed ends by itself within moments; then nothing may be left. */
async function tracesWithoutEndingProcesses(host: Sandbox, expected: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    const now = await traces(host);
    if (now === expected || tries === 50) return now;
    await Bun.sleep(20);
  }
}

test("a step that does not give what it should ends the lab, which says which and why", async () => {
  await using host = await Sandbox.create();
  const folder = join(host.directory, "bin");
  mkdirSync(folder);
  writeFileSync(join(folder, "mkdir"), "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  const { exitCode, stdout, stderr } = await host.run([WARREN, "lab", "status-gc"], {
    env: { PATH: `${folder}:${process.env.PATH ?? ""}` },
  });
  expect(stderr).toBe(
    "Error: the lab failed in step 2: expected exit code 0 of: mkdir /run/lab/disk; it was 3\n",
  );
  expect([exitCode, stdout.includes("is ready for ADD requests")]).toEqual([1, false]);
});

testWith(tools.program("script"))("on a terminal the lab has colours, unless NO_COLOR is set", async () => {
  await using host = await Sandbox.create();
  const onTerminal = ["script", "--quiet", "--return", "--command", `${WARREN} lab status-gc`, "/dev/null"];
  const coloured = await host.run(onTerminal, { env: { NO_COLOR: undefined } });
  expect([coloured.exitCode, coloured.stdout.includes("\u001b[32mok\u001b[0m")]).toEqual([0, true]);
  const plain = await host.run(onTerminal, { env: { NO_COLOR: "1" } });
  expect([plain.exitCode, plain.stdout.includes("\u001b")]).toEqual([0, false]);
});

test("lab shell runs a command in a sandbox with the network and warren in PATH", async () => {
  await using host = await Sandbox.create();
  const script =
    "mkdir /run/lab/disk && warren status ipam-status && warren lab inventory ipam-status; exit 7";
  const shell = [WARREN, "lab", "shell", "--"];
  const { exitCode, stdout, stderr } = await host.run([...shell, "sh", "-c", script]);
  expect(stderr).toBe("");
  expect(stdout).toBe("Network ipam-status is ready for ADD requests\ninterfaces:  lo\nnft chains:  none\n");
  expect(exitCode).toBe(7);
  // a lab in there has a sandbox of its own
  const nested = await host.run([...shell, "warren", "lab", "status-gc"]);
  expect([nested.stderr, nested.exitCode]).toEqual(["", 0]);
});

/** The steps by hand. */
class Demo implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(disk: "mounted" | "missing" = "mounted"): Promise<Demo> {
    const demo = new Demo(await Sandbox.create());
    if (disk === "mounted") await demo.host.text(["mkdir", "-p", "/run/lab/disk"]);
    return demo;
  }

  script(name: string, ...args: string[]): Promise<Outcome> {
    const env: RunOptions["env"] = { WARREN, NETCONFPATH: undefined, CNI_PATH: resolve(WARREN, "..") };
    return this.host.run([join(SCRIPTS, `${name}.sh`), ...args], { env });
  }

  async addAll(): Promise<void> {
    for (const [pod, ip] of [
      ["pod1", "192.168.200.1"],
      ["pod2", "192.168.200.22"],
      ["pod3", "192.168.200.123"],
    ] as const) {
      const { exitCode, stderr } = await this.script("add-ns", "ipam-status", pod, ip);
      expect([stderr, exitCode]).toEqual(["", 0]);
    }
  }

  /** Returns container id and interface of each lease, in the order of the addresses. */
  async holders(): Promise<string[]> {
    const leases = await this.host.json([WARREN, "leases", "--json", "--data-dir", DATA_DIR]);
    if (!Array.isArray(leases)) throw new Error("the leases are no list");
    return leases.map(({ container, ifname }) => `${container} ${ifname}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

test("S0-01 status.sh on an unreachable store gives one line on stderr, exit 1, and leaves no netns", async () => {
  await using demo = await Demo.create("missing");
  const { exitCode, stdout, stderr } = await demo.script("status", "ipam-status");
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(
    /^Error: network ipam-status is not ready: .*\/run\/lab\/disk.* does not exist.*\n$/,
  );
  expect(await demo.host.text(["ls", "-A", "/run/netns"])).toBe("");
});

test("S0-02 status.sh on a healthy store says that the network is ready", async () => {
  await using demo = await Demo.create();
  const ready = { exitCode: 0, stdout: "Network ipam-status is ready for ADD requests\n", stderr: "" };
  expect(await demo.script("status", "ipam-status")).toEqual(ready);
});

test("S0-09 S0-10 add-ns.sh makes the pod and prints a result that runtimes can use", async () => {
  await using demo = await Demo.create();
  const { exitCode, stdout, stderr } = await demo.script("add-ns", "ipam-status", "pod1", "192.168.200.1");
  expect([stderr, exitCode]).toEqual(["", 0]);
  const result: {
    readonly cniVersion: string;
    readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
    readonly ips: readonly { readonly address: string; readonly interface: number }[];
  } = JSON.parse(stdout);
  expect([result.cniVersion, result.ips[0]?.address]).toEqual(["1.1.0", "192.168.200.1/24"]);
  const index = result.ips[0]?.interface ?? -1;
  expect(result.interfaces[index]).toMatchObject({ name: "eth0", sandbox: "/var/run/netns/pod1" });
  // the namespace is kept, with the interface in it
  expect((await demo.host.inNetns("pod1", ["ip", "-br", "address", "show", "eth0"])).stdout).toContain(
    "192.168.200.1/24",
  );
  const named = await demo.script("add-ns", "ipam-status", "pod1", "192.168.200.7", "net1");
  expect([named.stderr, named.exitCode]).toEqual(["", 0]);
  expect(await demo.holders()).toEqual([`${IDS.pod1} eth0`, `${IDS.pod1} net1`]);
});

test("S0-10 S0-11 after three adds the leases are listed, as a table and as JSON", async () => {
  await using demo = await Demo.create();
  await demo.addAll();
  const table = await demo.host.text([WARREN, "leases", "--data-dir", DATA_DIR]);
  const [heading = "", ...rows] = table.trimEnd().split("\n");
  expect(heading.split(/ {2,}/)).toEqual(["NETWORK", "ADDRESS", "CONTAINER", "IFNAME", "SINCE", "STATE"]);
  expect(rows.map((row) => row.split(/ {2,}/).slice(0, 4))).toEqual([
    ["ipam-status", "192.168.200.1/24", IDS.pod1, "eth0"],
    ["ipam-status", "192.168.200.22/24", IDS.pod2, "eth0"],
    ["ipam-status", "192.168.200.123/24", IDS.pod3, "eth0"],
  ]);
  expect(await demo.holders()).toEqual([`${IDS.pod1} eth0`, `${IDS.pod2} eth0`, `${IDS.pod3} eth0`]);
});

test("S0-19 S0-25 gc.sh keeps whom it is told, names whom it removes, and without names empties the network", async () => {
  await using demo = await Demo.create();
  await demo.addAll();
  const all = await demo.holders();
  const keepAll = await demo.script("gc", "ipam-status", "pod1", "pod2", "pod3");
  expect([keepAll.exitCode, keepAll.stderr.includes("removed")]).toEqual([0, false]);
  expect(await demo.holders()).toEqual(all);

  const keepTwo = await demo.script("gc", "ipam-status", "pod1", "pod3");
  expect(keepTwo.exitCode).toBe(0);
  expect(keepTwo.stderr.split("\n").filter((line) => line.startsWith("removed "))).toEqual([
    `removed ${IDS.pod2} eth0 (/var/run/netns/pod2) from ipam-status`,
  ]);
  expect(await demo.holders()).toEqual([`${IDS.pod1} eth0`, `${IDS.pod3} eth0`]);

  await demo.script("add-ns", "ipam-status", "pod1", "192.168.200.7", "net1");
  expect((await demo.script("gc", "ipam-status", "pod1:net1")).exitCode).toBe(0);
  expect(await demo.holders()).toEqual([`${IDS.pod1} net1`]);

  expect((await demo.script("gc", "ipam-status")).exitCode).toBe(0);
  expect(await demo.holders()).toEqual([]);
});

for (const [name, args, usage] of [
  ["status", [], "NET"],
  ["status", ["a", "b"], "NET"],
  ["add-ns", ["a", "b"], "NET POD IP [IFNAME]"],
  ["add-ns", ["a", "b", "c", "d", "e"], "NET POD IP [IFNAME]"],
  ["gc", [], "NET [POD[:IFNAME] ...]"],
] as const) {
  test(`${name}.sh with ${args.length} arguments prints its usage`, async () => {
    await using demo = await Demo.create();
    const stderr = `Usage: ${join(SCRIPTS, `${name}.sh`)} ${usage}\n`;
    expect(await demo.script(name, ...args)).toEqual({ exitCode: 1, stdout: "", stderr });
  });
}
