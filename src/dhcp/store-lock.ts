// Who may change the leases in a store: one daemon at a time or, where there is none, a plugin that gives one back. The lock
// goes with the process, however that ends.
import { CniError, ErrorCode } from "../cni/error.ts";
import { openStore } from "../store/sqlite.ts";
import { lockIfFree, truncateFile } from "../sys/directory.ts";
import { OpenFlag, openFile, readAll, writeAll } from "../sys/files.ts";

const FILE_NAME = "dhcp.lock";
/** The number of a process, a space and the path of a socket. */
const LONGEST_BYTES = 4096;
/** A plugin has the lock for a moment. */
const TRIES = 20;
const PAUSE_MS = 50;

/**
 * Takes the lock; `socketPath` is where the daemon that takes it listens, undefined for a plugin. Throws CniError 11 where a
 * daemon has it, StoreError and SystemError.
 */
export async function lockLeases(dataDir: string, socketPath: string | undefined): Promise<Disposable> {
  // the directory is the store's
  openStore(dataDir);
  const path = `${dataDir}/${FILE_NAME}`;
  const file = openFile(path, OpenFlag.readWrite | OpenFlag.create | OpenFlag.noFollow, 0o600);
  for (let tries = 1; !lockIfFree(file.fd, path); tries++) {
    const holder = new TextDecoder().decode(readAll(file.fd, path, LONGEST_BYTES)).trim();
    // one that ends has it for a moment more, which a plugin has time for
    if (tries === TRIES || (holder !== "" && socketPath !== undefined)) {
      file.close();
      throw new CniError(
        ErrorCode.tryAgainLater,
        `the leases in ${dataDir} are kept by another DHCP daemon${holder === "" ? "" : `: ${holder}`}`,
        "end that one first, or have daemonSocketPath lead to it",
      );
    }
    await Bun.sleep(PAUSE_MS);
  }
  truncateFile(file.fd, 0, path);
  if (socketPath !== undefined) {
    writeAll(file.fd, new TextEncoder().encode(`process ${process.pid}, at ${socketPath}\n`), path);
  }
  return {
    [Symbol.dispose]: () => {
      truncateFile(file.fd, 0, path);
      file.close();
    },
  };
}
