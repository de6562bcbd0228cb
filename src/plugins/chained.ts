// The plugins that stand behind others in a chain, as one piece of the executable (index.ts). A call that needs
// none of them does not pay for them.
export { bandwidth } from "./bandwidth.ts";
export { firewall } from "./firewall.ts";
export { lat, netem } from "./netem.ts";
export { portmap } from "./portmap.ts";
export { quickack } from "./quickack.ts";
export { rewrite } from "./rewrite.ts";
export { sbr } from "./sbr.ts";
export { trace } from "./trace.ts";
export { tuning } from "./tuning.ts";
export { vrf } from "./vrf.ts";
