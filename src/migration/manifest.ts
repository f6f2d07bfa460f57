/**
 * What travels in a migration over shared storage, as JSON: the state of the machine, each part with a
 * kind and a version. Here its form is checked; whether the machine and the image can resume from it
 * is checked under the lock (machine/state.ts).
 * @module
 */
import { type MachineState, STATE_KIND, STATE_VERSION } from '../machine/state.js';
import { broken, type Rules } from '../rules.js';
import { ENGINE_NAMES, TPM_VERSIONS } from '../tpm/engine.js';
import { MigrationError } from './errors.js';

export const KIND = 'nvtpm-migration';
export const VERSION = 1;

/** The message of the source: a MachineState, with its bytes in base64. */
export interface Manifest {
  readonly kind: string;
  readonly version: number;
  readonly engine: { readonly name: string; readonly version: string };
  readonly volatile: { readonly version: number; readonly bytes: string };
  readonly store: MachineState['store'];
  readonly tis: unknown;
}

/** A state as data that survives JSON: what a migration sends, and what a snapshot's file can hold. */
export function makeManifest({ engine, volatile, store, tis }: MachineState): Manifest {
  const bytes = Buffer.from(volatile.bytes).toString('base64');
  const travelling = { version: volatile.version, bytes };
  return { kind: KIND, version: VERSION, engine, volatile: travelling, store, tis };
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** A field by its path; undefined where any part of the path is missing. */
const at = (message: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (from, name) => (isObject(from) && Object.hasOwn(from, name) ? from[name] : undefined),
      message,
    );
const matches = (pattern: RegExp) => (value: unknown) =>
  typeof value === 'string' && pattern.test(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
/** A store that is not in an image may have none. */
const isUuid = (value: unknown): boolean => value === undefined || matches(/^[0-9a-f]{32}$/)(value);
const areDigests = (value: unknown): boolean =>
  isObject(value) && Object.values(value).every(matches(/^[0-9a-f]{64}$/));

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

// biome-ignore format: table
const SHAPE: Rules<unknown> = {
  [`the kind is ${KIND}`]:                     m => at(m, 'kind') === KIND,
  [`the version is ${VERSION}`]:               m => at(m, 'version') === VERSION,
  'the engine has a name':                     m => ENGINE_NAMES.some(name => name === at(m, 'engine.name')),
  'the engine has a version':                  m => TPM_VERSIONS.some(version => version === at(m, 'engine.version')),
  'the volatile state has a version':          m => isCount(at(m, 'volatile.version')),
  'the volatile state is in base64':           m => matches(BASE64)(at(m, 'volatile.bytes')),
  'the uuid of the store is 16 bytes in hex':  m => isUuid(at(m, 'store.uuid')),
  'the generation is a number':                m => isCount(at(m, 'store.generation')),
  'the epoch is a number':                     m => isCount(at(m, 'store.epoch')),
  'the stored blobs have digests':             m => areDigests(at(m, 'store.blobs')),
  'the state of the TIS is there':             m => isObject(at(m, 'tis')),
};

/**
 * The state that a manifest carries.
 * @throws MigrationError MALFORMED, naming every rule that `message` breaks
 */
export function readManifest(message: unknown): MachineState {
  const wrong = broken(SHAPE, message);
  if (wrong.length > 0) {
    throw new MigrationError(
      'MALFORMED',
      wrong.map(rule => `not so: ${rule}`),
    );
  }
  const { engine, volatile, store, tis } = message as Manifest;
  return {
    kind: STATE_KIND,
    version: STATE_VERSION,
    engine: engine as MachineState['engine'],
    volatile: {
      version: volatile.version,
      bytes: new Uint8Array(Buffer.from(volatile.bytes, 'base64')),
    },
    store,
    // Its own rules are the device's: see TisStateError.
    tis: tis as MachineState['tis'],
  };
}
