// What a NETNS argument may be beside a name and a path: a process, and containers of podman, docker and containerd by the
// names that these know them by. The engines are real where they are there; docker is podman under that name, which answers
// `container inspect` as docker does, and a few scripts that answer what no engine should.
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ContainerHost } from "../support/container-root.ts";
import { Containerd, Podman, SLEEP, testWithContainerd, testWithPodman, until } from "../support/engines.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { Recorder } from "../unit/runtime/recorder.ts";

const TIMEOUT_MS = 60_000;
const EXTRA = {
  cniVersion: "1.1.0",
  name: "extra",
  plugins: [
    { type: "warren-bridge", bridge: "extra0", ipam: { type: "warren-ipam", subnet: "10.46.0.0/24" } },
  ],
};
const FIRST = {
  cniVersion: "1.0.0",
  name: "containers",
  plugins: [
    { type: "warren-bridge", bridge: "warren0", ipam: { type: "warren-ipam", subnet: "10.44.0.0/24" } },
  ],
};

/** Warren on a host for containers, with the variables of an engine. */
function warrenOn(host: ContainerHost, env: Readonly<Record<string, string>>) {
  return (...args: string[]): Promise<Outcome> => host.run([WARREN, ...args], { env });
}

testWithPodman(
  "X-42 a podman container is attached, checked, entered, revealed and detached by its name; a stopped one is an error",
  async () => {
    await using host = await ContainerHost.create([FIRST, EXTRA]);
    const podman = await Podman.create(host);
    const id = await podman.start("web", ["--label", "app=web", "--label", "evil=$(touch x) '\"\n"]);
    // podman under docker's name, as its package podman-docker has it
    const bin = join(host.directory, "bin");
    mkdirSync(bin);
    await host.text(["sh", "-c", `ln -s $(command -v podman) ${bin}/docker`]);
    const env = { ...podman.env, PATH: `${bin}:${process.env.PATH}` };
    const warren = warrenOn(host, env);
    for (const name of ["podman:web", `podman:${id.slice(0, 12)}`, "docker:web"]) {
      const added = await warren("add", "extra", name, "--ifname", "eth1");
      expect([added.exitCode, added.stderr]).toEqual([0, ""]);
      const { ips } = JSON.parse(added.stdout);
      const seen = await podman.text("exec", "web", "/bin/busybox", "ip", "addr", "show", "dev", "eth1");
      expect(seen).toContain(`inet ${ips[0].address} `);
      expect((await warren("check", "extra", name, "--ifname", "eth1")).exitCode).toBe(0);
      const entered = await warren("enter", name, "--", "ip", "-json", "link", "show", "eth1");
      expect(JSON.parse(entered.stdout)).toMatchObject([{ ifname: "eth1" }]);
      expect((await warren("reveal", name)).stdout).toContain("same");
      // gc keeps who is named by the engine's name
      expect((await warren("gc", "extra", `${name}:eth1`)).exitCode).toBe(0);
      expect((await warren("check", "extra", name, "--ifname", "eth1")).exitCode).toBe(0);
      expect(await warren("del", "extra", name, "--ifname", "eth1")).toMatchObject({
        exitCode: 0,
        stderr: "",
      });
      expect(
        (await podman.run("exec", "web", "/bin/busybox", "ip", "link", "show", "dev", "eth1")).stderr,
      ).toContain("can't find device 'eth1'");
    }

    // S1-23: an end of a link that is tied by hand
    const ends = ["-n", "podman:web,link1,10.5.0.1/24", "-c", "link2,10.5.0.2/24"];
    expect(await warren("pair", ...ends)).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await warren("lab", "ping", "10.5.0.1")).exitCode).toBe(0);
    expect((await warren("pair", "-d", "web,link1", "-c", "link3")).stderr).toContain(
      "there is an interface link1 in",
    );
    expect(await warren("pair", "-D", "web,link1")).toMatchObject({ exitCode: 0, stderr: "" });

    expect((await warren("add", "extra", "podman:web", "--ifname", "eth1")).exitCode).toBe(0);
    await podman.text("stop", "--time", "0", "web");
    for (const verb of ["add", "check", "enter"]) {
      const args = verb === "enter" ? ["enter", "podman:web", "--", "true"] : [verb, "extra", "podman:web"];
      const { exitCode, stderr } = await warren(...args);
      expect([verb, exitCode, stderr]).toEqual([
        ...[verb, 1],
        "Error: container podman:web is not running (exited); it has no network namespace until it is started\n",
      ]);
    }
    const detached = await warren("del", "extra", "podman:web", "--ifname", "eth1");
    expect([detached.exitCode, detached.stderr]).toEqual([
      0,
      "container podman:web is not running (exited): detached without its namespace\n",
    ]);
    const leases = JSON.parse((await warren("leases", "extra", "--json")).stdout);
    expect(leases).toEqual([]);
    await podman.text("rm", "web");
    const gone = await warren("add", "extra", "podman:web");
    expect(gone.exitCode).toBe(1);
    expect(gone.stderr).toMatch(/^Error: podman container inspect web: .*no such container.*\n$/);
  },
  TIMEOUT_MS,
);

