// The plugins that make other interfaces than the bridge does, as one piece of the executable: every further piece costs a
// tenth of a millisecond.
export { fused } from "../attachment/fused.ts";
export { dummy } from "./dummy.ts";
export { hostDevice } from "./host-device.ts";
export { ipvlan } from "./ipvlan.ts";
export { loopback } from "./loopback.ts";
export { macvlan } from "./macvlan.ts";
export { ptp } from "./ptp.ts";
export { vlan } from "./vlan.ts";
