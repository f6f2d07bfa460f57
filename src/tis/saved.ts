/**
 * The device's state between two accesses, as one plain versioned object, and the rules that it
 * must pass before a device takes it over. It is untrusted input.
 * @module
 */
import { NvtpmError } from '../errors.js';
import { fromHex } from '../hex.js';
import type { CommandState } from './command.js';
import { Fifo, sizeField } from './fifo.js';
import type { InterruptState } from './interrupts.js';
import type { ArbiterState } from './locality.js';
import { LOCALITIES, type Personality, TIS } from './registers.js';
import { STATES } from './state.js';

/** The registers, saved. */
export interface TisState {
  readonly kind: 'nvtpm-tis';
  readonly version: 1;
  readonly personality: Personality;
  /** Bytes that a command or response may have. */
  readonly bufferSize: number;
  readonly localities: ArbiterState;
  readonly command: CommandState;
  readonly interrupts: InterruptState;
  /** INTERFACE_ID.intfSelLock. */
  readonly interfaceLocked: boolean;
  /** Between HASH_START and HASH_END. */
  readonly hashing: boolean;
}

/** Why a saved state is refused. */
// biome-ignore format: table
export type TisStateErrorCode =
  | 'BUSY'       // A command runs, so that there is no state to save.
  | 'VERSION'    // Not such a state, or one of another version.
  | 'MALFORMED'  // A field is missing, unknown, or not of its type.
  | 'MISMATCH'   // Of another kind of device than this one.
  | 'UNSOUND'; // No device can be in this state.

/** A device state that cannot be saved or restored, with every rule that it breaks. */
export class TisStateError extends NvtpmError {
  override readonly name = 'TisStateError';
  readonly outcome = 'FAILED';
  readonly code: TisStateErrorCode;
  readonly broken: readonly string[];

  constructor(code: TisStateErrorCode, broken: readonly string[]) {
    super(`the state of the TIS device: ${broken.join('; ')}; ${ADVICE[code]}`);
    this.code = code;
    this.broken = broken;
  }
}

// biome-ignore format: table
const ADVICE: Readonly<Record<TisStateErrorCode, string>> = {
  BUSY:      'wait for the command to end, or cancel it',
  VERSION:   'restore it with a version of nvtpm that supports it',
  MALFORMED: 'it is damaged, or saveState() did not make it',
  MISMATCH:  'make the device with the same personality, buffer size and locality4',
  UNSOUND:   'it is damaged, or saveState() did not make it',
};

type Shape = { readonly [field: string]: ((value: unknown) => boolean) | Shape };

const isBoolean = (value: unknown): boolean => typeof value === 'boolean';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isHex = (value: unknown): boolean =>
  typeof value === 'string' && value.length % 2 === 0 && /^[0-9a-f]*$/.test(value);
