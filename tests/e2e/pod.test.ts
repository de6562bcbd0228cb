// `warren pod`, throwaway pods for labs and tests. What a pod is made of is asked of the kernel and of the plugins
// that were called, and whatever becomes of a pod, `rm` leaves nothing of it.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { containerIdOf } from "../../src/cli/settings.ts";
import { linkNames, ruleset } from "../support/plugins.ts";
import { PodStage } from "../support/pod-stage.ts";
import { WARREN } from "../support/sandbox.ts";

test("X-42 a pod has its networks, hostname and resolv.conf; exec ends as its command; rm leaves nothing", async () => {
  await using stage = await PodStage.create();
  const wishes = [
    "--ip",
    "10.77.0.9",
    "--mac",
    "02:11:22:33:44:55",
    "--bandwidth",
    "ingress=10M,egress=500k",
  ];
  const made = await stage.succeed("create", "web", "--net", "red", "--net", "wire:ifname=up", ...wishes);
  expect(made).toContain("web   red       eth0     10.77.0.9/24 fd00:77::2/64\n");
  expect(await stage.list()).toMatchObject([
    {
      ...{ name: "web", state: "alive", hostname: "web", netns: "/var/run/netns/web" },
      networks: [
        { network: "red", ifname: "eth0", addresses: ["10.77.0.9/24", "fd00:77::2/64"], attached: true },
        { network: "wire", ifname: "up", addresses: ["10.90.0.2/28"], attached: true },
      ],
    },
  ]);

  const outside = () => stage.host.text(["sh", "-c", "uname -n; cat /etc/resolv.conf; ls /sys/class/net"]);
  const before = await outside();
  const look = "uname -n; cat /etc/resolv.conf; echo $(ls /sys/class/net); ip -json address; exit 7";
  const { exitCode, stdout, stderr } = await stage.pod("exec", "web", "--", "sh", "-c", look);
  expect([exitCode, stderr]).toEqual([7, ""]);
  const [text = "", json = ""] = stdout.split(/^(?=\[)/m);
  expect(text).toBe(
    "web\ndomain lab\nsearch a.lab b.lab\nnameserver 10.9.9.9\nnameserver fd00::53\noptions ndots:2\neth0 lo up\n",
  );
  expect(JSON.parse(json)).toMatchObject([
    { ifname: "lo", operstate: "UNKNOWN" },
    { ifname: "eth0", address: "02:11:22:33:44:55", operstate: "UP" },
    { ifname: "up", operstate: "UP" },
  ]);
  expect(await outside()).toBe(before);
  const limits = await stage.host.text(["tc", "qdisc", "show"]);
  expect(limits).toContain("rate 10Mbit");
  expect(limits).toContain("rate 500Kbit");

  expect((await stage.warren("check", "red", "web")).exitCode).toBe(0);
  expect((await stage.warren("show", "web")).stdout).toContain("10.77.0.9/24");
  expect(await stage.pod("rm", "web")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  await stage.expectNothingLeft();
  expect(await ruleset(stage.host)).not.toContain("10.77");
}, 30_000);

test("X-42 plugins are told labels, annotations, ports and the pod's names, at DEL too, which comes in reverse", async () => {
  await using stage = await PodStage.create();
  const hostile = `$(touch /tmp/x) 'q" \n${"x".repeat(10_240)}`;
  const labels = ["--label", "app=web", "-l", `evil/${hostile}=`, "-l", `b=${hostile}`];
  await stage.succeed(
    ...["create", "web", "--net", "one", "--net", "two:ifname=net7", "--namespace", "shop", ...labels],
    ...[
      "--annotation",
      "example.com/a=1=2",
      "--port",
      "8080:80",
      "-p",
      "[fd00::1]:53:5353/udp",
      "--ip",
      "10.1.0.9/24",
    ],
  );
  const { exitCode } = await stage.pod("rm", "web");
  expect(exitCode).toBe(0);
  const calls = stage.files.takeCalls();
  const args = (verb: string) => calls.filter((call) => call.verb === verb).map((call) => call.config.args);
  expect(calls.map(({ verb, plugin, ifname }) => `${verb} ${plugin} ${ifname}`)).toEqual([
    ...["ADD a eth0", "ADD b net7", "DEL b net7", "DEL a eth0"],
  ]);
  const told = {
    cni: {
      labels: [
        { key: "app", value: "web" },
        { key: `evil/${hostile}`, value: "" },
        { key: "b", value: hostile },
      ],
    },
  };
  expect([...args("ADD"), ...args("DEL")]).toEqual([told, told, told, told]);
  const runtimeConfig = {
    "io.kubernetes.cri.pod-annotations": { "example.com/a": "1=2" },
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: "tcp" },
      { hostPort: 53, containerPort: 5353, protocol: "udp", hostIP: "fd00::1" },
    ],
    ips: ["10.1.0.9/24"],
  };
  expect(calls.map(({ config }) => config.runtimeConfig)).toEqual([
    runtimeConfig,
    undefined,
    undefined,
    runtimeConfig,
  ]);
  const names = `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=${containerIdOf("web")}`;
  expect(new Set(calls.map((call) => call.args))).toEqual(new Set([names]));
});

