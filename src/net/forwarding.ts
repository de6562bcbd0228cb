// Forwarding between interfaces of the host, which pods need to reach anything beyond their bridge.
import type { Family } from "../ip/address.ts";
import { ensureSetting, readSetting } from "./sysctl.ts";

const SETTINGS: Readonly<Record<Family, string>> = { 4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding" };

/** Makes the host forward packets of this family; throws SystemError. */
export function enableForwarding(family: Family): void {
  ensureSetting(SETTINGS[family], 1);
}

/** Makes the host forward packets of this family no more; throws SystemError. */
export function disableForwarding(family: Family): void {
  ensureSetting(SETTINGS[family], 0);
}

/** True if the host forwards packets of this family. */
export function forwards(family: Family): boolean {
  return readSetting(SETTINGS[family]) === "1";
}
