// Keeps a plugin in a list that others write too. Whoever rewrites the file, the plugin is back a moment later; but two who
// want different things of one file would write it for ever, so the one here steps back when it is always undone.
import { rmSync } from "node:fs";
import { CniError, describeError } from "../../cni/error.ts";
import { parseJson } from "../../conflist/json.ts";
import { editConfFile, readConfText, writeConfFile } from "../../runtime/conf-file.ts";
import { type Position, withPlugin } from "../../runtime/list-edit.ts";
import { statFile } from "../../sys/files.ts";
import type { KeepTarget } from "./overlay.ts";

/** An edit that was undone within this time was undone because of it. */
const UNDONE_WITHIN_MS = 5000;
/** So often it is made again at once. */
const PATIENCE = 3;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** How things stand. */
export interface KeepState {
  /** True if the plugin is where it is to be. */
  readonly isKept: boolean;
  readonly file: string;
  /** What to tell; undefined where it was told before. */
  readonly what: string | undefined;
  /** When to look again, if nothing should change before; undefined for a change only. */
  readonly againInMs: number | undefined;
}

/** The keeper of one plugin. */
export class Keeper {
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #hasWritten = false;
  #undone = 0;
  #pausedUntilMs = 0;
  #told = "";

  constructor(
    private readonly target: KeepTarget,
    private readonly plugin: string,
    private readonly position: Position | undefined,
  ) {}

  /** Looks, and does what is to be done. */
  look(nowMs: number): KeepState {
    try {
      return this.#look(nowMs);
    } catch (error) {
      const file = this.target.kind === "overlay" ? this.target.file : "";
      if (!(error instanceof CniError)) throw error;
      return this.#state(false, file, `the plugin can't be put in place: ${describeError(error)}`);
    }
  }

  /** Takes the overlay away: without somebody who keeps it like its source it would be in the way. */
  end(): void {
    if (this.target.kind === "overlay") rmSync(this.target.file, { force: true });
  }

  #look(nowMs: number): KeepState {
    const { target } = this;
    const source = target.kind === "overlay" ? target.sourceOf() : target.fileOf();
    if (target.kind === "overlay" && source === undefined) {
      const wasThere = statFile(target.file) !== undefined;
      rmSync(target.file, { force: true });
      const gone = "there is no list that it could be made of";
      return this.#state(false, target.file, wasThere ? `${target.file}: removed, ${gone}` : gone);
    }
    const path = source ?? "";
    const text = readConfText(path);
    const wanted = withPlugin(text, this.plugin, this.position, path);
    const file = target.kind === "overlay" ? target.file : path;
    const present =
      target.kind === "edit" ? text : statFile(file) === undefined ? undefined : readConfText(file);
    const inPlace = `${file}: the plugin is in place`;
    // other blanks are no reason to write
    if (present !== undefined && isSame(present, wanted)) return this.#state(true, file, inPlace);
    if (nowMs < this.#pausedUntilMs) return this.#paused(file, nowMs);
    if (this.#isUndone(nowMs)) {
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#undone - PATIENCE), LONGEST_PAUSE_MS);
      this.#pausedUntilMs = nowMs + pauseMs;
      return this.#paused(file, nowMs);
    }
    // what is to be undone is that the plugin came into the list, and not each time that it came back
    if (target.kind === "edit") editConfFile(path, text, wanted, { isUndoable: !this.#hasWritten });
    else writeConfFile(file, wanted, path);
    this.#hasWritten = true;
    this.#writtenAtMs = nowMs;
    const how = target.kind === "edit" ? "the plugin is put into the list" : `made of ${path} and the plugin`;
    // the next look finds it so, which is nothing new
    this.#told = inPlace;
    return { isKept: true, file, what: `${file}: ${how}`, againInMs: undefined };
  }

  /** Counts how often it was undone right after it was written; true if that is too often. */
  #isUndone(nowMs: number): boolean {
    const isQuick = nowMs - this.#writtenAtMs < UNDONE_WITHIN_MS;
    const isAfterPause = this.#pausedUntilMs > this.#writtenAtMs;
    // the pause is over: this once, and then it is seen whether it lasts
    if (isAfterPause) return false;
    this.#undone = isQuick ? this.#undone + 1 : 0;
    return this.#undone >= PATIENCE;
  }

  #paused(file: string, nowMs: number): KeepState {
    const againInMs = Math.max(1, this.#pausedUntilMs - nowMs);
    const times = `${this.#undone} times in a row`;
    const what = `${file}: somebody else undoes it (${times}); trying again in ${Math.ceil(againInMs / 1000)} s`;
    const state = this.#state(false, file, `${times} until ${this.#pausedUntilMs}`);
    return { ...state, what: state.what === undefined ? undefined : what, againInMs };
  }

  #state(isKept: boolean, file: string, what: string): KeepState {
    const isNew = what !== this.#told;
    this.#told = what;
    return { isKept, file, what: isNew ? what : undefined, againInMs: undefined };
  }
}

function isSame(present: string, wanted: string): boolean {
  try {
    return present === wanted || Bun.deepEquals(parseJson(present, "it"), parseJson(wanted, "it"));
  } catch {
    // somebody has broken it
    return false;
  }
}
