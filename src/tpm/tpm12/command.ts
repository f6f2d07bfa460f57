/**
 * What a command is: one record that says everything about it once. Delegation bits, the default
 * audit, handle offsets and the tables of transport sessions are read off the records; `run` does
 * what the "Actions" of TPM Main Part 3 say, after the checks that all commands have in common.
 * @module
 */
import assert from 'node:assert/strict';
import { type Codec, type Fields, type Struct, struct, u32 } from '../../wire/codec.js';
import type { AuthCount, Call } from './call.js';
import type { CommandFacts, WrappedFacts } from './environment.js';
import { ORDINALS, type OrdinalName, ordinalName } from './ordinals.js';
import { Tag } from './structures/types.js';

/**
 * When a command answers, in the order in which libtpms checks: whether it
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

/**
 * What a handle at the front of a command stands for; of a `resource` a type follows that says it.
 */
type HandleRole = 'key' | 'session' | 'transport' | 'daa' | 'entity' | 'resource';
type Handles = Readonly<Record<string, HandleRole>>;

/** An ordinal of the specification by its name, or one of a vendor. */
type OrdinalOf = OrdinalName | { readonly name: string; readonly value: number };

/** What a transport session does with a command, where its handles do not say it. */
interface TransportSpec {
  /** The command may not be wrapped. */
  readonly refused?: true;
  /** The last authorisation of the command is that of a transport session. */
  readonly authorises?: true;
  /** Bytes that libtpms counts as handles where the command is wrapped. */
  readonly handleBytes?: number;
  /**
   * How many key handles the command begins with; `typed`: one, where the resource type says so.
   */
  readonly keys?: 0 | 1 | 2 | 'typed';
}

/** What the records of all commands have in common. */
interface Columns<A extends AuthCount> {
  /** How many authorisation sessions the command carries; `optional` is none or one. */
  readonly auth: A;
  readonly when: keyof typeof WHEN;
  /** The bits that delegate the command, of the owner and of a key (Part 2, §20.2). */
  readonly delegable?: { readonly owner?: number; readonly key?: number };
  /** Audited from the start, or not to be audited at all; by default the owner may turn it on. */
  readonly audited?: 'from the start' | 'never' | 'by the command itself';
  readonly transport?: TransportSpec;
  /** Whether the command runs before the self-test is complete (Part 3, §4.2). */
  readonly selfTest?: 'may be limited';
  /** Whether a hash that TPM_SHA1Start began continues with the command, or may inside it. */
  readonly sha1?: 'continues' | 'carries';
  /** The response to a refusal repeats the tag of the request: the command is the platform's. */
  readonly platform?: true;
  /** A saved state is kept until the command itself is done with it. */
  readonly savedState?: 'kept';
  /** Of two authorisations of which the second does not parse, the first one's session ends. */
  readonly malformed?: 'ends the first session';
}

type HandleFields<H extends Handles> = { readonly [K in keyof H]: Codec<number> };
type None = Record<never, never>;

interface Spec<
  A extends AuthCount,
  H extends Handles,
  In extends Fields,
  OutH extends Handles,
  Out extends Fields,
> extends Columns<A> {
  readonly ordinal: OrdinalOf;
  /** The handles in front of the parameters: no digest of parameters covers them. */
  readonly handles?: H;
  readonly input?: In;
  /** The handles in front of what a response gives. */
  readonly outHandles?: OutH;
  readonly output?: Out;
  /** Further bytes, behind the handles, that no digest of parameters covers. */
  readonly uncovered?: { readonly input?: number; readonly output: number };
  /** What is done in the end even where the command is refused; `body` is all behind its header. */
  after?(call: Call, refused: boolean, body: Uint8Array): void;
  run(
    call: Call<A>,
    input: Struct<HandleFields<NoInfer<H>> & NoInfer<In>>,
  ): Struct<HandleFields<NoInfer<OutH>> & NoInfer<Out>>;
}

/** A command of the engine, of any authorisation, input and output. */
export interface Command extends Columns<AuthCount>, CommandFacts {
  readonly input: Codec<object>;
  readonly output: Codec<object>;
  /** The tags that a request may have: one an authorisation, a transport session's included. */
  readonly tags: readonly number[];
  after?(call: Call, refused: boolean, body: Uint8Array): void;
  run(call: Call, input: object): object;
}

const RECORDS = new WeakSet<object>();

/** Whether this is a record that `command` made. */
export const isCommand = (value: unknown): value is Command =>
  typeof value === 'object' && value !== null && RECORDS.has(value);

const HANDLE_BYTES = 4;
const fieldsOf = (handles: Handles): Record<string, Codec<number>> =>
  Object.fromEntries(Object.keys(handles).map(name => [name, u32]));
const bytesOf = (handles: Handles): number => HANDLE_BYTES * Object.keys(handles).length;

/** The record of a command. */
export function command<
  A extends AuthCount,
  const H extends Handles = None,
  const In extends Fields = None,
  const OutH extends Handles = None,
  const Out extends Fields = None,
>(spec: Spec<A, H, In, OutH, Out>): Command {
  const { ordinal, handles = {}, outHandles = {}, uncovered, input, output, ...columns } = spec;
  const named = typeof ordinal === 'string';
  const value = named ? ORDINALS[ordinal] : ordinal.value;
  const handleBytes = {
    input: bytesOf(handles) + (uncovered?.input ?? 0),
    output: bytesOf(outHandles) + (uncovered?.output ?? 0),
  };
  const unlisted = Object.entries<Codec<unknown>>(input ?? {}).filter(
    ([name, codec]) => codec === u32 && /handle$/i.test(name),
  );
  const explained = uncovered?.input !== undefined || spec.transport?.keys !== undefined;
  assert(explained || unlisted.length === 0, `${unlisted[0]?.[0]} is not among the handles`);
  const record: Command = {
    ...columns,
    ordinal: value,
    name: named ? ordinalName(value) : ordinal.name,
    handleBytes,
    wrapped: wrappedOf(spec, handleBytes),
    tags: tagsOf(spec),
    input: struct({ ...fieldsOf(handles), ...input }),
    output: struct({ ...fieldsOf(outHandles), ...output }),
  };
  RECORDS.add(record);
  return record;
}

/** How many authorisations of its own a command may come with. */
const COUNTS: Readonly<Record<AuthCount, readonly number[]>> = {
  none: [0],
  one: [1],
  two: [2],
  optional: [0, 1],
  oneOrTwo: [1, 2],
  upToTwo: [0, 1, 2],
};

function tagsOf({ auth, transport }: Columns<AuthCount>): number[] {
  const more = transport?.authorises === true ? 1 : 0;
  return COUNTS[auth].map(count => Tag.COMMAND + count + more);
}

/** How a transport session takes a command apart. */
function wrappedOf(
  {
    transport = {},
    handles = {},
  }: { readonly transport?: TransportSpec; readonly handles?: Handles },
  { input, output }: CommandFacts['handleBytes'],
): WrappedFacts {
  const roles = Object.values(handles);
  const keys = roles[0] === 'resource' ? 'typed' : roles.filter(role => role === 'key').length;
  return {
    refused: transport.refused === true,
    handleBytes: { input: transport.handleBytes ?? input, output },
    keys: transport.keys ?? keys,
  };
}
