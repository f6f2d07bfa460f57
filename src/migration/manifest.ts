/**
 * What travels in a migration over shared storage, and the rules that it must pass before anything
 * is written. Each part has a kind and a version; unknown ones are refused by name. The permanent
 * state does not travel: it is in the image, and the manifest says which state of it is meant.
 * @module
 */
import { NvtpmError } from '../errors.js';
import type { MachineState } from '../machine.js';
import type { ActiveStore, Candidate } from '../nvram/index.js';
import { equal } from '../wire/codec.js';

export const KIND = 'nvtpm-migration';
export const VERSION = 1;

/** The message of the source, as JSON. */
export interface Manifest {
  readonly kind: string;
  readonly version: number;
  /** The store that is handed over: its uuid in hex, and the state that the source left. */
  readonly uuid: string;
  readonly generation: number;
  readonly epoch: number;
  readonly tis: unknown;
  /** The engine's volatile state in base64. */
  readonly volatile: string;
}

export type MigrationErrorCode =
  | 'MALFORMED' // What arrived is no manifest.
  | 'REFUSED' // It is one, and breaks a rule.
  | 'FAILED'; // The other side said no, or nothing.

export class MigrationError extends NvtpmError {
  override readonly name = 'MigrationError';
  readonly outcome = 'FAILED';
  readonly code: MigrationErrorCode;
  /** Every rule that is broken. */
  readonly broken: readonly string[];

  constructor(code: MigrationErrorCode, broken: readonly string[], cause?: unknown) {
    super(`the migration was refused: ${broken.join('; ')}`, { cause });
    this.code = code;
    this.broken = broken;
  }
}

export function makeManifest(store: ActiveStore, state: MachineState): Manifest {
  return {
    kind: KIND,
    version: VERSION,
    uuid: Buffer.from(store.uuid).toString('hex'),
    generation: store.generation,
    epoch: store.epoch,
    tis: state.tis,
    volatile: Buffer.from(state.volatile).toString('base64'),
  };
}

// biome-ignore format: table
const SHAPE: Readonly<Record<string, (m: Record<string, unknown>) => boolean>> = {
  [`the kind is ${KIND}`]:          m => m['kind'] === KIND,
  [`the version is ${VERSION}`]:    m => m['version'] === VERSION,
  'the uuid is 16 bytes in hex':    m => typeof m['uuid'] === 'string' && /^[0-9a-f]{32}$/.test(m['uuid']),
  'the generation is a number':     m => Number.isSafeInteger(m['generation']),
  'the epoch is a number':          m => Number.isSafeInteger(m['epoch']),
  'the state of the TIS is there':  m => typeof m['tis'] === 'object' && m['tis'] !== null,
  'the volatile state is in base64': m => typeof m['volatile'] === 'string' && /^[\w+/]*={0,2}$/.test(m['volatile']),
};

/** @throws MigrationError naming every rule that `message` breaks */
export function readManifest(message: unknown): Manifest {
  const fields = (typeof message === 'object' && message !== null ? message : {}) as Record<
    string,
    unknown
  >;
  enforce('MALFORMED', SHAPE, fields);
  return fields as unknown as Manifest;
}

interface Offer {
  readonly manifest: Manifest;
  readonly store: Candidate;
}

// biome-ignore format: table
const ACCEPTABLE: Readonly<Record<string, (o: Offer) => boolean>> = {
  'the manifest is for this store':
    ({ manifest, store }) => store.uuid !== undefined && equal(Buffer.from(manifest.uuid, 'hex'), store.uuid),
  'the store is handed over, and nobody has taken it back':
    ({ store }) => store.ackState === 'handed-over',
  'the generation is the one that was handed over':
    ({ manifest, store }) => manifest.generation === store.generation,
  'the epoch is the one that was handed over':
    ({ manifest, store }) => manifest.epoch === store.epoch,
};

/** Checks an offer against the image, under its lock. @throws MigrationError REFUSED */
export function mustBeAcceptable(manifest: Manifest, store: Candidate): void {
  enforce('REFUSED', ACCEPTABLE, { manifest, store });
}

function enforce<T>(
  code: MigrationErrorCode,
  rules: Readonly<Record<string, (subject: T) => boolean>>,
  subject: T,
): void {
  const broken = Object.keys(rules).filter(rule => !rules[rule]!(subject));
  if (broken.length > 0) {
    throw new MigrationError(
      code,
      broken.map(rule => `not so: ${rule}`),
    );
  }
}
