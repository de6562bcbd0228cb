// Bridge with an IPAM plugin that is not ours, and our IPAM plugin under a bridge that is not ours: delegation by
// exec, as every runtime's config may ask for it, with the newest reference plugins on the other side.
import { expect } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { type Config, leases, linkNames, PLUGIN_FOLDER, succeed, variables } from "../support/plugins.ts";
import { Sandbox, testWith } from "../support/sandbox.ts";

const withReference = testWith(tools.referencePlugins);
const POD = { containerId: "pod-1", netns: "pod1" };
const REFERENCE = tools.referencePlugins.path ?? "";

withReference("X-09 our bridge works with the reference host-local, through every verb", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  const folder = `${sandbox.directory}/host-local`;
  const config: Config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isDefaultGateway: true,
    ipMasq: true,
    dataDir: `${sandbox.directory}/store`,
    ipam: {
      type: "host-local",
      dataDir: folder,
      ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]],
    },
  };
  const path = `${PLUGIN_FOLDER}:${REFERENCE}`;
  await succeed(sandbox, "STATUS", config, undefined, path);
  const added = await succeed(sandbox, "ADD", config, POD, path);
  expect(added.document.ips.map(({ address }: { address: string }) => address)).toEqual([
    "10.88.0.2/16",
    "fd00:88::2/64",
  ]);
  expect((await sandbox.text(["ls", `${folder}/lab`])).split("\n")).toContain("10.88.0.2");
  await succeed(sandbox, "CHECK", { ...config, prevResult: added.document }, POD, path);
  await succeed(
    sandbox,
    "GC",
    { ...config, "cni.dev/valid-attachments": [{ containerID: "pod-1", ifname: "eth0" }] },
    undefined,
    path,
  );
  await succeed(sandbox, "DEL", config, POD, path);
  expect((await sandbox.text(["ls", `${folder}/lab`])).split("\n")).not.toContain("10.88.0.2");
  expect(await linkNames(sandbox)).toEqual(["br0"]);

  // host-local has no GC of its own: ours releases its addresses by DEL
  await succeed(sandbox, "ADD", config, POD, path);
  expect((await sandbox.text(["ls", `${folder}/lab`])).split("\n")).toContain("10.88.0.3");
  await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": [] }, undefined, path);
  expect((await sandbox.text(["ls", `${folder}/lab`])).split("\n")).not.toContain("10.88.0.3");
  expect(await linkNames(sandbox)).toEqual(["br0"]);
});

withReference("X-08 a failure after the reference host-local gave an address gives it back", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  const folder = `${sandbox.directory}/host-local`;
  const config: Config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    mtu: 50,
    dataDir: `${sandbox.directory}/store`,
    ipam: { type: "host-local", dataDir: folder, subnet: "10.88.0.0/16" },
  };
  const outcome = await sandbox.run([`${PLUGIN_FOLDER}/warren-bridge`], {
    env: variables("ADD", POD, `${PLUGIN_FOLDER}:${REFERENCE}`),
    stdin: JSON.stringify(config),
  });
  expect(outcome.exitCode).toBe(1);
  expect(JSON.parse(outcome.stdout).code).toBe(104);
  expect((await sandbox.text(["ls", `${folder}/lab`])).split("\n")).not.toContain("10.88.0.2");
});

withReference("our ipam works under the reference bridge, through every verb that it forwards", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  const config: Config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "bridge",
    bridge: "br0",
    isGateway: true,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.88.0.0/30" },
  };
  const path = `${REFERENCE}:${PLUGIN_FOLDER}`;
  await succeed(sandbox, "STATUS", config, undefined, path);
  const added = await succeed(sandbox, "ADD", config, POD, path);
  expect(added.document.ips[0].address).toBe("10.88.0.2/30");
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(1);
  await succeed(sandbox, "CHECK", { ...config, prevResult: added.document }, POD, path);
  await succeed(sandbox, "DEL", config, POD, path);
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
});
