/**
 * The interface of every place that keeps named blobs: what a TPM engine stores, and what `import` and
 * `export` copy from one place to another. Names and meaning of the blobs are libtpms's: `permall`,
 * `savestate`, `volatilestate`.
 * @module
 */
import { NvramError } from './errors.js';

/** 1 to 16 of a-z, 0-9, dot and dash; the first one is a letter or a digit. */
export type BlobName = string;

/** Whether a blob can have this name: 1 to 16 of `a-z`, `0-9`, `.` and `-`, a letter or digit first. */
export const isBlobName = (name: string): name is BlobName =>
  /^[a-z0-9][a-z0-9.-]{0,15}$/.test(name);

/** The most bytes that a blob can have in any store: 16 times the state of a TPM 2.0. */
export const BLOB_BYTES_MAX = 4 * 1024 * 1024;
/** The limit of a store unless set otherwise: room for the state of a TPM 2.0. */
export const BLOB_BYTES_DEFAULT = 256 * 1024;

/** What one commit does to the blobs: bytes to store, or null to delete. */
export type Changes = ReadonlyMap<BlobName, Uint8Array | null>;

/** What a kind of store can do. */
export interface StoreAbilities {
  /** An instance that was replaced by another one is refused, whether locks work or not. */
  readonly fencing: boolean;
  /** A commit of several blobs is stored whole or not at all, at any power cut. */
  readonly atomicChanges: boolean;
  /** Older states are kept and can be restored. */
  readonly history: boolean;
  /** `handOver` exists. */
  readonly handOver: boolean;
}

/** Named blobs, in use by one instance. */
export interface BlobStore {
  /** For messages. */
  readonly path: string;
  readonly can: StoreAbilities;
  /** Whether no blob was ever stored: only then may a new TPM be made. */
  readonly pristine: boolean;
  /**
   * The bytes of a blob as last stored, the caller's to keep; undefined where there is no such blob.
   * @throws NvramError CORRUPT, FENCED; IoError; LockError
   */
  load(name: BlobName): Uint8Array | undefined;
  /**
   * Makes all `changes`, durably, or throws. Bytes equal to the stored ones write nothing, and deleting
   * an absent blob does nothing. A refusal before the first write leaves the store usable.
   * @throws NvramError INVALID_NAME, TOO_SMALL, CORRUPT, FENCED; IoError; LockError
   */
  commit(changes: Changes): void;
  /** Hands the store over to another instance. Where it returns, this store is spent. */
  handOver?(): HandedOver;
  /** Closes in order. Idempotent; keys are wiped also where it throws. */
  close(): void;
  /** Closes as a power cut would: writes nothing, wipes keys. Idempotent. */
  abandon(): void;
}

/** A store that was handed over: nothing can be loaded from it or stored in it. */
export interface HandedOver {
  readonly path: string;
  readonly uuid: Uint8Array;
  /** The state that was handed over. */
  readonly generation: number;
  readonly epoch: number;
  /**
   * Takes the store back, as long as no other instance has become active.
   * @throws NvramError FENCED; LockError and IoError leave it handed over: retry
   */
  resume(): BlobStore;
  /** The other instance has it: wipes keys. Idempotent. */
  finish(): void;
  /** Whether no other instance has become active. @throws IoError, LockError */
  isOurs(): boolean;
  /** Drops it as a power cut would: wipes keys. Idempotent. */
  abandon(): void;
}

/** @throws NvramError INVALID_NAME */
export function demandBlobName(path: string, name: string): void {
  if (isBlobName(name)) return;
  throw new NvramError('INVALID_NAME', path, [`${JSON.stringify(name)} is not a blob name`]);
}

/** @throws NvramError TOO_SMALL */
export function demandBlobLength(
  path: string,
  name: BlobName,
  length: number,
  limit: number,
): void {
  if (length <= limit) return;
  const why = `blob ${name} has ${length} bytes, and the limit of this store is ${limit}`;
  throw new NvramError('TOO_SMALL', path, [why]);
}
