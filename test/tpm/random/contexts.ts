/** Contexts: keys and sessions that leave the TPM, and come back. */
import { RESOURCE, raw } from '../../../src/testing/guest/index.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { anyKey } from './held.js';

const { byte, rawCommand } = raw;
const LABEL = new Uint8Array(16).fill(0x11);
const CONTEXTS = new Kept<Uint8Array>('for good');

function save(guest: RandomGuest): void {
  const session = guest.chance(2) ? guest.client.openOiap().handle : undefined;
  const handle = session ?? anyKey(guest).handle;
  const type = session === undefined ? RESOURCE.KEY : RESOURCE.AUTH;
  CONTEXTS.keep(guest, guest.run(rawCommand('SaveContext', 1, handle, type, LABEL)));
}

function bringBack(guest: RandomGuest): void {
  const blob = CONTEXTS.pick(guest);
  if (blob === undefined) return;
  guest.run(rawCommand('LoadContext', 1, anyKey(guest).handle, byte(0), blob));
}

// biome-ignore format: table
export const CONTEXTS_FAMILY: Family = [
  [10, save],
  [10, bringBack],
];
