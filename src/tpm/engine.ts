/**
 * What a TPM engine is to the rest: libtpms's interface in our words (facts: TPMLIB_* and its
 * callbacks). A store happens inside `process`, before the response is returned, so that whatever
 * the guest was told is on the disk.
 * @module
 */
import { NvtpmError, type Outcome } from '../errors.js';

/** libtpms's three blobs: permanent state, TPM_SaveState's state, and what a migration carries. */
export type BlobName = 'permall' | 'savestate' | 'volatilestate';

/**
 * Where an engine keeps its state. `load` gives undefined only for a blob that is *proven* absent:
 * an engine makes a new TPM of that. Every host trouble is thrown as StoreFailure, wrapped.
 */
export interface NvramPort {
  /** The bytes of a blob; undefined if it was never stored. */
  load(name: BlobName): Uint8Array | undefined;
  /** Stores a blob. Durable when this returns. */
  store(name: BlobName, bytes: Uint8Array): void;
  /** Absent is fine. */
  delete(name: BlobName): void;
}

/**
 * The host could not load or store. The engine answers TPM_FAIL and goes into failure mode; what
 * was stored before is still there. Any other exception of a port is a bug and passes through.
 */
export class StoreFailure extends NvtpmError {
  override readonly name = 'StoreFailure';
  readonly code = 'STORE_FAILED';
  readonly outcome: Outcome;

  constructor(cause: unknown) {
    super(
      `the state could not be kept: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
    this.outcome = cause instanceof NvtpmError ? cause.outcome : 'FAILED';
  }
}

/** The state that an engine was given is another engine's, or damaged. `init` throws it. */
export class StateError extends NvtpmError {
  override readonly name = 'StateError';
  readonly outcome = 'FAILED';
  readonly code: 'MALFORMED' | 'REVISION';
  readonly blob: BlobName;

  constructor(code: StateError['code'], blob: BlobName, why: string, cause?: unknown) {
    super(`the ${blob} blob is not a state of this engine: ${why}`, { cause });
    this.code = code;
    this.blob = blob;
  }
}

/** Random bytes. A test passes its own. */
export type Entropy = (length: number) => Uint8Array;
/**
 * A clock in microseconds that never goes back. It counts from 1970: a saved state tells when a
 * lockout began, wherever it goes on.
 */
export type Clock = () => number;

/** The engines there are, and the versions of the TPM specification. */
export const ENGINE_NAMES = ['nvtpm', 'libtpms'] as const;
export const TPM_VERSIONS = ['1.2', '2.0'] as const;
/** Which engine it is, and which TPM it is. */
export interface EngineKind {
  readonly name: (typeof ENGINE_NAMES)[number];
  readonly version: (typeof TPM_VERSIONS)[number];
}

/** What a TPM of any version reports of itself. */
interface CommonInfo {
  readonly owned: boolean;
  /** The public part of the Endorsement Key, if there is one: the RSA modulus, big-endian. */
  readonly ek: Uint8Array | undefined;
  readonly nvIndices: readonly number[];
}

/** What a TPM 1.2 reports of itself. */
export interface Tpm12Info extends CommonInfo {
  readonly version: '1.2';
  readonly enabled: boolean;
  readonly activated: boolean;
}

/** What a TPM 2.0 reports of itself. */
export interface Tpm20Info extends CommonInfo {
  readonly version: '2.0';
  /** Which hierarchies are enabled (TPM 2.0 Part 1, §13). */
  readonly hierarchies: Readonly<Record<'platform' | 'owner' | 'endorsement', boolean>>;
}

/** What an engine reports of its TPM, by the TPM's version. */
export type EngineInfo = Tpm12Info | Tpm20Info;

/** Makes an engine. May refuse: of some engines a process can have only one. */
export type EngineFactory = () => Engine;

/** A TPM without registers and without a disk: commands in, responses out, state by a port. */
export interface Engine {
  readonly kind: EngineKind;
  /** The most bytes of a command: its input buffer, which the TPM reports as a property. */
  readonly commandBytes: number;
  /** The version of the format of volatileState(). */
  readonly volatileVersion: number;
  /**
   * Power on (TPM_Init): loads the blobs, or makes and stores a new TPM where `permall` is absent.
   * @throws StoreFailure, StateError
   */
  init(nvram: NvramPort): void;
  /**
   * Runs one command to its end. The response is always well-formed; nothing is thrown at a guest.
   */
  process(command: Uint8Array, locality: number): Uint8Array;
  /** Everything that a migration must carry besides the stored blobs. */
  volatileState(): Uint8Array;
  /** Power on with the volatile state of another instance: resumes a TPM that was started there. */
  restore(nvram: NvramPort, volatileState: Uint8Array): void;
  /** Asks a running command to stop. True where that is possible. */
  cancel(): boolean;
  /** The TPM_ESTABLISHED flag (TIS ACCESS.tpmEstablishment is its inverse). */
  established(): boolean;
  /** HASH_START of locality 4: begins a measured launch. The result code, as of each of the three. */
  hashStart(): number;
  /** Bytes of a measured launch. */
  hashData(bytes: Uint8Array): number;
  /** Ends a measured launch. */
  hashEnd(): number;
  /** What the TPM is like now. */
  info(): EngineInfo;
  /** Wipes secrets from memory. */
  close(): void;
}