testWithContainerd(
  "X-42 a containerd container is attached and detached by its name, in its containerd namespace too",
  async () => {
    await using host = await ContainerHost.create([FIRST, EXTRA]);
    const containerd = await Containerd.create(host);
    const warren = warrenOn(host, containerd.env);
    await containerd.startDetached("web", SLEEP);
    for (const name of ["ctr:web", "ctr:default/web"]) {
      const added = await warren("add", "extra", name, "--ifname", "eth1");
      expect([added.exitCode, added.stderr]).toEqual([0, ""]);
      const look = [
        "task",
        "exec",
        "--exec-id",
        "look",
        "web",
        "/bin/busybox",
        "ip",
        "addr",
        "show",
        "dev",
        "eth1",
      ];
      expect(await containerd.text(...look)).toContain(JSON.parse(added.stdout).ips[0].address);
      expect(await warren("del", "extra", name, "--ifname", "eth1")).toMatchObject({
        exitCode: 0,
        stderr: "",
      });
    }
    await containerd.text("task", "kill", "--signal", "KILL", "web");
    await until("web is stopped", async () => (await containerd.taskOf("web")).includes("STOPPED"));
    const stopped =
      "Error: container ctr:web is not running (stopped); it has no network namespace until it is started\n";
    expect((await warren("add", "extra", "ctr:web")).stderr).toBe(stopped);
    await containerd.ctr("task", "delete", "web");
    expect((await warren("add", "extra", "ctr:web")).stderr).toContain("container ctr:web is not running");
    await containerd.text("container", "delete", "web");
    expect((await warren("add", "extra", "ctr:web")).stderr).toMatch(
      /^Error: ctr container info web: .*not found.*\n$/,
    );
  },
  TIMEOUT_MS,
);

/** Starts a process in a network namespace of its own. */
async function startContainer(host: Sandbox): Promise<Bun.Subprocess> {
  const child = host.start(["unshare", "--net", "sh", "-c", "ip link set lo up; exec sleep 60"]);
  while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep")) await Bun.sleep(10);
  return child;
}

test("X-42 a process is attached by pid:NUMBER, and one that is gone is an error, but no reason not to detach", async () => {
  await using host = await Sandbox.create();
  await Bun.write(join(host.directory, "extra.conflist"), JSON.stringify(EXTRA));
  const env = { NETCONFPATH: host.directory, CNI_PATH: PLUGIN_FOLDER };
  const warren = (...args: string[]) => host.run([WARREN, ...args], { env });
  const child = await startContainer(host);
  const name = `pid:${child.pid}`;
  const added = await warren("add", "extra", name);
  expect([added.exitCode, added.stderr]).toEqual([0, ""]);
  const seen = JSON.parse((await warren("enter", name, "--", "ip", "-json", "addr", "show", "eth0")).stdout);
  expect(seen[0].addr_info[0].local).toBe("10.46.0.2");
  expect((await warren("lab", "ping", "10.46.0.2", "--from", name)).exitCode).toBe(0);
  child.kill("SIGKILL");
  await child.exited;
  const again = await warren("add", "extra", name);
  expect([again.exitCode, again.stderr]).toEqual([
    1,
    `Error: there is no process ${child.pid}; it may have ended, or be hidden by /proc\n`,
  ]);
  expect((await warren("del", "extra", name)).exitCode).toBe(0);
  expect((await warren("leases")).stdout).toBe("no leases\n");
  // the machine's own namespace is no container's
  const own = await warren("add", "extra", `pid:${host.pid}`);
  expect([own.exitCode, own.stderr]).toEqual([1, expect.stringContaining("should not be the same")]);
});

