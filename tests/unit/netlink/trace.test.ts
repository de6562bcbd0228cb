import { expect, test } from "bun:test";

const SCRIPT = `
  import { traced } from "${import.meta.dir}/../../../src/netlink/trace.ts";
  import { NetlinkSocket } from "${import.meta.dir}/../../../src/netlink/socket.ts";
  import { deleteLink } from "${import.meta.dir}/../../../src/netlink/link.ts";
  import { acknowledgement, fakeKernel } from "${import.meta.dir}/../../support/fake-kernel.ts";
  const kernel = fakeKernel(() => [acknowledgement(1, 19, "gone"), Uint8Array.of(1)]);
  const socket = new NetlinkSocket(traced(kernel, "route"));
  socket.attempt([deleteLink(5)]);
  try { socket.attempt([deleteLink(5)]); } catch {}
`;

test("a trace shows each message with its name, numbers, the kernel's words and bytes, on standard error", () => {
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", SCRIPT]);
  const lines = stderr.toString().split("\n");
  expect(stdout.toString()).toBe("");
  expect(lines.slice(0, 3)).toEqual([
    "> RTM_DELLINK flags 0x5 seq 1 32 bytes",
    "    0000  00 00 00 00 05 00 00 00 00 00 00 00 00 00 00 00",
    "< NLMSG_ERROR flags 0x300 seq 1 48 bytes errno 19 gone",
  ]);
  expect(stderr.toString()).toContain("< unreadable: CodecError: message: 1 bytes, too few for a header");
});

test("S3-W07 of generic netlink a trace shows no bytes, because a private key may be among them", () => {
  const script = SCRIPT.replace('"route"', '"generic"')
    .replace("link.ts", "wireguard.ts")
    .replace("{ deleteLink }", "{ setWireguard }")
    .replaceAll("[deleteLink(5)]", 'setWireguard(32, "wg0", { privateKey: new Uint8Array(32).fill(0xab) })');
  const { stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(stderr.toString()).toBe(
    [
      "> type 32 flags 0x5 seq 1 64 bytes",
      "< NLMSG_ERROR flags 0x300 seq 1 48 bytes errno 19 gone",
      "> type 32 flags 0x5 seq 2 64 bytes",
      "< unreadable: CodecError: message: 1 bytes, too few for a header",
      "",
    ].join("\n"),
  );
});
