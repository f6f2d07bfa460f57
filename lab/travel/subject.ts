/** A TPM in which a life is lived: ours or swtpm, by the same interface. */

import type { Transmit } from '../../src/guest/index.js';
import { systemClock as clock } from '../../src/system.js';
import type { Clock } from '../../src/tpm/engine.js';
import { Tpm12 } from '../../src/tpm/tpm12/tpm12.js';
import type { Swtpm } from '../peers/swtpm.js';
import { MemoryNvram } from '../reference/memory-nvram.js';
import { entropy } from '../reference/rig.js';

/** What lies on the disk. */
export interface States {
  readonly permall?: Uint8Array | undefined;
  readonly savestate?: Uint8Array | undefined;
}

export interface Subject {
  readonly transmit: Transmit;
  /** The locality of every command from now on. */
  setLocality(locality: number): void;
  /** A measured launch. */
  hash(data: Uint8Array): void;
  powerCut(): void;
  states(): States;
}

/** Our engine, powered on with `states`. */
export function ours({ permall, savestate }: States, now: Clock = clock): Subject {
  const nvram = new MemoryNvram();
  if (permall !== undefined) nvram.blobs.set('permall', permall);
  if (savestate !== undefined) nvram.blobs.set('savestate', savestate);
  const tpm = new Tpm12({ entropy, clock: now });
  tpm.init(nvram);
  let locality = 0;
  return {
    transmit: request => tpm.process(request, locality),
    setLocality(next) {
      locality = next;
    },
    hash(data) {
      tpm.hashStart();
      tpm.hashData(data);
      tpm.hashEnd();
    },
    powerCut: () => tpm.init(nvram),
    states: () => ({
      permall: nvram.blobs.get('permall'),
      savestate: nvram.blobs.get('savestate'),
    }),
  };
}

/** swtpm, powered on with `states`. */
export function theirs(tpm: Swtpm, states: States): Subject {
  tpm.adopt(states);
  return {
    transmit: tpm.transmit,
    setLocality: locality => tpm.setLocality(locality),
    hash: data => tpm.hash(data),
    powerCut: () => tpm.restart(),
    states: () => ({ permall: tpm.permall(), savestate: tpm.savestate() }),
  };
}
