// The plugins that make other interfaces than pairs on a bridge, as one piece of the executable (index.ts).
export { dummy } from "./dummy.ts";
export { hostDevice } from "./host-device.ts";
export { ipvlan } from "./ipvlan.ts";
export { loopback } from "./loopback.ts";
export { macvlan } from "./macvlan.ts";
export { ptp } from "./ptp.ts";
export { tap } from "./tap.ts";
export { vlan } from "./vlan.ts";
