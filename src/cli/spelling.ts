// Which known word somebody meant who wrote an unknown one.

/** Returns the known word that `word` is the beginning of, or that is the nearest to it if it is near enough to be meant. */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  const [longer, ...others] = known.filter((one) => word !== "" && one.startsWith(word));
  if (longer !== undefined && others.length === 0) return longer;
  let nearest: string | undefined;
  // a third of the letters may be wrong, but never all of a short word
  let limit = Math.min(3, Math.floor(word.length / 3) + (word.length > 3 ? 1 : 0)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance >= limit) continue;
    limit = distance;
    nearest = candidate;
  }
  return nearest;
}

/** Returns how many letters have to be put in, left out, exchanged, or swapped with their neighbour. */
export function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      current.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[right.length] ?? 0;
}
