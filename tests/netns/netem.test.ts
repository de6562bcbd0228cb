// The plugin netem as far as a kernel without netem shows it: what is refused and in which words, what passes, and that
// nothing is left. What it does to traffic is shown in the virtual machine (tests/vm/netem.ts).
import { describe, expect, test } from "bun:test";
import { type Config, call, leases, linkNames, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const POD = { containerId: "pod-1", netns: "pod1" };

/** What the plugin gets as the result of the one before it. */
const PREVIOUS = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", mac: "0a:58:0a:01:00:02", sandbox: "/run/netns/pod1" }],
  ips: [{ address: "10.88.0.2/16", interface: 0 }],
};

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["ip", "link", "add", "outer", "type", "veth", "peer", "name", "eth0", "netns", "pod1"]);
  return sandbox;
}

function plugin(sandbox: Sandbox, more: Config = {}): Config {
  return {
    ...{ cniVersion: "1.1.0", name: "lab", type: "warren-netem" },
    dataDir: `${sandbox.directory}/store`,
    prevResult: PREVIOUS,
    ...more,
  };
}

function annotated(annotations: unknown): Config {
  return { runtimeConfig: { [ANNOTATIONS]: annotations } };
}

async function disciplines(sandbox: Sandbox): Promise<unknown[]> {
  return (await sandbox.json(["tc", "-netns", "pod1", "-json", "qdisc"])) as unknown[];
}

/** A kernel with netem shows all of this in the virtual machine. */
const kernelHasNetem = await (async () => {
  await using sandbox = await host();
  const { exitCode } = await sandbox.inNetns("pod1", ["tc", "qdisc", "add", "dev", "eth0", "root", "netem"]);
  return exitCode === 0;
})();
const withoutNetem = testWith(kernelHasNetem ? { reason: "this kernel has netem" } : {});

describe("what is asked for", () => {
  withoutNetem("S3-L04 what is a delay, and what is refused as Invalid lat", async () => {
    await using sandbox = await host();
    for (const lat of ["50ms", "1s", "500us", "9ns", "1.5ms", "50s"]) {
      const { document } = await call(sandbox, "ADD", plugin(sandbox, annotated({ lat })), POD);
      expect([lat, document.msg]).toEqual([lat, "the kernel has no netem qdisc"]);
    }
    const none = await succeed(sandbox, "ADD", plugin(sandbox, annotated({ lat: "0ms" })), POD);
    expect(none.document).toEqual(PREVIOUS);
    for (const lat of ["50", "ms", "-1ms", " 5ms", "5m", "1000000000000s", '5"ms', "5ms\n", "1e3ms"]) {
      for (const config of [annotated({ lat }), { lat }]) {
        const { document, exitCode } = await call(sandbox, "ADD", plugin(sandbox, config), POD);
        expect([lat, exitCode, document.code, document.msg]).toEqual([lat, 1, 7, "Invalid lat"]);
        expect(document.details).toContain(JSON.stringify(lat));
      }
    }
    expect(await disciplines(sandbox)).toEqual([]);
  });

  test("rules that mean nothing are refused with the word and what would be right", async () => {
    await using sandbox = await host();
    for (const [netem, word, problem] of [
      ["delay=50", "delay=50", "such as 50ms"],
      ["slow", "slow", "expected NAME=VALUE"],
      ["delay=1ms delay=2ms", "delay=2ms", "said twice"],
      ["loss=101%", "loss=101%", "0% to 100%"],
      ["loss=1", "loss=1", "such as 1%"],
      ["loss=1% loss-bursts=1%,1%,1%,1%", "loss and loss-bursts", "one model"],
      ["loss-states=1%,2%", "loss-states=1%,2%", "P13,P31,P32,P23,P14"],
      ["jitter=1ms", "jitter=1ms", "nothing without delay"],
      ["delay=1ms gap=3", "gap=3", "nothing without reorder"],
      ["delay=1ms jitter=1ms distribution=poisson", "distribution=poisson", "paretonormal"],
      ["rate=10", "rate=10", "such as 10mbit"],
      ["delay=1ms limit=0", "limit=0", "from 1"],
      ["delay=1ms direction=up", "direction=up", "egress, ingress, both"],
      ["delay=1ms peer=10.1.2", "peer=10.1.2", "an address or a prefix"],
      ["delay=1ms; loss=1% direction=both", "delay=1ms; loss=1% direction=both", "two rules are for egress"],
    ] as const) {
      const { document } = await call(sandbox, "ADD", plugin(sandbox, { netem }), POD);
      expect([netem, document.code, document.msg]).toEqual([netem, 7, "Invalid netem"]);
      expect(document.details).toContain(JSON.stringify(word));
      expect(document.details).toContain(problem);
    }
    const both = await call(
      sandbox,
      "ADD",
      plugin(sandbox, annotated({ lat: "5ms", netem: "loss=1%" })),
      POD,
    );
    expect([both.document.code, both.document.msg]).toEqual([
      7,
      'the annotation says both "lat" and "netem"',
    ]);
  });

  test("S3-L05 without an annotation the result passes, and nothing is made or written", async () => {
    await using sandbox = await host();
    for (const config of [
      {},
      { runtimeConfig: null },
      annotated(null),
      annotated({}),
      annotated({ lat: "" }),
      annotated({ lat: null, other: "50ms" }),
      { lat: "", netem: "" },
    ]) {
      for (const type of ["warren-netem", "warren-lat"]) {
        const answer = await succeed(sandbox, "ADD", plugin(sandbox, { ...config, type }), POD);
        expect(answer.document).toEqual(PREVIOUS);
        await succeed(sandbox, "CHECK", plugin(sandbox, { ...config, type }), POD);
        await succeed(sandbox, "DEL", plugin(sandbox, { ...config, type }), POD);
      }
    }
    expect(await disciplines(sandbox)).toEqual([]);
    expect(await Bun.file(`${sandbox.directory}/store/warren.db`).exists()).toBe(false);
  });

  test("S3-L10 the first plugin of a chain is refused", async () => {
    await using sandbox = await host();
    const { document } = await call(
      sandbox,
      "ADD",
      plugin(sandbox, { lat: "5ms", prevResult: undefined }),
      POD,
    );
    expect([document.code, document.msg]).toEqual([7, "must be called as chained plugin"]);
  });
});

