// What an ADD has done so far, so that a failure takes all of it back: steps are undone in reverse, each one even
// if another fails, and the first error stays the one that is told.

/** The steps to take back. */
export class UndoList {
  readonly #steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];

  /** Adds a step; `what` names what it removes. */
  push(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /**
   * Takes everything back, the last step first, and returns true if that could be done. What can't be taken back is
   * reported to `note`.
   */
  async run(note: (text: string) => void): Promise<boolean> {
    let done = true;
    for (const { what, undo } of this.#steps.reverse()) {
      try {
        await undo();
      } catch (error) {
        done = false;
        note(`warren: ${what} could not be taken back: ${String(error)}`);
      }
    }
    return done;
  }
}
