/**
 * The TPM of a machine as its registers see it, with the instance in this thread: a command runs within
 * the access that starts it, or later.
 * @module
 */
import type { TisBackend } from '../tis/index.js';
import type { Engine } from '../tpm/engine.js';
import { type Executor, retryResponse, wasNotRun } from './execution.js';

export interface BackendOptions {
  readonly execution: 'inline' | 'when free' | Executor;
  /** The engine; undefined once the device has outlived its power cycle. */
  readonly engine: () => Engine | undefined;
  /** Runs a command at once; undefined where another one waits, or the image is locked. */
  readonly tryProcess: (command: Uint8Array, locality: number) => Uint8Array | undefined;
  /** Runs a command later; rejects with the reason if it was not run. */
  readonly defer: (
    command: Uint8Array,
    locality: number,
    signal: AbortSignal,
  ) => Promise<Uint8Array>;
}

/** What a device reports as TPM_FAIL or TPM_RC_FAILURE. */
const NO_RESPONSE = new Uint8Array();

export function localBackend({ execution, engine, tryProcess, defer }: BackendOptions): TisBackend {
  let running = new AbortController();
  return {
    execute: (command, locality, done) => {
      const live = engine();
      if (live === undefined || execution === 'inline') {
        done(live?.process(command, locality) ?? NO_RESPONSE);
        return;
      }
      const now = execution === 'when free' ? tryProcess(command, locality) : undefined;
      if (now !== undefined) {
        done(now);
        return;
      }
      running = new AbortController();
      const response = defer(command, locality, running.signal);
      void respond(response, retryResponse(live.kind.version), done);
    },
    cancel: () => {
      running.abort();
      engine()?.cancel();
    },
    established: () => engine()?.established() ?? false,
    hashStart: () => void engine()?.hashStart(),
    hashData: bytes => void engine()?.hashData(bytes),
    hashEnd: () => void engine()?.hashEnd(),
  };
}

/** Gives the registers a response, or `retry` where the command was not run. */
async function respond(
  response: Promise<Uint8Array>,
  retry: Uint8Array,
  done: (response: Uint8Array) => void,
): Promise<void> {
  try {
    done(await response);
  } catch (error) {
    const notRun = wasNotRun(error);
    done(notRun ? retry : NO_RESPONSE);
    // Anything else is a bug: TPM_FAIL for the guest, and an unhandled rejection for the process.
    if (!notRun) throw error;
  }
}
