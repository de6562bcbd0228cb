// The plugin `dummy`: gives a container addresses of its own on an interface that leads nowhere, so that programs can listen
// on them whatever becomes of the other interfaces. It vanishes with the container's namespace at the latest.
import * as v from "valibot";
import { refuseTakenName, reportedInterface, verifyInterface } from "../attachment/container-interface.ts";
import { addOwnInterface, collectOwnInterfaces, endOwnInterface } from "../attachment/own-interface.ts";
import { dataDirOf, ipamTypeOf, type PlaceKeys, placeEntries, runtimeDns } from "../attachment/settings.ts";
import { requireWritten } from "../attachment/written.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { createDummy } from "../net/dummy.ts";
import { routeFrom } from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { openNetns } from "../net/netns.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const KIND = { plugin: "dummy", kind: "dummy" } as const;

const config = v.object({
  ...placeEntries,
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

/** Returns the type of the IPAM plugin; throws CniError 7 if there is none. */
function requiredIpam(config: PlaceKeys): string {
  const type = ipamTypeOf(config);
  if (type !== undefined) return type;
  // clients know this message
  const message = "dummy interface requires an IPAM configuration";
  throw new CniError(ErrorCode.invalidConfig, message, "add ipam: without addresses it is good for nothing");
}

export const dummy = definePlugin({
  name: KIND.plugin,
  about: "Warren dummy: gives containers addresses on an interface that leads nowhere",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const { attachment } = call;
    const ipamType = requiredIpam(call.config);
    using netns = openNetns(attachment.netns);
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    return await addOwnInterface(
      call,
      KIND,
      { netns, inside },
      {
        ...{ ipamType, dataDir: dataDirOf(call.config), dns: undefined },
        make: (alias) => createDummy(inside, attachment.ifname, alias),
      },
    );
  },

  async del(call): Promise<void> {
    await endOwnInterface(call, KIND);
  },

  async check(call): Promise<void> {
    const { attachment, previous } = call;
    const ipamType = requiredIpam(call.config);
    const reported = reportedInterface(previous, attachment.ifname);
    using netns = openNetns(attachment.netns);
    using inside = connectInside(netns);
    verifyInterface(inside, attachment.netns, {
      kind: KIND.kind,
      reported,
      routes: (previous?.routes ?? []).map((route) => routeFrom(route, reported.addresses)),
      mtu: reported.one.mtu,
    });
    await requireWritten(call, KIND.plugin, dataDirOf(call.config));
    await (await call.delegate(ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const ipamType = requiredIpam(config);
    await openStore(dataDirOf(config)).transaction(beat);
    using host = connectHost();
    probeLinkDriver(host, "dummy");
    await (await delegate(ipamType)).status();
  },

  async gc(call): Promise<void> {
    await collectOwnInterfaces(call, KIND);
  },
});