/** An engine's command that answers with these words and this exit code. */
function script(folder: string, name: string, text: string): void {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

test("X-42 an engine that is not there, fails or answers nonsense is told in one line; nothing is called or left", async () => {
  await using host = await Sandbox.create();
  const files = new Recorder(["a"], host.directory);
  files.configure("one.conflist", { cniVersion: "1.1.0", name: "one", plugins: [{ type: "a" }] });
  const bin = join(host.directory, "engines");
  mkdirSync(bin);
  const add = (name: string, path = `${bin}:/usr/bin:/bin`) =>
    host.run(["env", `PATH=${path}`, WARREN, "add", "one", name], {
      env: { NETCONFPATH: files.conf, CNI_PATH: files.bin },
    });
  const told = async (name: string, path?: string) => {
    const { exitCode, stdout, stderr } = await add(name, path);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^Error: .*\n$/);
    return stderr;
  };
  expect(await told("docker:web", "/nowhere")).toContain(
    "there is no docker in PATH to ask for the container",
  );
  script(bin, "docker", "echo 'Error response from daemon: no' >&2; exit 1");
  expect(await told("docker:web")).toBe(
    "Error: docker container inspect web: Error response from daemon: no\n",
  );
  script(bin, "docker", "exit 3");
  expect(await told("docker:web")).toContain("exit code 3");
  script(bin, "docker", "echo nonsense");
  expect(await told("docker:web")).toContain("answer of docker container inspect");
  script(bin, "docker", "echo '[]'");
  expect(await told("docker:web")).toContain("answer of docker container inspect");
  script(bin, "docker", `echo '[{"State": {"Status": "created", "Pid": 0}, "Config": {"Labels": null}}]'`);
  expect(await told("docker:web")).toContain("container docker:web is not running (created)");
  script(bin, "docker", `echo '[{"State": {"Status": "running", "Pid": 999999999}}]'`);
  expect(await told("docker:web")).toContain("there is no process 999999999 of container docker:web");
  script(bin, "docker", "head -c 20000000 /dev/zero");
  expect(await told("docker:web")).toContain("docker container inspect web");

  // the labels that an engine knows go to plugins, whatever is in them
  const child = await startContainer(host);
  const labels = { app: "web", evil: "$(touch x) '\"\n" };
  const answer = [{ State: { Status: "running", Pid: child.pid }, Config: { Labels: labels } }];
  writeFileSync(join(bin, "answer"), JSON.stringify(answer));
  script(bin, "docker", `[ "$*" = "container inspect web" ] && cat ${bin}/answer`);
  expect((await add("docker:web")).exitCode).toBe(0);
  expect(files.takeCalls()).toMatchObject([
    {
      ...{ verb: "ADD", netns: `/proc/${child.pid}/ns/net` },
      config: { args: { cni: { labels: Object.entries(labels).map(([key, value]) => ({ key, value })) } } },
    },
  ]);
  child.kill();
  await child.exited;
});

test.each([
  ["pid:", "expected pid: and the number of a process"],
  ["pid:0", "expected pid: and the number of a process"],
  ["pid:-1", "expected pid: and the number of a process"],
  ["pid:12x", "expected pid: and the number of a process"],
  ["podman:", "expected podman: and the name or id of a container"],
  ["podman:--format", "expected podman: and the name or id of a container"],
  ["podman:a b", "expected podman: and the name or id of a container"],
  ["podman:a/b", "expected podman: and the name or id of a container"],
  ["docker:a\nb", "expected docker: and the name or id of a container"],
  ["ctr:a/b/c", "expected ctr: and the name or id of a container"],
  ["ctr:../a", "expected ctr: and the name or id of a container"],
  ["", "no network namespace"],
])("X-42 the argument %j can't be meant: one line, exit code 2", async (argument, words) => {
  using files = new Recorder(["a"]);
  files.configure("one.conflist", { cniVersion: "1.1.0", name: "one", plugins: [{ type: "a" }] });
  for (const verb of ["add", "check", "del"]) {
    const child = Bun.spawn([WARREN, verb, "one", argument], {
      env: { ...process.env, NETCONFPATH: files.conf, CNI_PATH: files.bin },
      stderr: "pipe",
    });
    const stderr = await new Response(child.stderr).text();
    expect([await child.exited, stderr]).toEqual([2, expect.stringMatching(/^Error: .*\n$/)]);
    expect(stderr).toContain(words);
    expect(stderr.length).toBeLessThan(300);
  }
  expect(files.takeCalls()).toEqual([]);
});
