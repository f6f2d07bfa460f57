/** NV indices: defined, written, read. */
import { KEY } from '../../../scripts/transcripts/keys-common.js';
import { commands, ENTITY, HANDLE, NV_PER, nvPublic } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const INDEX = 0x1100;
const DIGEST = new Uint8Array(20).fill(0x11);

function storeNv(guest: RandomGuest): void {
  const index = INDEX + guest.below(3);
  guest.pick<() => unknown>([
    () => define(guest, index),
    () =>
      guest.run(commands.nvWriteValue(index, guest.below(4), DIGEST.slice(0, guest.below(8))), [
        guest.owner,
      ]),
    () => guest.run(commands.nvReadValue(index, guest.below(4), guest.below(8)), [guest.owner]),
    () => guest.run(commands.nvReadValue(index, 0, 4, true), [KEY]),
  ])();
}

function define(guest: RandomGuest, index: number): void {
  const attributes = guest.pick([
    NV_PER.OWNERREAD | NV_PER.OWNERWRITE,
    NV_PER.AUTHREAD | NV_PER.OWNERWRITE,
  ]);
  const session = guest.osap(ENTITY.OWNER, HANDLE.OWNER, guest.owner);
  const pub = nvPublic(index, guest.below(9), attributes);
  const command = commands.nvDefineSpace(pub, guest.hidden(session, KEY));
  guest.run(command, [guest.owner, session]);
}

export const NV: Family = [[10, storeNv]];
