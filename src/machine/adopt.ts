/**
 * Powering on with state blobs that come from outside: a migration that carries the permanent state, or
 * an emulator that loads a snapshot of its own. They replace what is stored, in one commit, after an
 * engine has loaded them; an image with another TPM is refused.
 * @module
 */

import { MemoryStore } from '../nvram/index.js';
import { broken, type Rules } from '../rules.js';
import type { BlobName, Engine, EngineFactory, EngineInfo, NvramPort } from '../tpm/engine.js';
import { equal } from '../wire/codec.js';
import { MachineError } from './errors.js';
import type { Opened } from './storage.js';

/** A complete state: a blob that is not among them is absent. `permall` is always among them. */
export type StateBlobs = ReadonlyMap<BlobName, Uint8Array>;

/**
 * Where state blobs come from: a machine on another image, a machine that hands this very image over with
 * them, or a snapshot that the emulator made of this machine.
 */
export type Origin = 'migration' | 'hand-over' | 'roll-back';

/**
 * Loads `blobs` into an engine of its own, which stores nothing anywhere.
 * @returns what that TPM reports of itself
 * @throws StateError, StoreFailure
 */
export function examine(make: EngineFactory, blobs: StateBlobs): EngineInfo {
  const engine = make();
  try {
    power(engine, portOn(blobs), blobs);
    return engine.info();
  } finally {
    engine.close();
  }
}

/** Powers an engine on from a port that holds `blobs`. @throws StateError, StoreFailure */
export function power(engine: Engine, port: NvramPort, blobs: StateBlobs): void {
  const volatile = blobs.get('volatilestate');
  if (volatile === undefined) engine.init(port);
  else engine.restore(port, volatile);
}

/** Puts `blobs` in the place of what a port holds. `volatilestate` travels, and is not stored. */
export function replaceIn(port: NvramPort, blobs: StateBlobs): void {
  for (const name of ['permall', 'savestate'] as const) {
    const bytes = blobs.get(name);
    if (bytes === undefined) port.delete(name);
    else port.store(name, bytes);
  }
}

interface Arrival {
  readonly blobs: StateBlobs;
  readonly origin: Origin;
}

/**
 * Whether `blobs` may replace what the store has. A store that has never had a TPM takes any.
 * @throws MachineError REFUSED; StateError
 */
export function demandAdoptable(
  make: EngineFactory,
  opened: Opened,
  { blobs, origin }: Arrival,
): void {
  if (opened.pristine) return;
  if (origin === 'hand-over') demandHandedOver(opened, blobs);
  else demandSameTpm(make, opened, { blobs, origin });
}

const isStored = (opened: Opened, blobs: StateBlobs, name: BlobName): boolean => {
  const [stored, given] = [opened.load(name), blobs.get(name)];
  if (stored === undefined || given === undefined) return stored === given;
  return equal(stored, given);
};

// biome-ignore format: table
const HANDED_OVER: Rules<{ readonly opened: Opened; readonly blobs: StateBlobs }> = {
  'the store is handed over, and was not taken back': ({ opened }) => opened.ackState === 'handed-over',
  'the permanent blob is the one in the store':       ({ opened, blobs }) => isStored(opened, blobs, 'permall'),
  'the saved state is the one in the store':          ({ opened, blobs }) => isStored(opened, blobs, 'savestate'),
};

/** The blobs are those with which the source has handed this store over. @throws MachineError REFUSED */
function demandHandedOver(opened: Opened, blobs: StateBlobs): void {
  const rules = broken(HANDED_OVER, { opened, blobs });
  if (rules.length === 0) return;
  const named = rules.map(rule => `not so: ${rule}`).join('; ');
  throw new MachineError('REFUSED', `${opened.path}: the state was refused: ${named}`, {
    broken: rules,
  });
}

/**
 * The blobs are of the TPM that the store has, or the store has none that anything depends on: neither an
 * Endorsement Key nor an owner. A roll-back may lead to before the Endorsement Key.
 * @throws MachineError REFUSED; StateError
 */
function demandSameTpm(make: EngineFactory, opened: Opened, { blobs, origin }: Arrival): void {
  const permall = opened.load('permall');
  if (permall === undefined) return;
  const stored = examine(make, new Map([['permall', permall]]));
  if (stored.ek === undefined && !stored.owned) return;
  const { ek, owned } = examine(make, blobs);
  if (origin === 'roll-back' && ek === undefined && !owned) return;
  if (stored.ek !== undefined && ek !== undefined && equal(stored.ek, ek)) return;
  const rule = 'the state is of another TPM than the one in this image';
  throw new MachineError('REFUSED', `${opened.path}: ${rule}; use an empty image for it`, {
    broken: [rule],
  });
}

function portOn(blobs: StateBlobs): NvramPort {
  const store = new MemoryStore({ blobs });
  return {
    load: name => store.load(name),
    store: (name, bytes) => store.commit(new Map([[name, bytes]])),
    delete: name => store.commit(new Map([[name, null]])),
  };
}
