// The sandbox that other tests stand on: what it gives, and that nothing of it outlives the test's process.
import { expect, test } from "bun:test";
import { existsSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../support/sandbox.ts";

const namespaceOf = (pid: number | "self") => readlinkSync(`/proc/${pid}/ns/net`);

test("a sandbox is a host of its own with an empty /run and a loopback that is up", async () => {
  await using host = await Sandbox.create();
  expect(namespaceOf(host.pid)).not.toBe(namespaceOf("self"));
  await host.addNetns("pod1");
  expect(await host.text(["ls", "/var/run/netns"])).toBe("pod1\n");
  expect(existsSync("/run/netns/pod1")).toBe(false);
  expect(await host.text(["sh", "-c", "ip -o link show up; ls /sys/class/net"])).toMatch(/ lo: .*\nlo\n$/s);
  expect((await host.inNetns("pod1", ["ip", "-json", "link"])).stdout).toContain('"ifname":"lo"');
  const outcome = await host.run(["sh", "-c", 'cat; echo "$WORD" >&2; exit 3'], {
    stdin: "typed",
    env: { WORD: "said" },
  });
  expect(outcome).toEqual({ exitCode: 3, stdout: "typed", stderr: "said\n" });
});

test("a sandbox vanishes when the test's process is killed", async () => {
  const module = join(import.meta.dir, "../support/sandbox.ts");
  const script = `
    const { Sandbox } = await import(${JSON.stringify(module)});
    const host = await Sandbox.create();
    await host.addNetns("pod1");
    console.log(host.pid, host.directory);
    await Bun.sleep(60_000);
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const [number = "", directory = ""] = new TextDecoder().decode(value).trim().split(" ");
  const pid = Number(number);
  expect(existsSync(directory)).toBe(true);
  expect(namespaceOf(pid)).not.toBe(namespaceOf("self"));
  child.kill("SIGKILL");
  await child.exited;
  const isHeld = () => {
    try {
      return namespaceOf(pid) !== "";
    } catch {
      return false;
    }
  };
  while (isHeld() || existsSync(directory)) await Bun.sleep(10);
});
