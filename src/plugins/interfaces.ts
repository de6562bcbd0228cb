// The plugins that make interfaces and those that give out addresses, as one piece of the executable: a call of the one
// usually needs the other, and every further piece costs a tenth of a millisecond.
export { fused } from "../attachment/fused.ts";
export { bridge } from "./bridge.ts";
export { dummy } from "./dummy.ts";
export { hostDevice } from "./host-device.ts";
export { hostLocal } from "./host-local.ts";
export { ipam } from "./ipam.ts";
export { ipvlan } from "./ipvlan.ts";
export { loopback } from "./loopback.ts";
export { macvlan } from "./macvlan.ts";
export { ptp } from "./ptp.ts";
export { fixedAddresses } from "./static.ts";
export { vlan } from "./vlan.ts";
