// The directory in which the reference plugin host-local keeps a network's leases: one file for each address, its
// name the address and its content the container's id and interface. As long as a host has the directory it is read
// before an address is chosen, and kept up to date, so that pods of either plugin live on when the other takes over.
import { type Address, formatAddress, parseAddress } from "../ip/address.ts";
import { lockExclusively, removeFile } from "../sys/directory.ts";
import { OpenFlag, openFile, readText, statFile, writeAll } from "../sys/files.ts";
import { type Descriptor, isSystemError } from "../sys/libc.ts";

/** Where host-local keeps its files unless `dataDir` says otherwise. */
export const DEFAULT_FILES_DIR = "/var/lib/cni/networks";

/** What the file of an address says of its holder. */
export interface LeaseFile {
  readonly address: Address;
  readonly containerId: string;
  /** The interface; empty where a host-local of old wrote down the container's id only. */
  readonly ifname: string;
}

/** The holder that a lease file names. */
export type LeaseFileOwner = Pick<LeaseFile, "containerId" | "ifname">;

/** The files of one network, locked against the reference plugin until they are disposed of. */
export class LeaseFiles implements Disposable {
  private constructor(
    readonly directory: string,
    private readonly lock: Descriptor,
  ) {}

  /** Returns the files of a network, or undefined if there is no such directory. Throws SystemError. */
  static open(dataDir: string, network: string): LeaseFiles | undefined {
    const directory = `${dataDir}/${network}`;
    if (statFile(directory)?.kind !== "directory") return undefined;
    const path = `${directory}/lock`;
    // the mode is the reference's: either of the two may be the one that makes the file; never through somebody's link
    const lock = openFile(path, OpenFlag.readOnly | OpenFlag.create | OpenFlag.noFollow, 0o750);
    try {
      lockExclusively(lock.fd, path);
    } catch (error) {
      lock.close();
      throw error;
    }
    return new LeaseFiles(directory, lock);
  }

  /**
   * Returns the leases, and the names of the files without content. Those are what a crash left between making a
   * file and writing it: nobody holds such an address. Files that are not called after an address are left out.
   */
  list(): { readonly leases: readonly LeaseFile[]; readonly empty: readonly string[] } {
    const leases: LeaseFile[] = [];
    const empty: string[] = [];
    for (const name of new Bun.Glob("*").scanSync({ cwd: this.directory, onlyFiles: true })) {
      const address = parseAddress(name);
      if (address === undefined) continue;
      const owner = ownerIn(readText(`${this.directory}/${name}`));
      if (owner === undefined) empty.push(name);
      else leases.push({ address, ...owner });
    }
    return { leases, empty };
  }

  /** Returns when an address was given out, in milliseconds since 1970, as its file says. */
  givenAtMs(address: Address): number {
    return Bun.file(this.#pathOf(address)).lastModified;
  }

  /** Returns the address that range set number `index` gave out last, if that is known. */
  lastOf(index: number): Address | undefined {
    try {
      return parseAddress(readText(this.#cursorPath(index)).trim());
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Writes down that `owner` holds the address, given out of range set number `index`. Throws SystemError. */
  write({ address, containerId, ifname }: LeaseFile, index: number): void {
    write(this.#pathOf(address), `${containerId}\r\n${ifname}`);
    write(this.#cursorPath(index), formatAddress(address));
  }

  /** Removes the files that `isGone` says are of nobody any more, and returns what they said. */
  remove(isGone: (lease: LeaseFile) => boolean): LeaseFile[] {
    const gone = this.list().leases.filter(isGone);
    for (const { address } of gone) removeFile(this.#pathOf(address));
    return gone;
  }

  /** Removes the files of an attachment; those with just its container's id if there are no others. */
  removeOf({ containerId, ifname }: LeaseFileOwner): void {
    const own = this.remove((lease) => lease.containerId === containerId && lease.ifname === ifname);
    if (own.length > 0) return;
    this.remove((lease) => lease.containerId === containerId && lease.ifname === "");
  }

  /**
   * Returns all leases, and removes the files without content, telling their names: nobody can be writing them as
   * long as we have the lock, so they are of nobody, and the reference would never give out their addresses again.
   */
  tidy(removed: (name: string) => void): readonly LeaseFile[] {
    const { leases, empty } = this.list();
    for (const name of empty) {
      removeFile(`${this.directory}/${name}`);
      removed(name);
    }
    return leases;
  }

  #pathOf(address: Address): string {
    return `${this.directory}/${formatAddress(address)}`;
  }

  #cursorPath(index: number): string {
    return `${this.directory}/last_reserved_ip.${index}`;
  }

  [Symbol.dispose](): void {
    this.lock.close();
  }
}

/** Returns the holder in the content of a lease file; undefined if it has none. */
export function ownerIn(content: string): LeaseFileOwner | undefined {
  const [containerId = "", ifname = ""] = content.trim().split("\n", 2);
  return containerId === "" ? undefined : { containerId: containerId.trim(), ifname: ifname.trim() };
}

function write(path: string, text: string): void {
  const flags = OpenFlag.writeOnly | OpenFlag.create | OpenFlag.truncate | OpenFlag.noFollow;
  using file = openFile(path, flags, 0o600);
  writeAll(file.fd, new TextEncoder().encode(text), path);
}
