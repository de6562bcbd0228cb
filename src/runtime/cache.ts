// What a runtime must remember of an ADD to be able to CHECK and DEL it: libcni's cache, one file an attachment
// under <folder>/results, in libcni's format (libcni/api.go, cachedInfo), so that Warren, cnitool and every other
// user of libcni can take over each other's attachments.
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { checkNetworkName } from "../cni/names.ts";
import { isObject, type JsonObject, parseJson } from "../conflist/json.ts";
import { removeFile } from "../sys/directory.ts";
import { readBytes } from "../sys/files.ts";
import { type Attachment, checkAttachment } from "./attachment.ts";

/** libcni's default folder. */
export const DEFAULT_CACHE_FOLDER = "/var/lib/cni";

const KIND = "cniCacheV1";

/** An attachment as it was added, with what its ADD said. */
export interface CachedAttachment extends Attachment {
  readonly network: string;
  /** The bytes of the network list that it was added with. */
  readonly config: Uint8Array;
  /** The result as it stands in the file, in the version that it names. */
  readonly result: JsonObject | undefined;
}

/** Which attachment of which network. */
export interface CacheKey extends Pick<Attachment, "containerId" | "ifname"> {
  readonly network: string;
}

const fileSchema = v.object({
  kind: v.literal(KIND),
  containerId: v.string(),
  config: v.nullish(v.string(), ""),
  ifName: v.string(),
  networkName: v.string(),
  netns: v.nullish(v.string(), ""),
  cniArgs: v.nullish(v.array(v.tuple([v.string(), v.string()])), []),
  capabilityArgs: v.nullish(v.custom<JsonObject>(isObject, "an object"), {}),
  result: v.nullish(v.custom<JsonObject>(isObject, "an object")),
});

/** libcni's cache in one folder. */
export class AttachmentCache {
  constructor(private readonly folder: string = DEFAULT_CACHE_FOLDER) {}

  /**
   * Writes the attachment's file, whole or not at all: a reader never sees half of it. Folder 0700, file 0600.
   * Throws CniError 5 if it can't be written.
   */
  write(attachment: CachedAttachment): void {
    const file = this.fileOf(attachment);
    // beside the folder of results, which others list and read whatever is in it
    const unfinished = join(this.folder, `.unfinished-${process.pid}-${Bun.randomUUIDv7()}`);
    const text = JSON.stringify({
      kind: KIND,
      containerId: attachment.containerId,
      config: Buffer.from(attachment.config).toString("base64"),
      ifName: attachment.ifname,
      networkName: attachment.network,
      netns: attachment.netns === "" ? undefined : attachment.netns,
      cniArgs: attachment.args.length === 0 ? undefined : attachment.args,
      capabilityArgs:
        Object.keys(attachment.capabilityArgs).length === 0 ? undefined : attachment.capabilityArgs,
      result: attachment.result,
    });
    try {
      mkdirSync(join(this.folder, "results"), { recursive: true, mode: 0o700 });
      writeFileSync(unfinished, text, { mode: 0o600, flag: "wx" });
      try {
        renameSync(unfinished, file);
      } catch (error) {
        removeFile(unfinished);
        throw error;
      }
    } catch (error) {
      throw new CniError(
        ErrorCode.ioFailure,
        `failed to set network ${JSON.stringify(attachment.network)} cached result: ${describeError(error)}`,
        `the cache folder is ${this.folder}; name another by --cache-dir`,
        { cause: error },
      );
    }
  }

  /**
   * Returns what is remembered of an attachment, or undefined if nothing is or its file can't be read. A file that
   * holds a bare result, as libcni before 0.8 wrote it, tells the result alone. Throws CniError 6 if the file is
   * there and broken.
   */
  read(key: CacheKey): CachedAttachment | undefined {
    const file = this.fileOf(key);
    let text: string;
    try {
      text = textOf(file);
    } catch {
      return undefined;
    }
    const document = parseJson(text, file);
    if (isObject(document) && document.kind === KIND) return decode(document, file);
    if (!isObject(document) || "kind" in document) {
      throw new CniError(ErrorCode.decodingFailure, `${file} is no cached attachment`, `expected "${KIND}"`);
    }
    const unknown = { netns: "", args: [], capabilityArgs: {}, config: new Uint8Array() };
    return { ...key, ...unknown, result: document };
  }

  /** Forgets an attachment; one that is not remembered is success. Throws CniError 5 if the file stays. */
  remove(key: CacheKey): void {
    const file = this.fileOf(key);
    try {
      removeFile(file);
    } catch (error) {
      throw new CniError(ErrorCode.ioFailure, `error removing ${file}: ${describeError(error)}`, "", {
        cause: error,
      });
    }
  }

  /**
   * Returns every attachment of `network`, or of all for undefined, in the order of the file names. Files of others,
   * bare results and broken files are passed over (libcni GetCachedAttachments): one broken file must not stop the
   * others' GC. `broken` is called with a line about each that can't be read. Throws CniError 5 if the folder is there
   * and can't be listed.
   */
  list(network: string | undefined, broken: (problem: string) => void): CachedAttachment[] {
    const folder = join(this.folder, "results");
    const found: CachedAttachment[] = [];
    for (const name of this.names(folder)) {
      const file = join(folder, name);
      try {
        const document = parseJson(readText(file), file);
        if (!isObject(document) || document.kind !== KIND) continue;
        if (network !== undefined && document.networkName !== network) continue;
        const attachment = decode(document, file);
        checkAttachment(attachment);
        found.push(attachment);
      } catch (error) {
        broken(describeError(error));
      }
    }
    return found;
  }

  private names(folder: string): string[] {
    try {
      return readdirSync(folder).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw new CniError(ErrorCode.ioFailure, `error reading ${folder}: ${describeError(error)}`, "", {
        cause: error,
      });
    }
  }

  /** Throws CniError 4 or 7 for a name that would lead out of the folder. */
  private fileOf(key: CacheKey): string {
    checkNetworkName(key.network);
    checkAttachment(key);
    return join(this.folder, "results", `${key.network}-${key.containerId}-${key.ifname}`);
  }
}

/** A config of the longest kind in base64, with a result as long beside it. */
const LONGEST_FILE_BYTES = 64 << 20;

function textOf(file: string): string {
  return new TextDecoder().decode(readBytes(file, LONGEST_FILE_BYTES));
}

function readText(file: string): string {
  try {
    return textOf(file);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error reading ${file}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

function decode(document: JsonObject, file: string): CachedAttachment {
  const cached = parseInput(fileSchema, document, ErrorCode.decodingFailure, file);
  return {
    network: cached.networkName,
    containerId: cached.containerId,
    ifname: cached.ifName,
    netns: cached.netns,
    args: cached.cniArgs,
    capabilityArgs: cached.capabilityArgs,
    config: Buffer.from(cached.config, "base64"),
    result: cached.result ?? undefined,
  };
}
