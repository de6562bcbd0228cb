// Conversations about wireguard devices with a kernel that is played: one that has no wireguard, one that is asked for
// nothing, and what is shown of what is said.
import { expect, test } from "bun:test";
import { MissingFeatureError } from "../../../src/net/feature.ts";
import { PortTakenError, WireguardControl, type WireguardDevice } from "../../../src/net/wireguard.ts";
import { formatPublicKey, PrivateKey } from "../../../src/net/wireguard-key.ts";
import { NetlinkSocket } from "../../../src/netlink/socket.ts";
import { acknowledgement, type FakeKernel, fakeKernel, reply } from "../../support/fake-kernel.ts";

/** What the controller says of the family: that its number is 32. */
const FAMILY = Uint8Array.of(1, 2, 0, 0, 6, 0, 1, 0, 32, 0, 0, 0);
const KEY = formatPublicKey(new Uint8Array(32).fill(9));
const DEVICE: WireguardDevice = { publicKey: KEY, listenPort: 28384, peers: [] };

/** Returns a kernel with wireguard, which takes everything or refuses it with `errno`. */
function kernel(errno = 0): FakeKernel {
  return fakeKernel((messages, turn) =>
    turn === 0 ? [reply(0x10, 1, FAMILY)] : messages.map(({ sequence }) => acknowledgement(sequence, errno)),
  );
}

const control = (of: FakeKernel) => WireguardControl.over(new NetlinkSocket(of));

test("S3-W05 a kernel without wireguard is told by its name and with the cure", () => {
  const without = fakeKernel(() => [acknowledgement(1, 2)]);
  let error: unknown;
  try {
    control(without);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(MissingFeatureError);
  expect(error).toMatchObject({
    message: "the kernel has no wireguard",
    cure: "load the module wireguard, or use the backend vxlan",
  });
});

test("S3-W06 where nothing changes the kernel hears nothing, and a key that it has is not given again", () => {
  const quiet = kernel();
  using wireguard = control(quiet);
  const identity = { privateKey: PrivateKey.generate(), publicKey: KEY, listenPort: 28384 };
  wireguard.changePeers("wg0", { added: [], changed: [], removed: [], kept: [KEY] });
  expect(wireguard.setIdentity("wg0", DEVICE, identity)).toEqual([]);
  expect(quiet.sent).toHaveLength(1);
  expect(wireguard.setIdentity("wg0", { ...DEVICE, listenPort: 1 }, identity)).toEqual(["port"]);
  expect(quiet.sent[1]?.[0]?.body.length).toBe(20); // the header, the name and the port
  expect(wireguard.setIdentity("wg0", { ...DEVICE, publicKey: undefined }, identity)).toEqual(["key"]);
});

test("a port of somebody else is told by its number", () => {
  using wireguard = control(kernel(98));
  const identity = { privateKey: PrivateKey.generate(), publicKey: KEY, listenPort: 7 };
  expect(() => wireguard.setIdentity("wg0", DEVICE, identity)).toThrow(PortTakenError);
  expect(() => wireguard.setIdentity("wg0", DEVICE, identity)).toThrow("UDP port 7 of the host is taken");
});
