// What a scenario is: something that contestants do in turn, round by round, so that whatever the machine does
// meanwhile happens to all of them; and what comes out of it.
import type { Stage } from "./stage.ts";

/** Samples of one figure by who made them, such as `warren` and `reference`. */
export interface Comparison {
  readonly name: string;
  readonly unit: "ms" | "MB" | "1/s";
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Whom the ratio compares, the first divided by the second; by default Warren and the reference. */
  readonly ratioOf?: readonly [string, string];
  /** The highest median ratio that is wanted. */
  readonly ratioBudget?: number;
  /** The highest median of the first of `ratioOf` that is wanted, in `unit`. */
  readonly budget?: number;
}

/** Something to be measured. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  run(stage: Stage): readonly Comparison[] | Promise<readonly Comparison[]>;
}

/** Collects samples under the name of a figure and of who made them. */
export class Samples {
  readonly #figures = new Map<string, Map<string, number[]>>();

  add(figure: string, who: string, value: number): void {
    const byWho = this.#figures.get(figure) ?? new Map<string, number[]>();
    this.#figures.set(figure, byWho);
    byWho.set(who, [...(byWho.get(who) ?? []), value]);
  }

  /** Returns the samples of a figure by who made them. */
  of(figure: string): Readonly<Record<string, readonly number[]>> {
    return Object.fromEntries(this.#figures.get(figure) ?? []);
  }

  /** The figures that there are samples of, in the order in which they came first. */
  get figures(): readonly string[] {
    return [...this.#figures.keys()];
  }
}

/**
 * Returns those whose turn it is, in the order of this round: there and back, because what one leaves to the kernel to
 * do later, such as freeing memory, is in the way of the one behind it.
 */
export function inTurn<T>(round: number, all: readonly T[]): readonly T[] {
  return round % 2 === 0 ? all : all.toReversed();
}

/** Does `round(0)` to `round(rounds - 1)`, one after the other. */
export function repeat(rounds: number, round: (index: number) => void): void {
  for (let index = 0; index < rounds; index++) round(index);
}
