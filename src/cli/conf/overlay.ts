// A list beside the one that somebody else owns: both name the same network, and the overlay, whose name comes first, is
// the one that runtimes take. The other file is never written.
import { join } from "node:path";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { readConfFolder } from "../../runtime/conf-folder.ts";

/** The overlay's name in the folder. */
export const OVERLAY_NAME = "00-warren-overlay.conflist";

/** Where a keeper writes: into the file that it reads, or into a file of its own that is made of that. */
export type KeepTarget =
  | { readonly kind: "edit"; readonly fileOf: () => string }
  | {
      readonly kind: "overlay";
      readonly file: string;
      /** Returns the path of the list that the overlay is made of; undefined if there is none any more. */
      readonly sourceOf: () => string | undefined;
    };

/** Returns the overlay of the folder. Its source is the first other file; throws CniError 7 for one that is no list. */
export function overlayTarget(folder: string): KeepTarget & { readonly kind: "overlay" } {
  return {
    kind: "overlay",
    file: join(folder, OVERLAY_NAME),
    sourceOf() {
      const source = readConfFolder(folder).files.find(({ name }) => name !== OVERLAY_NAME);
      if (source === undefined) return undefined;
      if (source.name < OVERLAY_NAME) {
        const message = `${source.name} comes before ${OVERLAY_NAME}, which nobody would take`;
        throw new CniError(ErrorCode.invalidConfig, message, "give it a name that comes later");
      }
      if (source.form === "single") {
        const message = `${source.name} is a single config, which has one plugin only`;
        throw new CniError(ErrorCode.invalidConfig, message, "make it a list in a .conflist");
      }
      if (source.problem !== undefined) throw source.problem;
      return source.path;
    },
  };
}