test("X-42 what is to go wrong is an annotation on the first network, beside those of the pod", async () => {
  await using stage = await PodStage.create();
  const annotations = "io.kubernetes.cri.pod-annotations";
  const capabilities = { [annotations]: true };
  stage.files.configure("slow.conflist", {
    ...{ cniVersion: "1.1.0", name: "slow" },
    plugins: [{ type: "a", capabilities, netem: {} }],
  });
  const rules = "delay=50ms loss=1%; peer=10.1.2.0/24 delay=1s";
  const wishes = ["--impair", rules, "--annotation", "example.com/a=1"];
  await stage.succeed("create", "web", "--net", "slow", "--net", "one", ...wishes);
  await stage.succeed("rm", "web");
  const noted = { "example.com/a": "1" };
  const first = { [annotations]: { ...noted, netem: rules } };
  const second = { [annotations]: noted };
  const calls = stage.files.takeCalls();
  expect(calls.map(({ config }) => config.runtimeConfig)).toEqual([first, second, second, first]);
});

test("X-42 what was added to a pod later goes with it too, by the parameters of its ADD", async () => {
  await using stage = await PodStage.create();
  await stage.succeed("create", "web", "--net", "one");
  expect((await stage.warren("add", "two", "web", "--ifname", "eth5")).exitCode).toBe(0);
  expect((await stage.list())[0].networks.map(({ ifname }: { ifname: string }) => ifname)).toEqual([
    "eth0",
    "eth5",
  ]);
  expect((await stage.pod("exec", "web", "--", "true")).exitCode).toBe(0);
  await stage.succeed("rm", "--all");
  expect(stage.files.takeNames()).toEqual(["ADD a", "ADD b", "DEL b", "DEL a"]);
  await stage.expectNothingLeft([]);
});

/** A host for calls that must not change it; its namespaces end with the test's process. */
const unused = await PodStage.create();
process.on("exit", () => void unused[Symbol.asyncDispose]());

