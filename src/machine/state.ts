/**
 * What leaves a machine besides its image, and the rules by which it is resumed. Every part has a kind
 * and a version. The permanent state does not travel: the state says which store it belongs to, and
 * what was stored there.
 * @module
 */
import { createHash } from 'node:crypto';
import { toHex } from '../hex.js';
import type { BlobStore } from '../nvram/index.js';
import { broken, type Rules } from '../rules.js';
import type { TisState } from '../tis/index.js';
import type { BlobName, Engine, EngineKind } from '../tpm/engine.js';
import { MachineError } from './errors.js';
import { infoOf, type Opened } from './storage.js';

export const STATE_KIND = 'nvtpm-instance';
export const STATE_VERSION = 1;

/** The stored state that a volatile state belongs to. */
export interface StorePosition {
  /** In hex; undefined for a store without one. */
  readonly uuid: string | undefined;
  readonly generation: number;
  readonly epoch: number;
  /** SHA-256 in hex of each stored blob that the engine resumes from. */
  readonly blobs: Readonly<Record<string, string>>;
}

/** A running TPM without its registers. Holds secrets of sessions: not for logs. */
export interface InstanceState {
  readonly kind: string;
  readonly version: number;
  readonly engine: EngineKind;
  /** The engine's volatile state, in its own format of this version. */
  readonly volatile: { readonly version: number; readonly bytes: Uint8Array };
  readonly store: StorePosition;
}

/** A running machine: the TPM and its registers, whose state has a kind and a version of its own. */
export interface MachineState extends InstanceState {
  readonly tis: TisState;
}

/** `volatilestate` is not among them: it is what travels. */
const RESUMED_FROM = ['permall', 'savestate'] as const satisfies readonly BlobName[];

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function digests(load: (name: string) => Uint8Array | undefined): Record<string, string> {
  const found = RESUMED_FROM.map(name => [name, load(name)] as const);
  return Object.fromEntries(
    found.flatMap(([name, bytes]) => (bytes === undefined ? [] : [[name, sha256(bytes)]])),
  );
}

/** @throws StoreFailure, StateError; NvramError, LockError, IoError */
export function stateOf(engine: Engine, store: BlobStore): InstanceState {
  const bytes = engine.volatileState();
  const { uuid, generation, epoch } = infoOf(store);
  return {
    kind: STATE_KIND,
    version: STATE_VERSION,
    engine: engine.kind,
    volatile: { version: engine.volatileVersion, bytes },
    store: {
      uuid: uuid && toHex(uuid),
      generation,
      epoch,
      blobs: digests(name => store.load(name)),
    },
  };
}

/** A state, and what it is to be resumed with. */
interface Meeting {
  readonly state: InstanceState;
  readonly engine: Engine;
  readonly opened: Opened;
}

const generationOf = ({ opened }: Meeting): number => opened.generation ?? 0;
const sameBlobs = ({ state, opened }: Meeting): boolean => {
  const found = digests(name => opened.load(name));
  return RESUMED_FROM.every(name => found[name] === state.store.blobs[name]);
};

// biome-ignore format: table
const ALWAYS: Rules<Meeting> = {
  [`the state is of kind ${STATE_KIND}`]:       ({ state }) => state.kind === STATE_KIND,
  [`the state has version ${STATE_VERSION}`]:   ({ state }) => state.version === STATE_VERSION,
  'the state is of an engine of this name':      ({ state, engine }) => state.engine.name === engine.kind.name,
  'the state is of a TPM of this version':       ({ state, engine }) => state.engine.version === engine.kind.version,
  'the volatile state has a version that the engine knows':
    ({ state, engine }) => state.volatile.version === engine.volatileVersion,
  'the state is of this store':
    ({ state, opened }) => state.store.uuid === (opened.uuid && toHex(opened.uuid)),
};

/** A machine that was handed over: exactly the state that the source left. */
// biome-ignore format: table
const HANDED_OVER: Rules<Meeting> = {
  'the store is handed over, and was not taken back': ({ opened }) => opened.ackState === 'handed-over',
  'the generation is the one that was handed over':
    meeting => generationOf(meeting) === meeting.state.store.generation,
  'the epoch is the one that was handed over':
    ({ state, opened }) => (opened.epoch ?? 0) === state.store.epoch,
  'the stored blobs are those that were handed over': sameBlobs,
};

/** A snapshot: what is stored may have a later epoch, but not another content. */
// biome-ignore format: table
const SNAPSHOT: Rules<Meeting> = {
  'the image is not older than the snapshot':
    meeting => sameBlobs(meeting) || generationOf(meeting) >= meeting.state.store.generation,
  'the image is not newer than the snapshot':
    meeting => sameBlobs(meeting) || generationOf(meeting) <= meeting.state.store.generation,
  'the image has the history of the snapshot':
    meeting => sameBlobs(meeting) || generationOf(meeting) !== meeting.state.store.generation,
};

/** @throws MachineError REFUSED, naming every rule that is broken */
export function demandResumable(what: 'handed over' | 'snapshot', meeting: Meeting): void {
  const refused = broken(ALWAYS, meeting);
  if (refused.length === 0) {
    refused.push(...broken(what === 'snapshot' ? SNAPSHOT : HANDED_OVER, meeting));
  }
  if (refused.length === 0) return;
  const named = refused.map(rule => `not so: ${rule}`);
  const { generation } = meeting.state.store;
  const where = `generation ${generationOf(meeting)} in the store, ${generation} in the state`;
  throw new MachineError('REFUSED', `the state was refused: ${named.join('; ')} (${where})`, {
    broken: named,
  });
}
