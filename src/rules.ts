/**
 * Rules as tables: the key is the sentence that a user reads, the value tests it.
 * @module
 */

/** What must hold of a `T`. */
export type Rules<T> = Readonly<Record<string, (subject: T) => boolean>>;

/** The rules that `subject` breaks, in the order of the table. */
export const broken = <T>(rules: Rules<T>, subject: T): string[] =>
  Object.keys(rules).filter(rule => !rules[rule]!(subject));
