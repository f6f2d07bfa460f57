/**
 * What ends a command early. A Fault refuses a guest and carries the result code of its response; host
 * trouble makes the TPM fail. Anything else that is thrown is a bug, and passes through.
 * @module
 */
import { WireError } from '../../wire/codec.js';
import { StateError, StoreFailure } from '../engine.js';

/** A refusal that the guest sees. Each engine has its own codes, and a subclass that names them. */
export class Fault<Code extends number = number> extends Error {
  readonly result: Code;

  constructor(result: Code, name: string) {
    super(name);
    this.result = result;
  }
}

/** The host trouble that `error` is. @throws `error` itself where it is none: a bug. */
export function hostTrouble(error: unknown): StoreFailure | StateError {
  if (error instanceof StoreFailure || error instanceof StateError) return error;
  throw error;
}

/** Whether `error` says that bytes of a guest are refused: by a fault, or because they do not parse. */
export const isRefusal = (error: unknown): error is Fault | WireError =>
  error instanceof Fault || error instanceof WireError;

/**
 * What `read` returns.
 * @throws `fault` in place of a refusal
 */
export function refusedWith<T>(fault: () => Fault, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw isRefusal(error) ? fault() : error;
  }
}
