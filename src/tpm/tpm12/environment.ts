/**
 * An engine, as its commands see it.
 * @module
 */
import type { GenerateKey } from '../crypto/rsa-keys.js';
import type { Clock, Entropy, NvramPort } from '../engine.js';
import type { TpmState } from './state/state.js';
import type { TransportSession } from './structures/transport-public.js';

/** An engine, as its commands see it. */
export interface Tpm {
  state: TpmState;
  readonly nvram: NvramPort;
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly generateKey: GenerateKey;
  /** The pin by which the platform tells that somebody stands before it. */
  readonly presencePin: () => boolean;
  readonly isImplemented: (ordinal: number) => boolean;
  /** Bytes of handles at the front of a command and of its response; undefined for no command. */
  readonly handleBytes: (ordinal: number) => { input: number; output: number } | undefined;
  /** Runs a command that came through a transport session. */
  readonly runWrapped: (
    request: Uint8Array,
    locality: number,
    through: TransportSession,
  ) => Uint8Array;
}
