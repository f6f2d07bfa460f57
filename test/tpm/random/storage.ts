/** Data that a key seals. */
import { KEY } from '../../../scripts/transcripts/keys-common.js';
import { ENTITY, raw } from '../../../src/testing/guest/index.js';
import { concat } from '../../../src/wire/codec.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { aParent, type Held } from './held.js';

const { counted, rawCommand, selection } = raw;

interface Sealed {
  readonly blob: Uint8Array;
  readonly by: Held;
}
const SEALED = new Kept<Sealed>('until the owner goes');

function seal(guest: RandomGuest): void {
  const by = aParent(guest);
  const session = guest.osap(ENTITY.KEYHANDLE, by.handle, by.secret);
  const data = new Uint8Array(1 + guest.below(100)).fill(guest.below(256));
  const pcrs = guest.chance(3) ? concat(selection(16), new Uint8Array(40)) : new Uint8Array();
  const name = guest.chance(3) ? 'Sealx' : 'Seal';
  const secret = guest.hidden(session, KEY);
  const command = rawCommand(name, 1, by.handle, secret, counted(pcrs), counted(data));
  SEALED.keep(guest, { blob: guest.run(command, [by.secret, session]), by });
}

function unseal(guest: RandomGuest): void {
  const sealed = SEALED.pick(guest);
  if (sealed === undefined) return;
  const by = guest.wrongly() ? aParent(guest) : sealed.by;
  const bound = guest.chance(2) ? guest.osap(ENTITY.KEYHANDLE, by.handle, by.secret) : undefined;
  guest.run(raw.unseal(by.handle, sealed.blob), [by.secret, bound], [KEY]);
}

// biome-ignore format: table
export const STORAGE: Family = [
  [10, seal],
  [10, unseal],
];
