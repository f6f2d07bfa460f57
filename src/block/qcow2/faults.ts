/**
 * What the parts of the driver report damage to.
 * @module
 */

export interface Faults {
  /** Ends the operation on an image whose metadata contradicts itself. */
  corrupt(why: string): never;
}
