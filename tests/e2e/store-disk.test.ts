// A disk that fills up or becomes read-only under a store in use: each call that can't be done says so and leaves
// nothing, and when the disk is well again everything that was answered is still there.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { call, leases, linkNames, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";

const CONFIG = {
  cniVersion: "1.1.0",
  name: "lab",
  type: "warren-bridge",
  bridge: "br0",
  ipam: { type: "warren-ipam", subnet: "10.88.0.0/24" },
};

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text([
    "sh",
    "-c",
    "mkdir /var/lib/cni/warren && mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/cni/warren",
  ]);
  for (const name of ["pod1", "pod2", "pod3"]) await sandbox.addNetns(name);
  return sandbox;
}

async function holders(sandbox: Sandbox): Promise<string[]> {
  return (await leases(sandbox, "/var/lib/cni/warren")).map(
    ({ container, address }) => `${container} ${address}`,
  );
}

/** Copies the store out of the sandbox and looks whether it is sound. */
async function integrity(sandbox: Sandbox): Promise<unknown> {
  await sandbox.text(["sh", "-c", "mkdir -p copy && cp /var/lib/cni/warren/* copy"]);
  using database = new Database(`${sandbox.directory}/copy/warren.db`);
  return database.query("PRAGMA integrity_check").values();
}

test("a disk that fills up while pods come: an ADD that finds no room leaves nothing, and no lease is lost", async () => {
  await using sandbox = await host();
  await succeed(sandbox, "ADD", CONFIG, { containerId: "pod1", netns: "pod1" });
  await sandbox.run(["sh", "-c", "cat /dev/zero > /var/lib/cni/warren/fill"]);
  const before = await linkNames(sandbox);
  // the log may have a few pages of room left: one of these is the first that has none
  let refused: string | undefined;
  let given = 0;
  while (refused === undefined && given < 200) {
    const { exitCode, document } = await call(
      sandbox,
      "ADD",
      { ...CONFIG, type: "warren-ipam" },
      { containerId: `more${given}`, netns: "pod2", ifname: "eth0" },
    );
    if (exitCode === 0) given++;
    else refused = `${document.code} ${document.msg}`;
  }
  expect(refused).toBe("105 the store /var/lib/cni/warren/warren.db can't grow: the disk is full");
  const { document } = await call(sandbox, "ADD", CONFIG, { containerId: "pod3", netns: "pod3" });
  expect(document.code).toBe(105);
  expect(await linkNames(sandbox)).toEqual(before);
  expect((await call(sandbox, "STATUS", CONFIG)).document).toMatchObject({
    code: 50,
    msg: expect.stringContaining("the disk is full"),
  });
  // what a DEL can't write down it has to be asked again: it says so, and takes the link of a pod that is gone
  const ended = { containerId: "pod1", netns: "pod1" };
  const outcomes = [
    await call(sandbox, "DEL", CONFIG, ended),
    await call(sandbox, "GC", { ...CONFIG, "cni.dev/valid-attachments": [] }),
  ];
  for (const { document: answer } of outcomes) expect(answer.msg).toContain("the disk is full");
  expect(await linkNames(sandbox)).toEqual(["br0"]);
  await sandbox.text(["rm", "/var/lib/cni/warren/fill"]);
  const held = await holders(sandbox);
  expect(held).toHaveLength(1 + given);
  expect(new Set(held.map((one) => one.split(" ")[1])).size).toBe(held.length);
  await succeed(sandbox, "ADD", CONFIG, { containerId: "pod3", netns: "pod3" });
  expect(await holders(sandbox)).toEqual([...held, `pod3 10.88.0.${2 + held.length}/24`]);
  expect(await integrity(sandbox)).toEqual([["ok"]]);
}, 60_000);

test("a disk that becomes read-only: every verb says so, no lease is lost, DEL takes its pair, and all goes on when it is writable", async () => {
  await using sandbox = await host();
  await succeed(sandbox, "ADD", CONFIG, { containerId: "pod1", netns: "pod1" });
  const held = await holders(sandbox);
  await sandbox.text(["mount", "-o", "remount,ro", "/var/lib/cni/warren"]);
  const said = "the store /var/lib/cni/warren/warren.db is on a read-only file system";
  for (const [verb, more, target] of [
    ["STATUS", {}, undefined],
    ["ADD", {}, { containerId: "pod2", netns: "pod2" }],
    ["DEL", {}, { containerId: "pod1", netns: "pod1" }],
    ["GC", { "cni.dev/valid-attachments": [] }, undefined],
  ] as const) {
    const { exitCode, stdout } = await call(sandbox, verb, { ...CONFIG, ...more }, target);
    expect([verb, exitCode]).toEqual([verb, 1]);
    expect(stdout).toContain(said);
  }
  await sandbox.text(["mount", "-o", "remount,rw", "/var/lib/cni/warren"]);
  expect(await holders(sandbox)).toEqual(held);
  // a pod that is gone needs no link; the lease goes with the DEL that the runtime repeats
  expect(await linkNames(sandbox)).toEqual(["br0"]);
  await succeed(sandbox, "ADD", CONFIG, { containerId: "pod2", netns: "pod2" });
  for (const name of ["pod1", "pod2"])
    await succeed(sandbox, "DEL", CONFIG, { containerId: name, netns: name });
  expect(await holders(sandbox)).toEqual([]);
  expect(await linkNames(sandbox)).toEqual(["br0"]);
}, 60_000);
