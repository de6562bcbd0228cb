// The bridge and the plugins that give out addresses, as one piece of the executable: most calls are one of the bridge's, and
// need both. Whatever else stood here would cost each of them memory for schemas that nobody looks at.
export { fused } from "../attachment/fused.ts";
export { bridge } from "./bridge.ts";
export { hostLocal } from "./host-local.ts";
export { ipam } from "./ipam.ts";
export { fixedAddresses } from "./static.ts";
