// The reference plugin's directory, as it is read and written: names, contents and modes are those of host-local.
import { expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { LeaseFiles, ownerIn } from "../../../src/ipam/lease-files.ts";
import { TemporaryDirectory } from "../../support/world.ts";

function address(text: string) {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

class Networks extends TemporaryDirectory {
  constructor(files: Readonly<Record<string, string>> = {}) {
    super();
    mkdirSync(join(this.path, "lab"));
    for (const [name, content] of Object.entries(files)) writeFileSync(this.file(name), content);
  }

  file(name: string): string {
    return join(this.path, "lab", name);
  }

  open(): LeaseFiles {
    const files = LeaseFiles.open(this.path, "lab");
    if (files === undefined) throw new Error("no directory");
    return files;
  }
}

test.each([
  ["pod1\r\neth0", { containerId: "pod1", ifname: "eth0" }],
  ["pod1", { containerId: "pod1", ifname: "" }],
  ["pod1\r\n", { containerId: "pod1", ifname: "" }],
  [" pod1 \neth0\n", { containerId: "pod1", ifname: "eth0" }],
  ["", undefined],
  ["\r\n", undefined],
])("the content %j names %j", (content, owner) => {
  expect(ownerIn(content)).toEqual(owner);
});

test("a network without a directory has no files, and none is made", () => {
  using networks = new Networks();
  expect(LeaseFiles.open(networks.path, "other")).toBeUndefined();
  writeFileSync(join(networks.path, "file"), "");
  expect(LeaseFiles.open(networks.path, "file")).toBeUndefined();
  expect(readdirSync(networks.path).sort()).toEqual(["file", "lab"]);
});

test("files that are called after an address are leases, and others are not", () => {
  using networks = new Networks({
    "10.1.0.2": "a\r\neth0",
    "fd00::2": "a\r\neth0",
    "10.1.0.3": "",
    "last_reserved_ip.0": "10.1.0.2",
    "last_reserved_ip.1": "nothing",
    "10.1.0.2.backup": "a\r\neth0",
  });
  mkdirSync(networks.file("10.1.0.4"));
  using files = networks.open();
  const { leases, empty } = files.list();
  expect(leases.map((one) => [formatAddress(one.address), one.containerId]).sort()).toEqual([
    ["10.1.0.2", "a"],
    ["fd00::2", "a"],
  ]);
  expect(empty).toEqual(["10.1.0.3"]);
  expect([0, 1, 2].map((index) => files.lastOf(index))).toEqual([address("10.1.0.2"), undefined, undefined]);
});

test("a lease is written as the reference writes it, over what a crash left", () => {
  using networks = new Networks({ "10.1.0.2": "" });
  {
    using files = networks.open();
    files.write({ address: address("10.1.0.2"), containerId: "a", ifname: "eth0" }, 0);
    files.write({ address: address("FD00:0::2"), containerId: "a", ifname: "eth0" }, 1);
    expect(Math.abs(files.givenAtMs(address("fd00::2")) - Date.now())).toBeLessThan(5000);
  }
  expect(readFileSync(networks.file("10.1.0.2"), "utf8")).toBe("a\r\neth0");
  expect(readFileSync(networks.file("last_reserved_ip.1"), "utf8")).toBe("fd00::2");
  const mode = (name: string) => (statSync(networks.file(name)).mode & 0o777).toString(8);
  expect([mode("fd00::2"), mode("last_reserved_ip.1"), mode("lock")]).toEqual(["600", "600", "750"]);
});

test("a symbolic link is never written through", () => {
  using networks = new Networks();
  const target = join(networks.path, "target");
  writeFileSync(target, "precious");
  symlinkSync(target, networks.file("10.1.0.2"));
  using files = networks.open();
  expect(() => files.write({ address: address("10.1.0.2"), containerId: "a", ifname: "eth0" }, 0)).toThrow(
    "ELOOP",
  );
  expect(readFileSync(target, "utf8")).toBe("precious");
});

test("an attachment's files go, and with none of its own those of its container's id", () => {
  using networks = new Networks({
    "10.1.0.2": "a\r\neth0",
    "10.1.0.3": "a\r\neth1",
    "10.1.0.4": "a",
    "10.1.0.5": "ab\r\neth0",
  });
  using files = networks.open();
  const left = () =>
    readdirSync(join(networks.path, "lab"))
      .filter((name) => name !== "lock")
      .sort();
  files.removeOf({ containerId: "a", ifname: "eth0" });
  expect(left()).toEqual(["10.1.0.3", "10.1.0.4", "10.1.0.5"]);
  files.removeOf({ containerId: "a", ifname: "eth0" });
  expect(left()).toEqual(["10.1.0.3", "10.1.0.5"]);
});

test("an existing lock of any mode will do", () => {
  using networks = new Networks({ lock: "" });
  chmodSync(networks.file("lock"), 0o600);
  networks.open()[Symbol.dispose]();
  networks.open()[Symbol.dispose]();
});
