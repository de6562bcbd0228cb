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
