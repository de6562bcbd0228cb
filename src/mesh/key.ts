// The private key of this node, made once and kept in a file that nobody else can read: a node that starts again is to
// its peers the one that it was. What is wrong with a file is told without a byte of it.
import { PrivateKey } from "../net/wireguard-key.ts";
import {
  lockExclusively,
  makeDirectories,
  parentOf,
  removeFile,
  renameFile,
  syncFile,
} from "../sys/directory.ts";
import { OpenFlag, openFile, readAll, statDescriptor, statName, writeAll } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";

/** The key of a node. */
export interface MeshKey {
  readonly privateKey: PrivateKey;
  /** The one that belongs to it, which the other nodes are told: 44 characters. */
  readonly publicKey: string;
}

/** A file that can't be the key of a node. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";

  constructor(
    readonly path: string,
    readonly problem: string,
    /** What the operator can do about it. */
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(`key file ${JSON.stringify(path)} ${problem}`, options);
  }
}

/** A key and its line's end, and some room for what an editor may have left. */
const LIMIT_BYTES = 256;

/**
 * Returns the key in the file at `path`; where there is none, one is made first, with the folders that it stands in. Of
 * several that come at once all get the same one. Throws KeyFileError or SystemError.
 */
export async function ensureKey(path: string): Promise<MeshKey> {
  if (statName(path) === undefined) createKey(path);
  const key = await readKey(path);
  if (key === undefined) throw new KeyFileError(path, "was made and is gone", "start again");
  return key;
}

/** Returns the key in the file at `path`, as `wg genkey` spells it; undefined if there is none. Throws as `ensureKey` does. */
export async function readKey(path: string): Promise<MeshKey | undefined> {
  const text = readSecret(path);
  if (text === undefined) return undefined;
  const privateKey = PrivateKey.parse(text.trim());
  if (privateKey === undefined) {
    throw new KeyFileError(
      path,
      "has no key in it",
      "put 44 characters of base64 into it, as `wg genkey` prints them, or remove it and a new one is made",
    );
  }
  return { privateKey, publicKey: await privateKey.publicKey() };
}

function readSecret(path: string): string | undefined {
  try {
    using file = openFile(path, OpenFlag.readOnly | OpenFlag.noFollow);
    const { kind, mode, owner } = statDescriptor(file.fd);
    if (kind !== "file") throw new KeyFileError(path, "is no file", "remove it, or name another one");
    if ((mode & 0o077) !== 0) {
      const spelled = mode.toString(8).padStart(4, "0");
      throw new KeyFileError(path, `can be used by others (mode ${spelled})`, `chmod 600 ${path}`);
    }
    if (owner !== process.geteuid?.()) {
      throw new KeyFileError(path, `belongs to the user ${owner}`, `chown it to the user that runs this`);
    }
    return new TextDecoder().decode(readAll(file.fd, path, LIMIT_BYTES));
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    if (isSystemError(error, "ELOOP")) {
      throw new KeyFileError(path, "is a symbolic link", "name the file itself", { cause: error });
    }
    if (isSystemError(error, "EFBIG")) {
      throw new KeyFileError(path, `has more than ${LIMIT_BYTES} bytes`, "name the file with the key", {
        cause: error,
      });
    }
    throw error;
  }
}

/**
 * Puts a new key into the place of the one in the file at `path`, by one rename, and returns it: whoever reads
 * meanwhile finds the old one or the new one. Where there is none it is made. Throws as `ensureKey` does, and leaves
 * what is no key as it is.
 */
export async function replaceKey(path: string): Promise<MeshKey> {
  await readKey(path);
  writeKey(path, "anyway");
  return ensureKey(path);
}

/** Makes a key at `path` unless somebody else is quicker. */
function createKey(path: string): void {
  writeKey(path, "if there is none");
}

/** It is there whole or not at all, also after a power failure. */
function writeKey(path: string, when: "anyway" | "if there is none"): void {
  const parent = parentOf(path);
  makeDirectories(parent, 0o700);
  using folder = openFile(parent, OpenFlag.readOnly | OpenFlag.directory);
  lockExclusively(folder.fd, parent);
  if (when === "if there is none" && statName(path) !== undefined) return;
  const draft = `${path}.new`;
  // of one that was killed; nobody else is here meanwhile
  removeFile(draft);
  try {
    using file = openFile(
      draft,
      OpenFlag.writeOnly | OpenFlag.create | OpenFlag.exclusive | OpenFlag.noFollow,
      0o600,
    );
    writeAll(file.fd, new TextEncoder().encode(`${PrivateKey.generate().spell()}\n`), draft);
    syncFile(file.fd, draft);
    renameFile(draft, path);
  } catch (error) {
    removeFile(draft);
    throw error;
  }
  syncFile(folder.fd, parent);
}
