// What programs print as JSON (ip, tc, nft, our own), which tests look into at any depth.

/** A value out of such JSON. A look at what is not there gives undefined, or throws, and fails the test either way. */
// biome-ignore lint/suspicious/noExplicitAny: nobody has types for what other programs print
export type Printed = any;