describe("a kernel without netem", () => {
  withoutNetem(
    "S3-L03 ADD and STATUS say so and leave nothing, or pass where onMissing is ignore",
    async () => {
      await using sandbox = await host();
      const links = await linkNames(sandbox);
      for (const config of [
        { lat: "50ms" },
        { netem: "loss=1% direction=both" },
        { netem: "delay=1ms direction=ingress peer=10.0.0.0/8" },
      ]) {
        const add = await call(sandbox, "ADD", plugin(sandbox, config), POD);
        const status = await call(sandbox, "STATUS", plugin(sandbox, { ...config, prevResult: undefined }));
        expect([add.document.code, status.document.code]).toEqual([2, 50]);
        for (const { document } of [add, status]) {
          expect(document.msg).toBe("the kernel has no netem qdisc");
          expect(document.details).toContain("load the modules, or take netem out of the chain");
        }
        const passing = plugin(sandbox, { ...config, onMissing: "ignore" });
        const passed = await succeed(sandbox, "ADD", passing, POD);
        expect(passed.document).toEqual(PREVIOUS);
        expect(passed.stderr).toContain("the kernel has no netem qdisc");
        for (const verb of ["CHECK", "DEL", "DEL"]) await succeed(sandbox, verb, passing, POD);
        await succeed(sandbox, "STATUS", { ...passing, prevResult: undefined });
      }
      // S3-L12: a list in which it stands stays ready where nothing is asked of it but what a pod may ask
      const { document } = await call(sandbox, "STATUS", plugin(sandbox, { prevResult: undefined }));
      expect(document.code).toBe(50);
      await succeed(sandbox, "GC", {
        ...plugin(sandbox, { prevResult: undefined }),
        "cni.dev/valid-attachments": [],
      });
      expect(await disciplines(sandbox)).toEqual([]);
      expect(await linkNames(sandbox)).toEqual(links);
      const shown = await sandbox.run([WARREN, "show", "pod-1", "--data-dir", `${sandbox.directory}/store`]);
      expect(shown.stdout).not.toContain("impairment");
    },
  );

  withoutNetem("S3-L03 inside another plugin it says so, too, and takes all of its ADD back", async () => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod1");
    const dataDir = `${sandbox.directory}/store`;
    const ipam = { type: "warren-ipam", dataDir, subnet: "10.88.0.0/16" };
    const bridge = { cniVersion: "1.1.0", name: "lab", type: "warren-bridge", bridge: "br0", dataDir, ipam };
    const slow = { ...bridge, ...annotated({ lat: "50ms" }), netem: {} };
    for (const [verb, target, code] of [
      ["ADD", POD, 2],
      ["STATUS", undefined, 50],
    ] as const) {
      const { document } = await call(sandbox, verb, slow, target);
      expect([document.code, document.msg]).toEqual([code, "the kernel has no netem qdisc"]);
    }
    expect(await linkNames(sandbox)).toEqual(["br0"]);
    expect(await leases(sandbox, dataDir)).toEqual([]);
    const wrong = await call(sandbox, "ADD", { ...bridge, netem: { netem: "delay=5" } }, POD);
    expect([wrong.document.code, wrong.document.msg]).toEqual([7, "Invalid netem"]);
    // without its object nobody reads the annotation
    const plain = await succeed(sandbox, "ADD", { ...bridge, ...annotated({ lat: "50ms" }) }, POD);
    await succeed(sandbox, "DEL", bridge, POD);
    const passing = { ...slow, netem: { onMissing: "ignore" } };
    const passed = await succeed(sandbox, "ADD", passing, POD);
    expect(passed.stderr).toContain("the kernel has no netem qdisc");
    expect(passed.document.interfaces.length).toBe(plain.document.interfaces.length);
    await succeed(sandbox, "CHECK", { ...passing, prevResult: passed.document }, POD);
    await succeed(sandbox, "DEL", bridge, POD);
    expect(await leases(sandbox, dataDir)).toEqual([]);
  });

  withoutNetem("S3-L06 the namespace may be named in any way", async () => {
    await using sandbox = await host();
    const sleeper = sandbox.start(["ip", "netns", "exec", "pod1", "sleep", "60"]);
    while (!(await sandbox.text(["ip", "netns", "pids", "pod1"])).includes(`${sleeper.pid}`))
      await Bun.sleep(10);
    await sandbox.text(["sh", "-c", "touch pinned && mount --bind /run/netns/pod1 pinned"]);
    for (const netns of ["/run/netns/pod1", `/proc/${sleeper.pid}/ns/net`, `${sandbox.directory}/pinned`]) {
      const { document } = await call(sandbox, "ADD", plugin(sandbox, { lat: "5ms" }), { ...POD, netns });
      expect([netns, document.msg]).toEqual([netns, "the kernel has no netem qdisc"]);
    }
    sleeper.kill();
    await sleeper.exited;
  });

  withoutNetem("warren impair says what can't be meant, and what the kernel lacks", async () => {
    await using sandbox = await host();
    const impair = async (...args: string[]) => {
      const { exitCode, stdout, stderr } = await sandbox.run([WARREN, "impair", ...args]);
      return [exitCode, stdout, stderr];
    };
    expect(await impair("--list")).toEqual([0, "no container is impaired\n", ""]);
    expect(await impair("pod1", "--clear")).toEqual([0, "pod1 eth0: nothing is impaired\n", ""]);
    for (const [args, code, said] of [
      [["pod1", "delay=5ms"], 1, "the kernel has no netem qdisc"],
      [["pod1", "delay=5"], 2, '"delay=5": expected a time'],
      [["pod1"], 2, "say what is to go wrong"],
      [["pod1", "delay=5ms", "--clear"], 2, "--clear takes a container alone"],
      [["--clear"], 2, "--clear needs a container"],
      [["pod1", "delay=5ms", "--for", "5"], 2, '--for "5": expected a time'],
      [["pod1", "delay=5ms", "--ifname", "eth7"], 1, 'container pod1 has no interface "eth7"'],
      [["nobody", "--clear"], 1, "/var/run/netns/nobody"],
      [["/proc/self/ns/net", "loss=1%"], 1, "is the namespace of the host itself"],
      [["pod1", "--list", "--clear"], 2, "--list takes a container at most"],
    ] as const) {
      const [exitCode, stdout, stderr] = await impair(...args);
      expect([args, exitCode, stdout]).toEqual([args, code, ""]);
      expect(stderr).toContain(said);
    }
    expect(await disciplines(sandbox)).toEqual([]);
  });
});

test("a detour whose interface went first goes with the next DEL, and no other one does", async () => {
  await using sandbox = await host();
  const ifindex = (
    await sandbox.text(["ip", "netns", "exec", "pod1", "cat", "/sys/class/net/eth0/ifindex"])
  ).trim();
  // as a DEL finds them that comes after the interface's end: one of eth9, which is gone, and two that are none of those
  const devices = ["impair4711", "other4711", `impair0${ifindex}`];
  for (const name of devices)
    await sandbox.text(["ip", "-netns", "pod1", "link", "add", name, "type", "ifb"]);
  await succeed(sandbox, "DEL", plugin(sandbox), { ...POD, ifname: "eth9" });
  const left = (await sandbox.json(["ip", "-netns", "pod1", "-json", "link"])) as { ifname: string }[];
  expect(left.map(({ ifname }) => ifname).sort()).toEqual(
    ["eth0", `impair0${ifindex}`, "lo", "other4711"].sort(),
  );
});
