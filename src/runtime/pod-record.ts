// What a pod of the operator's tool consists of, written down before any of it is made, so that whoever comes later, also
// after SIGKILL or a reboot, knows what to take back. Each pod has a directory: its plan, what has been made of it so far,
// its resolv.conf. Whoever makes a pod or takes it back keeps the directory locked, and `warren run` as long as it runs.
import { mkdirSync, readdirSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { isObject, type JsonObject, parseJson, sortedJson } from "../conflist/json.ts";
import type { NetworkList } from "../conflist/network-list.ts";
import { lockIfFree, removeFile } from "../sys/directory.ts";
import { OpenFlag, openFile, readBytes, statDescriptor, statFile } from "../sys/files.ts";
import { type Descriptor, isSystemError } from "../sys/libc.ts";
import type { Attachment } from "./attachment.ts";

/** One attachment of a pod, with the network as it was when the pod was planned. */
export interface PlannedAttachment {
  readonly list: NetworkList;
  readonly attachment: Attachment;
}

/** What is to be made: a namespace, and attachments in the order of their ADDs. */
export interface PodPlan {
  /** `run`: lives as long as its command, and goes by itself. `pod`: stays until it is removed. */
  readonly kind: "pod" | "run";
  readonly containerId: string;
  /** The path where the namespace is pinned. */
  readonly netns: string;
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  /** The boot in which it was planned: no namespace of an earlier one is there any more. */
  readonly bootId: string;
  readonly attachments: readonly PlannedAttachment[];
}

/** How far the making of a pod has come. */
export interface PodProgress {
  /** What tells the pod's namespace from any other that gets its path later (net/netns.ts). */
  readonly netnsIdentity: string;
  /** True once the pod is attached to all its networks. */
  readonly isComplete: boolean;
}

const LIMIT_BYTES = 16 << 20;
const PLAN = "plan.json";
const PROGRESS = "progress.json";
const RESOLVER_CONFIG = "resolv.conf";

const object = v.custom<JsonObject>(isObject, "an object");
const words = v.record(v.string(), v.string());

const planSchema = v.object({
  kind: v.picklist(["pod", "run"]),
  containerId: v.string(),
  netns: v.string(),
  hostname: v.string(),
  labels: words,
  annotations: words,
  createdAtMs: v.number(),
  bootId: v.string(),
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

const progressSchema = v.object({ netnsIdentity: v.string(), isComplete: v.boolean() });

/** A pod as its record tells it, without a lock: it may be gone a moment later. */
export interface RecordedPod {
  readonly name: string;
  readonly plan: PodPlan;
  /** Undefined as long as not even the namespace is there. */
  readonly progress: PodProgress | undefined;
  /** True while a process makes it, takes it back, or runs in it by `warren run`. */
  readonly isLocked: boolean;
  /** The path of its resolv.conf; undefined where no network said anything about names. */
  readonly resolverConfig: string | undefined;
}

/** The pods that are written down beside one cache. */
export class PodRecords {
  /** The folder with a directory for each pod. */
  readonly folder: string;

  constructor(cacheFolder: string) {
    this.folder = join(cacheFolder, "warren-pods");
  }

  /**
   * Writes down a pod that is about to be made and returns its record, locked. `name` must be a file name. Throws
   * CniError 102 where there is a pod of that name, whole or not, and SystemError.
   */
  begin(name: string, plan: PodPlan): PodRecord {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const path = join(this.folder, name);
    for (;;) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      const directory = openIfThere(path);
      // between its making and its locking somebody may take it for one that was left, and remove it
      if (directory === undefined) continue;
      const isFree = lockIfFree(directory.fd, path);
      if (isFree && statFile(path)?.inode !== statDescriptor(directory.fd).inode) {
        directory.close();
        continue;
      }
      const isPlanned = statFile(join(path, PLAN)) !== undefined;
      if (!isFree && !isPlanned) {
        // somebody is about to write one, or to remove what was left of one
        directory.close();
        Bun.sleepSync(1);
        continue;
      }
      if (isPlanned) {
        directory.close();
        throw new CniError(
          ErrorCode.nameTaken,
          `there is a pod ${JSON.stringify(name)} already`,
          `see warren pod list; warren pod rm ${name} removes it`,
        );
      }
      try {
        replaceFile(path, PLAN, textOf(plan));
      } catch (error) {
        removeDirectory(path);
        directory.close();
        throw error;
      }
      return new PodRecord(path, directory, { name, plan, progress: undefined });
    }
  }

  /**
   * Returns the pod's record, locked; "busy" while somebody else has it locked, undefined if there is none. Throws CniError
   * 6 or 7 if it can't be read.
   */
  take(name: string): PodRecord | "busy" | undefined {
    const path = join(this.folder, name);
    const directory = openIfThere(path);
    if (directory === undefined) return undefined;
    if (!lockIfFree(directory.fd, path)) {
      directory.close();
      return "busy";
    }
    try {
      const plan = readPlan(path);
      if (plan !== undefined)
        return new PodRecord(path, directory, { name, plan, progress: readProgress(path) });
      // whoever began it was killed before anything was made
      removeDirectory(path);
    } catch (error) {
      directory.close();
      throw error;
    }
    directory.close();
    return undefined;
  }

  /** Removes a record that can't be read, and nothing else of the pod. Throws SystemError. */
  discard(name: string): void {
    removeDirectory(join(this.folder, name));
  }

  /** Returns the pod of that name as it is written down, undefined if there is none. Throws CniError 6 or 7. */
  find(name: string): RecordedPod | undefined {
    const path = join(this.folder, name);
    const plan = readPlan(path);
    if (plan === undefined) return undefined;
    const resolverConfig = join(path, RESOLVER_CONFIG);
    return {
      name,
      plan,
      progress: readProgress(path),
      isLocked: isLocked(path),
      resolverConfig: statFile(resolverConfig) === undefined ? undefined : resolverConfig,
    };
  }

  /** Returns the names of all records, also of broken ones. Throws Error if the folder can't be listed. */
  names(): string[] {
    try {
      return readdirSync(this.folder).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  }

  /** Returns all pods that are written down, by name. What can't be read is told to `broken`. */
  list(broken: (problem: string) => void): RecordedPod[] {
    return this.names().flatMap((name) => {
      try {
        return this.find(name) ?? [];
      } catch (error) {
        broken(describeError(error));
        return [];
      }
    });
  }
}

/** The record of a pod: locked until it is disposed of, there until it is ended. */
export class PodRecord implements Disposable {
  readonly name: string;
  readonly plan: PodPlan;
  #progress: PodProgress | undefined;

  constructor(
    private readonly path: string,
    private readonly lock: Descriptor,
    state: Pick<RecordedPod, "name" | "plan" | "progress">,
  ) {
    this.name = state.name;
    this.plan = state.plan;
    this.#progress = state.progress;
  }

  get progress(): PodProgress | undefined {
    return this.#progress;
  }

  /** Writes down how far the pod has come. Throws Error if it can't be written. */
  note(progress: PodProgress): void {
    replaceFile(this.path, PROGRESS, sortedJson({ ...progress }));
    this.#progress = progress;
  }

  /** Writes the file that stands in the place of /etc/resolv.conf for commands in the pod. Throws Error. */
  writeResolverConfig(text: string): void {
    replaceFile(this.path, RESOLVER_CONFIG, text, 0o644);
  }

  /** Forgets the pod: everything is taken back. Throws SystemError. */
  end(): void {
    removeDirectory(this.path);
  }

  [Symbol.dispose](): void {
    this.lock.close();
  }
}

/** All that a DEL needs of a list is its name, version and plugins. */
function textOf(plan: PodPlan): string {
  return sortedJson({
    ...plan,
    attachments: plan.attachments.map(({ list: { name, cniVersion, plugins }, attachment }) => ({
      list: { name, cniVersion, plugins },
      attachment,
    })),
  });
}

/** Writes a file of a record so that a reader finds it whole or not at all. */
function replaceFile(directory: string, name: string, text: string, mode = 0o600): void {
  const unfinished = join(directory, `.${name}`);
  // what a killed one has left, or a link that somebody put there, is never written to
  removeFile(unfinished);
  writeFileSync(unfinished, text, { mode, flag: "wx" });
  renameSync(unfinished, join(directory, name));
}

/** Removes a record; the plan goes last, because without it nobody knows what else there is. */
function removeDirectory(path: string): void {
  const files = [RESOLVER_CONFIG, PROGRESS].flatMap((name) => [`.${name}`, name]);
  for (const name of [...files, `.${PLAN}`, PLAN]) removeFile(join(path, name));
  try {
    rmdirSync(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

function openIfThere(path: string): Descriptor | undefined {
  try {
    return openFile(path, OpenFlag.readOnly | OpenFlag.directory | OpenFlag.noFollow);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isLocked(path: string): boolean {
  const directory = openIfThere(path);
  if (directory === undefined) return false;
  using _ = directory;
  return !lockIfFree(directory.fd, path);
}

function textIn(path: string): string | undefined {
  try {
    return new TextDecoder().decode(readBytes(path, LIMIT_BYTES));
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

function readPlan(directory: string): PodPlan | undefined {
  const path = join(directory, PLAN);
  const text = textIn(path);
  if (text === undefined) return undefined;
  const plan = parseInput(planSchema, parseJson(text, path), ErrorCode.decodingFailure, path);
  return {
    ...plan,
    attachments: plan.attachments.map(({ list, attachment }) => ({
      list: { ...list, disableCheck: false, disableGC: false, bytes: new Uint8Array(), dropIns: [] },
      attachment,
    })),
  };
}

function readProgress(directory: string): PodProgress | undefined {
  const path = join(directory, PROGRESS);
  const text = textIn(path);
  if (text === undefined) return undefined;
  return parseInput(progressSchema, parseJson(text, path), ErrorCode.decodingFailure, path);
}
