// The plugins that stand behind others in few chains, as one piece of the executable (index.ts). Those of most chains
// (chained.ts) do not pay for them.
export { lat, netem } from "./netem.ts";
export { quickack } from "./quickack.ts";
export { rewrite } from "./rewrite.ts";
export { sbr } from "./sbr.ts";
export { trace } from "./trace.ts";
export { vrf } from "./vrf.ts";
