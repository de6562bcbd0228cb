// The plugins that stand behind others in most chains, as one piece of the executable (index.ts). A call that needs
// none of them does not pay for them.
export { bandwidth } from "./bandwidth.ts";
export { firewall } from "./firewall.ts";
export { portmap } from "./portmap.ts";
export { tuning } from "./tuning.ts";
