/**
 * What a command is: one record that names its columns. The dispatcher reads them; `run` does what
 * the "Actions" of TPM Main Part 3 say, after the checks that every command has in common.
 * @module
 */
import type { Codec } from '../../wire/codec.js';
import type { Call } from './call.js';

/**
 * When a command answers, in the order in which libtpms asks: whether it
 * - waits while the dictionary attack lockout runs (authorised commands only),
 * - needs a TPM that did not fail its self-test,
 * - needs TPM_Startup,
 * - needs a TPM that is enabled, activated, owned.
 * `unlockedNv` lifts "enabled" and "activated" as long as NV is not locked (Part 3, §20).
 */
export interface Availability {
  readonly locksOut: boolean;
  readonly working: boolean;
  readonly started: boolean;
  readonly enabled: boolean;
  readonly activated: boolean;
  readonly owned: boolean;
  readonly unlockedNv?: boolean;
}

// biome-ignore format: table
export const WHEN = {
  always:      { locksOut: false, working: false, started: false, enabled: false, activated: false, owned: false },
  started:     { locksOut: true,  working: false, started: true,  enabled: false, activated: false, owned: false },
  working:     { locksOut: true,  working: true,  started: true,  enabled: false, activated: false, owned: false },
  enabled:     { locksOut: true,  working: true,  started: true,  enabled: true,  activated: false, owned: false },
  operational: { locksOut: true,  working: true,  started: true,  enabled: true,  activated: true,  owned: false },
  activated:   { locksOut: true,  working: true,  started: true,  enabled: false, activated: true,  owned: false },
  owned:       { locksOut: true,  working: true,  started: true,  enabled: true,  activated: true,  owned: true  },
  lockedOut:   { locksOut: false, working: true,  started: true,  enabled: true,  activated: true,  owned: true  },
  workingOwned:{ locksOut: true,  working: true,  started: true,  enabled: false, activated: false, owned: true  },
  nvDefine:    { locksOut: true,  working: true,  started: true,  enabled: true,  activated: true,  owned: false, unlockedNv: true },
} as const satisfies Record<string, Availability>;

export interface Command<In, Out> {
  readonly ordinal: number;
  readonly name: string;
  /** How many authorisation sessions the command carries; `optional` is none or one. */
  readonly auth: 'none' | 'one' | 'two' | 'optional' | 'oneOrTwo' | 'upToTwo';
  readonly when: keyof typeof WHEN;
  readonly input: Codec<In>;
  readonly output: Codec<Out>;
  /** Bytes at the front of input and output that no parameter digest covers: handles and nonces. */
  readonly handleBytes?: { readonly input: number; readonly output: number };
  /** What is done in the end even where the command is refused; `body` is all behind its header. */
  after?(call: Call, refused: boolean, body: Uint8Array): void;
  run(call: Call, input: In): Out;
}

/** A command whatever its input and output. */
// biome-ignore lint/suspicious/noExplicitAny: a list of commands holds each with types of its own.
export type AnyCommand = Command<any, any>;

const RECORDS = new WeakSet<object>();

/** Whether this is a record that `command` made. */
export const isCommand = (value: unknown): value is AnyCommand =>
  typeof value === 'object' && value !== null && RECORDS.has(value);

/** Only there so that `run` has its types from `input` and `output`. */
export const command = <In, Out>(spec: Command<In, Out>): Command<In, Out> => {
  RECORDS.add(spec);
  return spec;
};
