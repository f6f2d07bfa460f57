/** Auditing (TPM Main Part 3, §8), and the ways in which what a TPM holds is let go of (§22). */

import { CAP, commands, raw } from '../../src/guest/index.js';
import { SIGNING } from '../scenarios/keys-common.js';
import type { Family, RandomGuest } from './guest.js';
import { anyKey, drop, HELD, heldKey } from './held.js';
import { identity } from './identity.js';

const { byte, rawCommand } = raw;
/** What a guest does often, and the commands through which others go. */
// biome-ignore format: table
const ORDINALS = [
  0x0a, 0x0b, 0x11, 0x14, 0x15, 0x1f, 0x20, 0x3c, 0x41, 0x65, 0x78, 0x81, 0x98, 0x99, 0xb8, 0xb9, 0xba,
  0xd2, 0xd5, 0xe6, 0xe7, 0xe8, 0xf1, 0x4000_000a, 0x4000_000b,
] as const;
/** What is never audited, or does not exist. */
const NOT_AUDITED = [0x85, 0x86, 0x00, 0xff, 0x100, 0xffff_ffff] as const;

function setAudit(guest: RandomGuest): void {
  const ordinal = guest.wrongly() ? guest.pick(NOT_AUDITED) : guest.pick(ORDINALS);
  const audited = byte(guest.below(3));
  guest.run(rawCommand('SetOrdinalAuditStatus', 0, ordinal, audited), [guest.owner]);
}

const readDigest = (guest: RandomGuest): unknown =>
  guest.run(rawCommand('GetAuditDigest', 0, guest.pick([0, guest.below(300), 0x4000_000a])));

/** Signs the digest; an identity may begin it anew. */
function signDigest(guest: RandomGuest): void {
  const closes = guest.chance(3);
  const key = guest.wrongly(6) ? anyKey(guest) : closes ? identity(guest) : heldKey(guest, SIGNING);
  const close = byte(Number(closes || guest.wrongly()));
  const command = rawCommand('GetAuditDigestSigned', 1, key.handle, close, guest.bytes(20));
  guest.run(command, [key.secret]);
}

const [KEY, AUTH, TRANSPORT, CONTEXT] = [1, 2, 4, 5];

/** By TPM_FlushSpecific of any type, whether or not the handle is of that type. */
function flush(guest: RandomGuest): void {
  const { handle } = guest.chance(2) ? guest.oiap() : guest.osap(...guest.asOwner);
  const held = HELD.pick(guest);
  if (held !== undefined && guest.chance(3)) {
    guest.run(commands.flushSpecific(held.handle, guest.wrongly() ? guest.below(10) : KEY));
    drop(guest, held);
  }
  guest.run(commands.flushSpecific(handle, guest.wrongly() ? guest.below(10) : AUTH));
}

function terminate(guest: RandomGuest): void {
  const open = guest.chance(2) ? guest.oiap() : guest.osap(...guest.asOwner);
  guest.run(commands.terminateHandle(guest.wrongly() ? anyKey(guest).handle : open.handle));
}

/** What is there: keys, sessions of both kinds, contexts that are away. A leak shows here. */
function list(guest: RandomGuest): void {
  for (const type of [KEY, AUTH, TRANSPORT, CONTEXT]) {
    guest.run(commands.getCapability(CAP.HANDLE, type));
  }
}

// biome-ignore format: table
export const AUDIT: Family = [
  [5, setAudit],
  [4, readDigest],
  [5, signDigest],
  [4, flush],
  [3, terminate],
  [6, list],
];
