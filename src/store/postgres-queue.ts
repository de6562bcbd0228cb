// How writers of the shared store wait for each other at the server. Whoever waits for a second has it look whether those before
// him wait for each other in a circle (deadlock_timeout), and it compares each of them with every other one, while nobody gets or
// gives back any lock: with a thousand in one queue it comes to nothing else for minutes. So they stand in several short
// queues, and only the first of each in the last one.

/** Of a thousand writers 31 stand in each of the short queues then, and 32 in the last one. */
const QUEUES = 32;

/**
 * Returns a query that answers when nobody else has the lock that `text` names, a text in SQL; the lock is given back when the
 * transaction ends.
 */
export function lockQuery(text: string): string {
  const queue = 1 + Math.floor(Math.random() * QUEUES);
  // the last one is asked for a row of the short one's: nobody stands in both the other way round
  return `WITH queue AS (SELECT pg_advisory_xact_lock(hashtextextended(${text}, ${queue}))) SELECT pg_advisory_xact_lock(hashtextextended(${text}, 0)) FROM queue`;
}