test.each<[args: string[], words: string]>([
  [["create"], "Missing required positional argument: POD; expected: warren pod create"],
  [["create", "web", "surplus"], 'unexpected argument "surplus"'],
  [["create", "web", "--nte", "one"], "unknown flag --nte; did you mean --net?"],
  [["create", "web", "--net"], "--net needs a value"],
  [["create", "web", "--net", "", "--net", "one"], "--net needs a value"],
  [["create", "web", "--net", "one", "--net", "two:ifname=eth0"], "two networks are to be eth0 of the pod"],
  [["create", "web", "--net", "one:color=red"], 'there is no "color"'],
  [["create", "web", "--net", "one:ip"], '"ip" is no KEY=VALUE'],
  [["create", "web", "--net", "one", "--label", "x"], '--label "x": expected KEY=VALUE'],
  [["create", "web", "--label", "=x"], '--label "=x": expected KEY=VALUE'],
  [["create", "web", "--label", "a=1", "-l", "a=2"], '--label gives "a" twice'],
  [["create", "web", "--net", "one", "--port", "80"], '--port "80": expected [HOSTIP:]HOSTPORT:PORT'],
  [["create", "web", "--net", "one", "--port", "x.y:80:80"], '--port "x.y:80:80"'],
  [["create", "web", "--net", "one", "--bandwidth", "10M"], '--bandwidth "10M": expected ingress=RATE'],
  [["create", "web", "--net", "one", "--bandwidth", "ingress=0"], "in bits a second"],
  [["create", "web", "--net", "one", "--impair", "delay=5"], '"delay=5": expected a time of at most an hour'],
  [["create", "web", "--net", "one", "--impair", " ; "], "expected rules such as"],
  [["create", "web", "--impair", "delay=5ms"], "--impair needs a network"],
  [
    ["create", "web", "--net", "one", "--impair", "delay=5ms", "--annotation", "lat=5ms"],
    "--impair and --annotation lat= are about the same",
  ],
  [
    ["create", "web", "--net", "one", "--impair", "delay=5ms", "--impair", "loss=1%"],
    "--impair may be given only once",
  ],
  [["create", "web", "--net", "one", "--ip", "10.1"], '"10.1" is no IP address'],
  [
    ["create", "web", "--net", "one", "--mac", "ff:ff:ff:ff:ff:ff"],
    "is no hardware address that an interface may have",
  ],
  [["create", "web", "--ip", "10.1.0.1"], "--ip needs a network"],
  [["create", "web", "--hostname", "a b"], '"a b" is no hostname'],
  [["create", "../web"], '"../web" is no pod\'s name'],
  [["create", "web\nno"], '"web\\nno" is no pod\'s name'],
  [["create", "x".repeat(10_240)], "is no pod's name"],
  [["create", ""], '"" is no pod\'s name'],
  [["exec", "web"], "expected: pod exec POD -- CMD ..."],
  [["exec", "web", "more", "--", "true"], "expected: pod exec POD -- CMD ..."],
  [["exec", "..", "--", "true"], '".." is no pod\'s name'],
  [["rm"], "expected: pod rm POD ..., or pod rm --all"],
  [["rm", "web", "--all"], "expected: pod rm POD ..., or pod rm --all"],
  [["rm", "web", "/etc"], '"/etc" is no pod\'s name'],
  [["list", "web"], 'unexpected argument "web"'],
  [["ls"], 'unknown command "ls" of warren pod'],
  [[], "warren pod needs a command: create, exec, list, rm"],
])("X-42 wrong usage %j: one line, exit code 2, nothing made", async (args, words) => {
  const { exitCode, stdout, stderr } = await unused.pod(...args);
  expect([exitCode, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(words);
  expect(stderr).toMatch(/^Error: .*\n$/);
  expect(stderr.length).toBeLessThan(400);
  expect(unused.files.takeCalls()).toEqual([]);
  await unused.expectNothingLeft([]);
});

test.each<[args: string[], words: string]>([
  [["create", "web", "--net", "none"], 'no net configuration with name "none"'],
  [
    ["create", "web", "--net", "two", "--port", "80:80"],
    "no plugin of network two takes the capability portMappings, so --port",
  ],
  [
    ["create", "web", "--net", "one", "--net", "two:mac=02:00:00:00:00:01"],
    "takes the capability mac, so mac=",
  ],
  [
    ["create", "web", "--net", "one", "--impair", "delay=5ms"],
    "no plugin of network one takes impairments, so --impair would have no effect",
  ],
  [["create", "web", "--net", "one:ifname=sixteen-is-a-lot"], "interface name is too long"],
  [["exec", "nobody", "--", "true"], 'there is no pod "nobody"; make one by warren pod create'],
])("X-42 %j is refused before anything is made", async (args, words) => {
  const { exitCode, stdout, stderr } = await unused.pod(...args);
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(words);
  expect(unused.files.takeCalls()).toEqual([]);
  await unused.expectNothingLeft([]);
});

test("X-42 a name that is taken is refused, and the namespace of somebody else is never touched", async () => {
  await using stage = await PodStage.create();
  await stage.host.addNetns("db");
  const foreign = await stage.pod("create", "db", "--net", "one");
  expect([foreign.exitCode, foreign.stderr]).toEqual([
    1,
    "Error: there is a network namespace /var/run/netns/db already, and it is no pod's; " +
      "choose another name, or attach that namespace by warren add\n",
  ]);
  await stage.succeed("create", "web", "--net", "one");
  const again = await stage.pod("create", "web", "--net", "two");
  expect([again.exitCode, again.stderr]).toEqual([
    1,
    'Error: there is a pod "web" already; see warren pod list; warren pod rm web removes it\n',
  ]);
  // another namespace takes the pod's place
  await stage.host.text(["ip", "netns", "del", "web"]);
  await stage.host.addNetns("web");
  expect(await stage.list()).toMatchObject([{ name: "web", state: "netns gone" }]);
  const exec = await stage.pod("exec", "web", "--", "true");
  expect([exec.exitCode, exec.stderr]).toEqual([
    1,
    "Error: the network namespace of pod web is gone; warren pod rm web removes what is left of it\n",
  ]);
  await stage.succeed("rm", "web");
  expect(stage.files.takeCalls().map(({ verb, netns }) => `${verb} ${netns}`)).toEqual([
    ...["ADD /var/run/netns/web", "DEL "],
  ]);
  expect((await stage.host.text(["ls", "/run/netns"])).split("\n").sort()).toEqual(["", "db", "web"]);
  expect(await stage.list()).toEqual([]);
});

test("X-42 a failing ADD takes back what was made; a failing DEL keeps the record for the next rm", async () => {
  await using stage = await PodStage.create();
  stage.files.fail("b", "ADD", { code: 50, msg: "down" });
  const failed = await stage.pod("create", "web", "--net", "one", "--net", "two", "--json");
  expect([failed.exitCode, JSON.parse(failed.stdout).code]).toEqual([1, 50]);
  expect(failed.stderr).toContain('Error: plugin type="b" failed (add): down\n');
  expect(stage.files.takeNames()).toEqual(["ADD a", "ADD b", "DEL b", "DEL a"]);
  await stage.expectNothingLeft([]);

  stage.files.recover("b", "ADD");
  await stage.succeed("create", "web", "--net", "one", "--net", "two");
  stage.files.fail("b", "DEL", { code: 11, msg: "busy" });
  stage.files.takeCalls();
  const stuck = await stage.pod("rm", "web", "other");
  expect(stuck.exitCode).toBe(1);
  expect(stuck.stderr).toContain('Error: pod web can\'t be removed: plugin type="b" failed (delete): busy\n');
  expect(stage.files.takeNames()).toEqual(["DEL b", "DEL b", "DEL a"]);
  expect(await stage.list()).toMatchObject([{ name: "web", state: "netns gone" }]);
  stage.files.recover("b", "DEL");
  await stage.succeed("rm", "web");
  expect(await stage.list()).toEqual([]);
});

test("X-42 twenty pods made at once and removed at once: distinct addresses, nothing left, and rm twice is success", async () => {
  await using stage = await PodStage.create();
  const names = Array.from({ length: 20 }, (_, index) => `pod${index}`);
  const outcomes = await Promise.all(
    names.map((name) => stage.pod("create", name, "--net", "red", "--net", "wire2")),
  );
  expect(outcomes.every(({ exitCode }) => exitCode === 1)).toBe(true);
  const made = await Promise.all(names.map((name) => stage.pod("create", name, "--net", "red")));
  expect(made.map(({ exitCode, stderr }) => `${exitCode}${stderr}`)).toEqual(names.map(() => "0"));
  const pods = await stage.list();
  expect(pods.map(({ state }) => state)).toEqual(names.map(() => "alive"));
  expect(new Set(pods.flatMap(({ networks }) => networks[0].addresses)).size).toBe(40);
  const removed = await Promise.all([...names, ...names].map((name) => stage.pod("rm", name)));
  expect(removed.map(({ exitCode }) => exitCode)).toEqual([...names, ...names].map(() => 0));
  await stage.expectNothingLeft();
}, 60_000);

test("X-42 of two that make one pod at once, one does", async () => {
  await using stage = await PodStage.create();
  stage.files.script("a", "ADD", "sleep 0.2");
  const outcomes = await Promise.all([1, 2, 3, 4].map(() => stage.pod("create", "web", "--net", "one")));
  expect(outcomes.map(({ exitCode }) => exitCode).sort()).toEqual([0, 1, 1, 1]);
  expect(stage.files.takeNames()).toEqual(["ADD a"]);
  expect(await stage.list()).toMatchObject([{ state: "alive" }]);
});

test("X-42 after kill -9 at any time of a create or an rm, rm removes what is left and create works again", async () => {
  await using stage = await PodStage.create();
  const networks = ["--net", "red", "--net", "wire"];
  const startedMs = performance.now();
  await stage.succeed("create", "web", ...networks);
  const createMs = performance.now() - startedMs;
  await stage.succeed("rm", "web");
  const states = new Set<string>();
  for (let step = 1; step <= 14; step++) {
    const child = stage.start("create", "web", ...networks);
    await Bun.sleep((createMs * step) / 14);
    child.kill("SIGKILL");
    await child.exited;
    for (const { state } of await stage.list()) states.add(state);
    const { exitCode, stderr } = await stage.pod("rm", "web");
    expect([exitCode, stderr.replace("there is no pod web\n", "")]).toEqual([0, ""]);
    await stage.expectNothingLeft((await linkNames(stage.host)).filter((name) => name === "red0"));
  }
  for (let step = 1; step <= 8; step++) {
    await stage.succeed("create", "web", ...networks);
    const child = stage.start("rm", "web");
    await Bun.sleep((createMs * step) / 8);
    child.kill("SIGKILL");
    await child.exited;
    expect((await stage.pod("rm", "web")).exitCode).toBe(0);
    await stage.expectNothingLeft();
  }
  for (const state of states) expect(["alive", "half made", "being made"]).toContain(state);
}, 60_000);

test("X-42 rm removes the file of a namespace that a killed rm had unmounted already", async () => {
  await using stage = await PodStage.create();
  await stage.succeed("create", "web", "--net", "one");
  await stage.host.text(["umount", "/run/netns/web"]);
  expect(await stage.list()).toMatchObject([{ state: "netns gone" }]);
  await stage.succeed("rm", "web");
  await stage.expectNothingLeft([]);
});

test("X-42 rm of a pod whose create was killed waits for the plugin that it had called", async () => {
  await using stage = await PodStage.create();
  stage.files.hold("a", "ADD", "echo late >>$folder/.order");
  stage.files.script("a", "DEL", "echo del >>$folder/.order");
  const child = stage.start("create", "web", "--net", "one");
  await stage.files.holding();
  expect(await stage.list()).toMatchObject([{ state: "being made" }]);
  expect((await stage.pod("exec", "web", "--", "true")).stderr).toBe("Error: pod web is still being made\n");
  child.kill("SIGKILL");
  await child.exited;
  expect(await stage.list()).toMatchObject([{ state: "half made" }]);
  expect((await stage.pod("exec", "web", "--", "true")).stderr).toContain("pod web is half made");
  const removing = stage.start("rm", "web");
  expect(await Promise.race([removing.exited, Bun.sleep(300)])).toBeUndefined();
  stage.files.release();
  expect(await removing.exited).toBe(0);
  expect(readFileSync(join(stage.files.bin, ".order"), "utf8")).toBe("late\ndel\n");
});

test("X-42 Ctrl-C during a create takes back what was made", async () => {
  await using stage = await PodStage.create();
  stage.files.hold("a", "ADD");
  const child = stage.start("create", "web", "--net", "one", "--net", "two");
  await stage.files.holding();
  child.kill("SIGINT");
  // the signal is to come first
  await Bun.sleep(200);
  stage.files.release();
  expect(await child.exited).toBe(130);
  expect(stage.files.takeNames()).toEqual(["ADD a", "DEL a"]);
  expect(await stage.list()).toEqual([]);
});

test("X-42 after a reboot pods are told to be of an earlier boot, can't be entered, and rm removes them", async () => {
  await using stage = await PodStage.create();
  await stage.succeed("create", "web", "--net", "red", "--port", "8080:80");
  // of a reboot nothing in memory is left, and what is on the disk is of another boot
  await stage.host.text(["sh", "-c", "umount /run/netns/web; rm /run/netns/web; ip link del red0"]);
  const plan = "/var/lib/cni/warren-pods/web/plan.json";
  await stage.host.text(["sed", "-i", 's/"bootId":"[^"]*"/"bootId":"0"/', plan]);
  while ((await linkNames(stage.host)).length > 0) await Bun.sleep(10);
  expect(await stage.list()).toMatchObject([{ name: "web", state: "earlier boot" }]);
  expect((await stage.pod("exec", "web", "--", "true")).stderr).toContain(
    "ended with the boot that it was made in",
  );
  // a namespace of this boot with the pod's name is somebody else's
  await stage.host.addNetns("web");
  await stage.succeed("rm", "web");
  expect(await stage.host.text(["ls", "/run/netns"])).toBe("web\n");
  await stage.host.text(["ip", "netns", "del", "web"]);
  await stage.expectNothingLeft([]);
});

test("X-42 a broken record is told, keeps nobody from working, and goes with rm", async () => {
  await using stage = await PodStage.create();
  await stage.succeed("create", "good");
  await stage.succeed("create", "bad");
  await stage.host.text([
    "sh",
    "-c",
    "echo '{' >/var/lib/cni/warren-pods/bad/plan.json; mkdir /var/lib/cni/warren-pods/empty; touch /var/lib/cni/warren-pods/file",
  ]);
  const { exitCode, stdout, stderr } = await stage.pod("list", "--json");
  expect([exitCode, JSON.parse(stdout).length]).toEqual([0, 1]);
  expect(stderr).toMatch(/^warning: .*warren-pods\/bad\/plan.json.*\n$/);
  expect((await stage.pod("exec", "good", "--", "true")).exitCode).toBe(0);
  expect((await stage.pod("rm", "bad")).stderr).toContain("the record is removed");
  await stage.succeed("create", "empty");
  await stage.succeed("rm", "good", "empty");
  expect(await stage.list()).toEqual([]);
});

test("X-42 a warren run is listed, can be entered, and is left to itself by rm", async () => {
  await using stage = await PodStage.create();
  const child = stage.host.start([WARREN, "run", "one", "--", "sh", "-c", "echo up; exec sleep 60"], {
    env: { NETCONFPATH: stage.files.conf, CNI_PATH: stage.files.bin },
  });
  await child.stdout.getReader().read();
  const [run] = await stage.list();
  expect(run).toMatchObject({ state: "alive", networks: [{ network: "one", ifname: "eth0" }] });
  expect(await stage.succeed("exec", run.name, "--", "uname", "-n")).toBe(`${run.name}\n`);
  await stage.succeed("rm", "--all");
  const refused = await stage.pod("rm", run.name);
  expect(refused.stderr).toContain("it is that of a warren run, and goes when its command ends");
  expect(await stage.list()).toMatchObject([{ state: "alive" }]);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(143);
  expect(await stage.list()).toEqual([]);
});

test("X-42 exec ends with 127 and 126 as shells do, and by the signal that ended its command", async () => {
  await using stage = await PodStage.create();
  await stage.succeed("create", "web");
  const codeOf = async (program: string) => (await stage.pod("exec", "web", "--", program)).exitCode;
  expect([await codeOf("no-such-program"), await codeOf("/")]).toEqual([127, 126]);
  const sleep = async () => {
    const child = stage.start("exec", "web", "--", "sleep", "60");
    while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep")) await Bun.sleep(5);
    return child;
  };
  const ended = await sleep();
  ended.kill("SIGTERM");
  await ended.exited;
  expect(ended.signalCode).toBe("SIGTERM");
  const left = await sleep();
  expect((await stage.pod("rm", "web")).stderr).toContain("warning: processes are still in pod web");
  left.kill();
  await left.exited;
});
