/** Certified migration: keys that migrate under the rules of an authority. */

import { HANDLE, raw } from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat } from '../../src/wire/codec.js';
import {
  digestOf,
  FLAG,
  KEY,
  SIGNING,
  SIGNING_DER,
  STORAGE,
  template12,
} from '../scenarios/keys-common.js';
import type { Family, RandomGuest } from './guest.js';
import {
  asKey,
  type Held,
  heldKey,
  load,
  secretPart,
  srk,
  WRAPPED,
  type Wrapped,
  withSecretPart,
} from './held.js';
import { authorize, publicKeyOf, twoBuffers } from './migration.js';

const { counted, rawCommand, word16 } = raw;
const RESTRICT_MIGRATE = 4;
const RESTRICT_APPROVE = 5;
const CERTIFIED = {
  ...SIGNING_DER,
  keyFlags: FLAG.MIGRATABLE + FLAG.MIGRATEAUTHORITY,
};
const NOTHING = new Uint8Array();

/** TPM_MSA_COMPOSITE of one authority. */
const listOf = (authority: Wrapped): Uint8Array =>
  concat(Uint8Array.of(0, 0, 0, 1), digestOf(authority.blob));

const digest = (guest: RandomGuest, right: Uint8Array): Uint8Array =>
  guest.wrongly(6) ? guest.bytes(20) : right;

/** A key of an authority's, with the owner's approval. */
function create(guest: RandomGuest, authority: Wrapped): Wrapped {
  const list = sha1(listOf(authority));
  const approval = guest.run(rawCommand('CMK_ApproveMA', 0, list), [guest.owner]);
  const { handle } = srk(guest);
  const blob = guest.runIn(asKey(srk(guest)), session =>
    rawCommand(
      'CMK_CreateKey',
      1,
      handle,
      guest.hidden(session, KEY),
      template12(CERTIFIED, NOTHING),
      approval,
      digest(guest, list),
    ),
  );
  const { keyUsage: usage, keyFlags: flags } = CERTIFIED;
  const key = { blob, usage, flags, secret: KEY, migration: KEY, parent: undefined };
  WRAPPED.keep(guest, key);
  return key;
}

interface Consent {
  readonly list: Uint8Array;
  readonly restrictions: Uint8Array;
  readonly ticket: Uint8Array;
}

/** The authority signs where a key may go, and the TPM gives a ticket for it. */
function approve(guest: RandomGuest, authority: Held, to: Wrapped, key: Wrapped): Consent {
  const list = listOf(authority.wrapped!);
  const digests = [authority.wrapped!, to, key].map(({ blob }) => digestOf(blob));
  const restrictions = concat(...digests);
  const signed = sha1(restrictions);
  const signature = guest.run(rawCommand('Sign', 1, authority.handle, counted(signed)), [
    authority.secret,
  ]);
  const command = rawCommand(
    'CMK_CreateTicket',
    0,
    publicKeyOf(authority),
    digest(guest, signed),
    signature,
  );
  return { list, restrictions, ticket: guest.run(command, [guest.owner]) };
}

function createBlob(
  guest: RandomGuest,
  leave: Uint8Array,
  key: Wrapped,
  { list, restrictions, ticket }: Consent,
): [Uint8Array, Uint8Array] {
  const command = rawCommand(
    'CMK_CreateBlob',
    1,
    HANDLE.SRK,
    word16(guest.below(3)),
    leave,
    digest(guest, digestOf(key.blob)),
    counted(list),
    counted(restrictions),
    counted(ticket),
    counted(secretPart(key)),
  );
  return twoBuffers(guest.run(command, [guest.srk]));
}

/** All the way: made, approved, sent off, arrived, certified. */
function travel(guest: RandomGuest): void {
  const authority = heldKey(guest, SIGNING);
  const to = heldKey(guest, STORAGE);
  if (authority.wrapped === undefined || to.wrapped === undefined) return;
  const key = create(guest, authority.wrapped);
  const consent = approve(guest, authority, to.wrapped, key);
  const leave = authorize(guest, RESTRICT_APPROVE, to);
  const [random, data] = createBlob(guest, leave, key, consent);
  const command = rawCommand(
    'CMK_ConvertMigration',
    1,
    to.handle,
    consent.restrictions,
    digest(guest, consent.ticket),
    withSecretPart(key, data, {}).blob,
    counted(consent.list),
    counted(random),
  );
  const part = guest.run(command, [to.secret]).slice(4);
  const arrived = load(guest, withSecretPart(key, part, { parent: to.wrapped }), to);
  const list = digest(guest, sha1(consent.list));
  const certify = rawCommand(
    'CertifyKey2',
    2,
    arrived.handle,
    authority.handle,
    list,
    guest.bytes(20),
  );
  guest.run(certify, [arrived.secret], [authority.secret]);
}

/** To the authority itself, which needs no ticket. */
function toAuthority(guest: RandomGuest): void {
  const authority = heldKey(guest, STORAGE);
  if (authority.wrapped === undefined) return;
  const key = create(guest, authority.wrapped);
  const leave = authorize(guest, RESTRICT_MIGRATE, authority);
  const extra = guest.wrongly() ? guest.bytes(20) : NOTHING;
  const list = listOf(authority.wrapped);
  createBlob(guest, leave, key, { list, restrictions: NOTHING, ticket: extra });
}

const restrict = (guest: RandomGuest): unknown =>
  guest.run(rawCommand('CMK_SetRestrictions', 0, guest.below(32) * 2 ** 27), [guest.owner]);

// biome-ignore format: table
export const CERTIFIED_MIGRATION: Family = [
  [6, travel],
  [2, toAuthority],
  [3, restrict],
];
