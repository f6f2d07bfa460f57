/** Data that a key seals, or the owner keeps in the old register. */

import { pcrsHolding, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import { DATA } from '../scenarios/keys-common.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { aParent, asKey, HELD, type Held, load } from './held.js';

const { counted, rawCommand, selection } = raw;
const ZEROS = new Uint8Array(20);

interface Sealed {
  readonly blob: Uint8Array;
  readonly secret: Uint8Array;
  readonly by: Held;
}
export const SEALED = new Kept<Sealed>('until the owner goes');

/** PCRs that the data wants: none, those that are as they were at the start, or others. */
function wanted(guest: RandomGuest): Uint8Array {
  if (guest.chance(2)) return new Uint8Array();
  const { digestAtRelease } = pcrsHolding(new Map([[16, ZEROS]]));
  return concat(selection(16), guest.chance(4) ? ZEROS : digestAtRelease, ZEROS);
}

function seal(guest: RandomGuest): Sealed {
  const by = aParent(guest);
  const data = guest.bytes(1 + guest.below(100));
  const pcrs = wanted(guest);
  const name = guest.chance(2) ? 'Sealx' : 'Seal';
  const blob = guest.runIn(asKey(by), session =>
    rawCommand(name, 1, by.handle, guest.hidden(session, DATA), counted(pcrs), counted(data)),
  );
  const sealed = { blob, secret: DATA, by };
  SEALED.keep(guest, sealed);
  return sealed;
}

/** The key that sealed it, loaded again if need be. */
function sealer(guest: RandomGuest, by: Held): Held {
  if (guest.wrongly()) return aParent(guest);
  if (by.wrapped === undefined) return { ...by, secret: guest.srk };
  return HELD.of(guest).find(({ wrapped }) => wrapped === by.wrapped) ?? load(guest, by.wrapped);
}

function unseal(guest: RandomGuest): void {
  const sealed = SEALED.pick(guest) ?? seal(guest);
  const by = sealer(guest, sealed.by);
  const command = raw.unseal(by.handle, sealed.blob);
  if (guest.chance(2)) guest.run(command, [by.secret], [sealed.secret]);
  else guest.runIn(asKey(by), () => command, { after: [[sealed.secret]] });
}

// biome-ignore format: table
export const STORAGE: Family = [
  [6, seal],
  [6, unseal],
];
