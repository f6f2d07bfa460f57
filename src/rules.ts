/**
 * Validation rules as tables: the key is the sentence that a user reads, the value says whether it
 * holds.
 * @module
 */

export type Rules<T> = Readonly<Record<string, (subject: T) => boolean>>;

/** The rules that `subject` breaks, by name, in the order of the table. */
export const broken = <T>(rules: Rules<T>, subject: T): string[] =>
  Object.keys(rules).filter(rule => !rules[rule]!(subject));
