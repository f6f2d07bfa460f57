/**
 * Powering on with state blobs that come from outside: a migration that carries the permanent state, or
 * an emulator that loads a snapshot of its own. They replace what is stored, in one commit, after an
 * engine has loaded them; an image with another TPM is refused.
 * @module
 */

import { MemoryStore } from '../nvram/index.js';
import type { BlobName, Engine, EngineFactory, EngineInfo, NvramPort } from '../tpm/engine.js';
import { equal } from '../wire/codec.js';
import { MachineError } from './errors.js';
import type { Opened } from './storage.js';

/** A complete state: a blob that is not among them is absent. `permall` is always among them. */
export type StateBlobs = ReadonlyMap<BlobName, Uint8Array>;

/** Where state blobs come from: another host, or a snapshot that the emulator made of this machine. */
export type Origin = 'migration' | 'roll-back';

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

/**
 * The blobs are of the TPM that the store has, or the store has none that anything depends on: neither an
 * Endorsement Key nor an owner. A roll-back may lead to before the Endorsement Key.
 * @throws MachineError REFUSED; StateError
 */
export function demandSameTpm(
  make: EngineFactory,
  opened: Opened,
  blobs: StateBlobs,
  origin: Origin,
): void {
  const permall = opened.load('permall');
  if (permall === undefined) return;
  const stored = examine(make, new Map([['permall', permall]]));
  if (stored.ek === undefined && !stored.owned) return;
  const { ek, owned } = examine(make, blobs);
  if (origin === 'roll-back' && ek === undefined && !owned) return;
  if (stored.ek !== undefined && ek !== undefined && equal(stored.ek, ek)) return;
  const broken = ['the state is of another TPM than the one in this image'];
  throw new MachineError('REFUSED', `${opened.path}: ${broken[0]}; use an empty image for it`, {
    broken,
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
