// Where scenarios play: the throwaway namespaces that this process is in, with pods beside it, a folder on the
// machine's disk for what contestants keep, and the contestants themselves.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetns } from "../src/net/netns.ts";
import type { Contestant } from "./contestant.ts";

/** A stage, and how long to play. */
export class Stage implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "warren-bench-"));
  readonly #pods = new Set<string>();

  constructor(
    readonly quick: boolean,
    /** Fills in the contestants; their files are copied below `folder`. */
    install: (folder: string) => readonly Contestant[],
  ) {
    this.contestants = install(this.folder);
  }

  readonly contestants: readonly Contestant[];

  /** Returns how many rounds to play: the first number, or the second one where it has to be quick. */
  rounds(usual: number, quick: number): number {
    return this.quick ? quick : usual;
  }

  /** Returns the path of a pod's namespace, which is made if it is not there yet. */
  pod(name: string): string {
    const path = `/run/netns/${name}`;
    if (!this.#pods.has(name)) createNetns(path);
    this.#pods.add(name);
    return path;
  }

  /** Returns a folder for what a contestant keeps in a scenario. */
  dataDir(contestant: Contestant, purpose: string): string {
    const path = join(this.folder, "data", contestant.name);
    mkdirSync(path, { recursive: true });
    return join(path, purpose);
  }

  /** Returns the path of a file for what goes into or comes out of a program. */
  file(name: string): string {
    return join(this.folder, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
