// The plugins that hand attachments on to other networks, as one piece of the executable (index.ts).
export { delegates } from "./delegates.ts";
export { pair } from "./pair.ts";
