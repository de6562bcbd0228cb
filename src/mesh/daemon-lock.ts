// One daemon at a time keeps the mesh of a node: the lock goes with the process, however that ends, and the file tells who has
// it.
import { CniError, ErrorCode } from "../cni/error.ts";
import { lockIfFree, makeDirectories, parentOf, removeFile, truncateFile } from "../sys/directory.ts";
import { OpenFlag, openFile, readAll, statDescriptor, statFile, writeAll } from "../sys/files.ts";
import type { MeshNames } from "./plan.ts";

/** The number of a process, and a line's end. */
const LONGEST_BYTES = 16;

/** Where the lock of a mesh is. */
function lockPath({ record }: Pick<MeshNames, "record">): string {
  return `${record.replace(/\.json$/, "")}.lock`;
}

/** Returns the number of the process that keeps the mesh; undefined if none does. Throws SystemError. */
export function daemonOf(names: Pick<MeshNames, "record">): number | undefined {
  const path = lockPath(names);
  if (statFile(path) === undefined) return undefined;
  using file = openFile(path, OpenFlag.readOnly | OpenFlag.noFollow);
  if (lockIfFree(file.fd, path)) return undefined;
  const holder = Number(new TextDecoder().decode(readAll(file.fd, path, LONGEST_BYTES)));
  return Number.isInteger(holder) && holder > 1 ? holder : undefined;
}

/**
 * Takes the lock; throws CniError 11 where a daemon has it, and SystemError. The file goes with the lock, if that is
 * given back.
 */
export function lockDaemon(names: MeshNames): Disposable {
  const path = lockPath(names);
  makeDirectories(parentOf(path), 0o700);
  for (;;) {
    const file = openFile(path, OpenFlag.readWrite | OpenFlag.create | OpenFlag.noFollow, 0o600);
    if (!lockIfFree(file.fd, path)) {
      const holder = new TextDecoder().decode(readAll(file.fd, path, LONGEST_BYTES)).trim();
      file.close();
      throw new CniError(
        ErrorCode.tryAgainLater,
        `the mesh ${names.network} is kept by a daemon${holder === "" ? "" : `: process ${holder}`}`,
        "end that one first",
      );
    }
    // whoever had it may have removed it in between
    if (statDescriptor(file.fd).inode !== statFile(path)?.inode) {
      file.close();
      continue;
    }
    truncateFile(file.fd, 0, path);
    writeAll(file.fd, new TextEncoder().encode(`${process.pid}\n`), path);
    return {
      [Symbol.dispose]: () => {
        removeFile(path);
        file.close();
      },
    };
  }
}
