// The plugin `loopback`: brings `lo` up in the container's namespace. It has no config of its own, ignores
// CNI_IFNAME and reads no CNI_ARGS, because runtimes call it with whatever they have at hand.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { readLoopback, setLoopback } from "../net/loopback.ts";
import { NetnsError, openNetns } from "../net/netns.ts";

const anything = v.object({});

export const loopback = definePlugin({
  name: "loopback",
  about: "Warren loopback: brings lo up in the container",
  config: anything,
  cleanup: anything,
  readsArguments: false,

  async add({ attachment, previous }): Promise<Result> {
    using netns = openNetns(attachment.netns);
    setLoopback(netns, true);
    if (previous !== undefined) return previous;
    const { link, addresses } = readLoopback(netns);
    return {
      interfaces: [{ name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns }],
      ips: addresses.map((address) => ({ interface: 0, address })),
      routes: [],
      dns: {},
    };
  },

  async del({ attachment }): Promise<void> {
    if (attachment.netns === "") return;
    try {
      using netns = openNetns(attachment.netns);
      setLoopback(netns, false);
    } catch (error) {
      // a namespace that is gone took its loopback with it
      if (!(error instanceof NetnsError)) throw error;
    }
  },

  async check({ attachment }): Promise<void> {
    using netns = openNetns(attachment.netns);
    if (readLoopback(netns).link.up) return;
    throw new CniError(ErrorCode.stateDiffers, `lo is down in ${attachment.netns}`, "ADD it again");
  },
});
