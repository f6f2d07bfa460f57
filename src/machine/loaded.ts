/**
 * An engine with the state of a store, and what an engine's refusal of that state means.
 * @module
 */
import { NvramError } from '../nvram/index.js';
import { type Engine, StateError, StoreFailure } from '../tpm/engine.js';
import { stateVersion } from '../tpm/state-version.js';
import { MachineError } from './errors.js';
import type { InstanceOptions } from './parts.js';
import type { Port } from './port.js';

/**
 * An engine that has loaded its state, or none: what fails closes it.
 * @throws NvramError CORRUPT, REVISION; MachineError ENGINE; StateError of a volatile state; what the
 *   store throws
 */
export function loaded(
  options: InstanceOptions,
  path: string,
  port: Port,
  load: (engine: Engine) => void,
): Engine {
  const engine = options.engine();
  try {
    load(engine);
    return engine;
  } catch (error) {
    engine.close();
    const isRefused = error instanceof StateError && error.blob === 'permall';
    throw (isRefused && wrongEngine(engine, path, port)) || asOutcome(error, path);
  }
}

/** The refusal of a state that is of a TPM of another version. */
function wrongEngine({ kind }: Engine, path: string, port: Port): MachineError | undefined {
  const version = stateVersion(port.load('permall') ?? new Uint8Array());
  if (version === undefined || version === kind.version) return undefined;
  const why = `${path} holds a TPM ${version}, and there is no engine for TPM ${version} yet`;
  return new MachineError('ENGINE', `${why}; nvtpm export moves its state to swtpm`);
}

/** What an engine's refusal of a stored state means for the user. */
function asOutcome(error: unknown, path: string): unknown {
  if (error instanceof StoreFailure && error.cause instanceof Error) return error.cause;
  // A volatile state comes from another instance and not from the store.
  if (!(error instanceof StateError) || error.blob === 'volatilestate') return error;
  const code = error.code === 'REVISION' ? 'REVISION' : 'CORRUPT';
  return new NvramError(code, path, [error.message]);
}
