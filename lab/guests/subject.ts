/** What a guest at random stands before. */
import type { Permanent } from '../../src/tpm/tpm12/state/permanent.js';

/** A command that goes through a transport session, and how its response is read out of the outer one. */
export interface Inner {
  readonly request: Uint8Array;
  readonly open: (outer: Uint8Array) => Uint8Array;
}

/** What a guest stands before: two TPMs side by side, or one alone. */
export interface Subject {
  transmit(request: Uint8Array, wellFormed?: boolean): Uint8Array;
  /** The same for a command within another: two TPMs are compared by what is in it. */
  through?(request: Uint8Array, inner: Inner, wellFormed: boolean): Uint8Array;
  powerCut(): void;
  compareStates(): void;
  /** A measured launch: the hash sequence of locality 4. */
  hash(data: Uint8Array): void;
  /** The locality of every command from now on. */
  locality: number;
  /** What is stored: what a guest need not find out for itself. */
  readonly permanent: Permanent;
  /** How often each ordinal was met. */
  readonly met: ReadonlyMap<number, { readonly wellFormed: number; readonly malformed: number }>;
  /** Whether two TPMs just departed from each other in a listed way, and how they come together. */
  readonly departed: boolean;
  reunite(): void;
}
