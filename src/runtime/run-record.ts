// What `warren run` is about to make, written down before it makes it, in a file that it keeps locked. One that nobody
// locks is of a run that was killed, also one of the boot before: whoever finds it knows what to take back.
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { describeError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { isObject, type JsonObject, parseJson, sortedJson } from "../conflist/json.ts";
import type { NetworkList } from "../conflist/network-list.ts";
import { lockIfFree, removeFile } from "../sys/directory.ts";
import { OpenFlag, openFile, readAll, statDescriptor, statFile, writeAll } from "../sys/files.ts";
import { type Descriptor, isSystemError } from "../sys/libc.ts";
import type { Attachment } from "./attachment.ts";

/** One attachment of a run, with the network as it was when the run began. */
export interface PlannedAttachment {
  readonly list: NetworkList;
  readonly attachment: Attachment;
}

/** What a run makes: a namespace, and attachments in the order of their ADDs. */
export interface RunPlan {
  readonly netns: string;
  readonly attachments: readonly PlannedAttachment[];
}

const LIMIT_BYTES = 16 << 20;

const object = v.custom<JsonObject>(isObject, "an object");

const planSchema = v.object({
  netns: v.string(),
  attachments: v.array(
    v.object({
      list: v.object({
        name: v.string(),
        cniVersion: v.string(),
        plugins: v.array(
          v.object({
            type: v.string(),
            name: v.string(),
            cniVersion: v.string(),
            capabilities: v.array(v.string()),
            document: object,
          }),
        ),
      }),
      attachment: v.object({
        containerId: v.string(),
        netns: v.string(),
        ifname: v.string(),
        args: v.array(v.tuple([v.string(), v.string()])),
        capabilityArgs: object,
      }),
    }),
  ),
});

/** Returns the folder of the records beside a cache. */
function folderIn(cacheFolder: string): string {
  return join(cacheFolder, "warren-runs");
}

/** The record of a run: locked until it is disposed of, there until it is ended. */
export class RunRecord implements Disposable {
  private constructor(
    private readonly path: string,
    private readonly lock: Descriptor,
    readonly plan: RunPlan,
  ) {}

  /** Writes down what the run called `name` makes. Throws SystemError. */
  static begin(cacheFolder: string, name: string, plan: RunPlan): RunRecord {
    const folder = folderIn(cacheFolder);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${name}.json`);
    for (;;) {
      const file = openFile(path, OpenFlag.readWrite | OpenFlag.create | OpenFlag.noFollow, 0o600);
      // between its making and its locking somebody may take it for one that was left, and remove it
      if (!lockIfFree(file.fd, path) || statFile(path)?.inode !== statDescriptor(file.fd).inode) {
        file.close();
        continue;
      }
      writeAll(file.fd, new TextEncoder().encode(textOf(plan)), path);
      return new RunRecord(path, file, plan);
    }
  }

  /** Returns the records of runs that were killed, locked. What can't be read is told to `broken`, and removed. */
  static abandoned(cacheFolder: string, broken: (problem: string) => void): RunRecord[] {
    const folder = folderIn(cacheFolder);
    const found: RunRecord[] = [];
    for (const name of namesIn(folder)) {
      const path = join(folder, name);
      const file = openIfThere(path);
      if (file === undefined) continue;
      if (!lockIfFree(file.fd, path)) {
        file.close();
        continue;
      }
      try {
        found.push(new RunRecord(path, file, readPlan(file, path)));
      } catch (error) {
        // a record that was not finished is of a run that had made nothing yet
        broken(describeError(error));
        removeFile(path);
        file.close();
      }
    }
    return found;
  }

  /** Forgets the run: everything is taken back. Throws SystemError. */
  end(): void {
    removeFile(this.path);
  }

  [Symbol.dispose](): void {
    this.lock.close();
  }
}

/** All that a DEL needs of a list is its name, version and plugins. */
function textOf({ netns, attachments }: RunPlan): string {
  return sortedJson({
    netns,
    attachments: attachments.map(({ list: { name, cniVersion, plugins }, attachment }) => ({
      list: { name, cniVersion, plugins },
      attachment,
    })),
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function openIfThere(path: string): Descriptor | undefined {
  try {
    return openFile(path, OpenFlag.readOnly | OpenFlag.noFollow);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}

function readPlan(file: Descriptor, path: string): RunPlan {
  const text = new TextDecoder().decode(readAll(file.fd, path, LIMIT_BYTES));
  const { netns, attachments } = parseInput(
    planSchema,
    parseJson(text, path),
    ErrorCode.decodingFailure,
    path,
  );
  return {
    netns,
    attachments: attachments.map(({ list, attachment }) => ({
      list: { ...list, disableCheck: false, disableGC: false, bytes: new Uint8Array(), dropIns: [] },
      attachment,
    })),
  };
}
