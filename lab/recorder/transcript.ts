/**
 * What a transcript file holds: exchanges with a reference TPM, what happened to the TPM between
 * them, and which bytes of a response a second TPM cannot be expected to repeat.
 * @module
 */

/** Bytes of a response. */
export interface Range {
  readonly field: string;
  readonly offset: number;
  readonly length: number;
}

export interface RecordedExchange {
  readonly what: string;
  readonly ordinal: number;
  readonly name: string;
  readonly locality: number;
  /** The result code's name, for the reader; it is in `response` too. */
  readonly result: string;
  readonly request: string;
  readonly response: string;
  /** Drawn by the TPM at random. An engine whose entropy repeats them repeats the response. */
  readonly random: readonly Range[];
  /** Computed from random bytes, whose fields `from` names. */
  readonly dependent: readonly (Range & { readonly from: readonly string[] })[];
}

/** What the machine around the TPM does. `storesFail` is true while no permall can be stored. */
export type RecordedEvent =
  | { readonly event: 'powerCut' }
  | { readonly event: 'hash'; readonly data: string }
  | { readonly event: 'storesFail'; readonly value: boolean };

export interface Transcript {
  readonly source: string;
  readonly recordedBy: string;
  readonly about: string;
  /** Secrets that the requests are made with, where there is an owner. */
  readonly secrets: Readonly<Record<string, string>>;
  /** libtpms's permall when the power came on; null for a TPM that never ran. */
  readonly startsFrom: string | null;
  readonly steps: readonly (RecordedExchange | RecordedEvent)[];
  readonly endsWith: string | null;
}