const ofEach =
  (is: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    Array.isArray(value) && value.length === LOCALITIES && [...value].every(is);
const isOneOf =
  (values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

/** The type of every field. A field that is not in here makes a state malformed. */
// biome-ignore format: table
const SHAPE = {
  kind:            isOneOf(['nvtpm-tis']),
  version:         isOneOf([1]),
  personality:     isOneOf(['1.2', '2.0']),
  bufferSize:      isCount,
  localities: {
    active:        isOneOf([null, ...Array(LOCALITIES).keys()]),
    requestUse:    ofEach(isBoolean),
    beenSeized:    ofEach(isBoolean),
  },
  command: {
    state:         isOneOf(STATES),
    fifo:          isHex,
    at:            isCount,
    selfTestDone:  isBoolean,
  },
  interrupts: {
    enable:        ofEach(isCount),
    status:        ofEach(isCount),
  },
  interfaceLocked: isBoolean,
  hashing:         isBoolean,
} satisfies Record<keyof TisState, Shape[string]>;

/** What kind of device restores a state. */
export interface DeviceKind {
  readonly personality: Personality;
  readonly bufferSize: number;
  /** Whether writes to locality 4 reach the device. */
  readonly locality4: boolean;
}

/** What holds of a state of the same kind of device. */
const MATCHES: Readonly<Record<string, (state: TisState, device: DeviceKind) => boolean>> = {
  'the personality is that of the device': (state, { personality }) =>
    state.personality === personality,
  'the buffer is as large as that of the device': (state, { bufferSize }) =>
    state.bufferSize === bufferSize,
  // Where no write reaches locality 4, nothing ends a launch, and nothing else gets the TPM.
  'locality 4 neither has the TPM nor waits for it, unless the device has locality 4': (
    { localities },
    { locality4 },
  ) => locality4 || (localities.active !== 4 && localities.requestUse[4] === false),
};

/** What holds in every state that a device can be in. */
const RULES: Readonly<Record<string, (state: TisState) => boolean>> = {
  'the locality in use does not wait for itself': ({ localities }) =>
    localities.active === null || localities.requestUse[localities.active] === false,
  'no locality waits for a TPM that is free': ({ localities }) =>
    localities.active !== null || !localities.requestUse.includes(true),
  'without a locality in use there is no command': ({ localities, command }) =>
    localities.active !== null || command.state === 'idle',
  'a running command is not saved': ({ command }) => command.state !== 'execution',
  'the FIFO fits into the buffer': ({ command, bufferSize }) =>
    command.fifo.length / 2 <= bufferSize,
  'the FIFO holds what the state of the command says': ({ command }) => fifoFits(command),
  'at most the whole response has been read': ({ command }) =>
    command.at <= (command.state === 'completion' ? command.fifo.length / 2 : 0),
  'the interrupt registers hold only bits that they have': ({ interrupts }) =>
    interrupts.enable.every(value => within(value, TIS.INT_ENABLE.writable)) &&
    interrupts.status.every(value => within(value, TIS.INT_STATUS.clearable)),
  'only a TPM 2.0 has an interface to lock': state =>
    state.personality === '2.0' || !state.interfaceLocked,
  'a measured launch is in locality 4, without a command': state =>
    !state.hashing || (state.localities.active === 4 && state.command.state === 'idle'),
};

function fifoFits({ state, fifo }: CommandState): boolean {
  const bytes = fromHex(fifo);
  if (state === 'completion') return bytes.length >= 10 && sizeField(bytes) === bytes.length;
  if (state === 'reception') return bytes.length > 0 && !overfull(bytes);
  return bytes.length === 0;
}

/** Whether the command was complete before its last byte: the device would not have taken that. */
function overfull(bytes: Uint8Array): boolean {
  const before = new Fifo(bytes.length);
  before.fill(bytes.subarray(0, bytes.length - 1));
  return before.complete;
}

const within = (value: number, mask: number): boolean =>
  value <= 0xffff_ffff && (value & ~mask) === 0;

/**
 * Returns `state` once it is sure that a device of this kind can go on from it.
 * @throws TisStateError
 */
export function checkState(state: unknown, device: DeviceKind): TisState {
  const { kind, version } = (state ?? {}) as { kind?: unknown; version?: unknown };
  if (kind !== 'nvtpm-tis' || version !== 1) {
    throw new TisStateError('VERSION', ['it is not of the kind nvtpm-tis in version 1']);
  }
  refuse('MALFORMED', [...misshapen(state, SHAPE, '')]);
  // SHAPE has every field of TisState with its type.
  const sound = state as TisState;
  refuse(
    'MISMATCH',
    broken(MATCHES, rule => rule(sound, device)),
  );
  refuse(
    'UNSOUND',
    broken(RULES, rule => rule(sound)),
  );
  return sound;
}

function refuse(code: TisStateErrorCode, names: readonly string[]): void {
  if (names.length > 0) throw new TisStateError(code, names);
}

/** The names of the rules that do not hold. */
const broken = <R>(rules: Readonly<Record<string, R>>, holds: (rule: R) => boolean): string[] =>
  Object.entries(rules)
    .filter(([, rule]) => !holds(rule))
    .map(([name]) => `not so: ${name}`);

/** What is wrong with the fields of `value`, by their names. */
function* misshapen(value: unknown, shape: Shape, path: string): Generator<string> {
  if (typeof value !== 'object' || value === null) {
    yield `${path} is missing, or no object`;
    return;
  }
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(shape, name)) yield `${path}${name} is unknown`;
  }
  for (const [name, is] of Object.entries(shape)) {
    const field = (value as Record<string, unknown>)[name];
    if (typeof is !== 'function') yield* misshapen(field, is, `${path}${name}.`);
    else if (!is(field)) yield `${path}${name} is missing, or not of its type`;
  }
}
