/**
 * An engine, as its commands see it.
 * @module
 */
import type { GenerateKey } from '../crypto/rsa-keys.js';
import type { Clock, Entropy, NvramPort } from '../engine.js';
import type { TpmState } from './state/state.js';
import type { TransportSession } from './structures/transport-public.js';

/** What other commands need to know of a command. */
export interface CommandFacts {
  readonly ordinal: number;
  /** The specification's name of it. */
  readonly name: string;
  /** Bytes at the front of input and output that no digest of parameters covers. */
  readonly handleBytes: { readonly input: number; readonly output: number };
  /** Part 2, §20.2: the bits that delegate the command, of the owner and of a key. */
  readonly delegable?: { readonly owner?: number; readonly key?: number };
  readonly audited?: 'from the start' | 'never' | 'by the command itself';
  readonly wrapped: WrappedFacts;
}

/** How a transport session takes a command apart. */
export interface WrappedFacts {
  /** A transport session does not carry the command. */
  readonly refused: boolean;
  /** Bytes of handles in front, which are neither encrypted nor covered. */
  readonly handleBytes: { readonly input: number; readonly output: number };
  /**
   * How many key handles the command begins with; `typed`: one, where the type behind it says so.
   */
  readonly keys: number | 'typed';
}

/** The commands of an engine. */
export interface Commands {
  get(ordinal: number): CommandFacts | undefined;
  /**
   * A new map of the ordinals that are audited from the start:
   * TPM_PERMANENT_DATA.ordinalAuditStatus.
   */
  auditedFromStart(): Uint8Array;
}

export interface Environment {
  state: TpmState;
  readonly nvram: NvramPort;
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly generateKey: GenerateKey;
  /** The platform's pin for physical presence. */
  readonly presencePin: () => boolean;
  readonly commands: Commands;
  /** Runs a command that came through a transport session. */
  readonly runWrapped: (
    request: Uint8Array,
    locality: number,
    through: TransportSession,
  ) => Uint8Array;
}
