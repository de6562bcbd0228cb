// kill -9 at every step of `warren node up` and `down`: another `up` makes the rest, and `down` leaves nothing.
import { describe, expect } from "bun:test";
import { testWith } from "../support/sandbox.ts";
import { NODE_VERBS, nodeKillsOf } from "./mesh-ordeal.ts";
import { problemsOf } from "./ordeal.ts";
import { strace } from "./steps.ts";

describe("a node of a mesh", () => {
  for (const verb of NODE_VERBS) {
    testWith(strace)(
      `S3-W01 S3-W02 killed at any step of node ${verb}: up makes the rest, and down leaves nothing`,
      async () => expect(await problemsOf(await nodeKillsOf({ verb, backend: "vxlan" }, 4))).toBe(""),
      3_600_000,
    );
  }
});
