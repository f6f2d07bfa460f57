/**
 * The messages between a machine and the worker that holds its instance.
 * @module
 */
import { ImageError } from '../block/node.js';
import { IoError, NvtpmError } from '../errors.js';
import { LockError } from '../lock/lock.js';
import { NvramError } from '../nvram/index.js';
import { type EngineInfo, type EngineKind, StateError, StoreFailure } from '../tpm/engine.js';
import type { TraceEvent } from '../trace.js';
import { MachineError } from './errors.js';
import type { InstanceState } from './state.js';
import type { StoreInfo } from './storage.js';

/** The calls of a worker: each has one reply, in the order of the calls. */
export interface Calls {
  coldStart(): EngineKind;
  takeOver(state: InstanceState): EngineKind;
  load(state: InstanceState): EngineKind;
  execute(command: Uint8Array, locality: number): Uint8Array;
  hashStart(): void;
  hashData(bytes: Uint8Array): void;
  hashEnd(): void;
  info(): EngineInfo;
  storeInfo(): StoreInfo;
  reset(): void;
  save(): InstanceState;
  handOver(): InstanceState;
  takeBack(): void;
  /** The last one: the worker ends after it. */
  close(): void;
}

export type CallName = keyof Calls;

export interface Request<N extends CallName = CallName> {
  readonly id: number;
  readonly name: N;
  readonly args: Parameters<Calls[N]>;
}

export type Reply =
  | { readonly is: 'done'; readonly id: number; readonly result: unknown }
  | { readonly is: 'failed'; readonly id: number; readonly error: PackedError }
  /** A store cycle failed while a command ran. */
  | { readonly is: 'failure'; readonly error: PackedError }
  | { readonly is: 'trace'; readonly event: TraceEvent };

/** Words of shared memory. */
export const FLAG = {
  /** The TPM_ESTABLISHED flag, as of the latest reply. */
  established: 0,
  /** From here on: the ids of commands that were cancelled. */
  cancelled: 1,
} as const;
/** Cancellations that can stand at a time; an earlier one that is overwritten has no effect. */
const CANCELLED_WORDS = 63;
export const FLAG_BYTES = 4 * (FLAG.cancelled + CANCELLED_WORDS);
/** The word in which a call is cancelled, by its id. */
export const cancelledBy = (id: number): number => FLAG.cancelled + (id % CANCELLED_WORDS);

/** What the worker is made with. */
export interface WorkerSettings {
  readonly setup: string;
  readonly data: unknown;
  readonly flags: SharedArrayBuffer;
  readonly traced: boolean;
}

/** An error as data: cloning one loses its class and its fields. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause: PackedError | undefined;
}

/** What crosses from a worker as itself. */
const CLASSES: Readonly<Record<string, { readonly prototype: NvtpmError }>> = {
  ImageError,
  IoError,
  LockError,
  MachineError,
  NvramError,
  StateError,
  StoreFailure,
};

export function packError(error: Error): PackedError {
  const { name, message, stack, cause } = error;
  const fields = error instanceof NvtpmError ? { ...error } : {};
  return {
    name,
    message,
    stack,
    fields,
    cause: cause instanceof Error ? packError(cause) : undefined,
  };
}

export function unpackError({ name, message, stack, fields, cause }: PackedError): Error {
  const error = new Error(message, cause === undefined ? {} : { cause: unpackError(cause) });
  const known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (known !== undefined) Object.setPrototypeOf(error, known.prototype);
  Object.assign(error, fields);
  if (stack !== undefined) error.stack = stack;
  return error;
}
