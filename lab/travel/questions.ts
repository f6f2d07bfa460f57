/**
 * The series of questions that is put to a TPM after its state has travelled: everything that can be
 * asked without an authorisation, everything that the owner may read, and every thing of its life put
 * to use. What the answers are does not matter here; that both TPMs give the same does.
 */
import {
  CAP,
  type Command,
  commands,
  FLAG,
  HANDLE,
  PROPERTY,
  RESOURCE,
  raw,
} from '../../src/guest/index.js';
import { concat, encode, u16, u32 } from '../../src/wire/codec.js';
import { takeBack } from './keys.js';
import { type HeldSession, type Life, SECRET } from './life.js';
import { readNv } from './nv.js';
import { dsap, useHeld } from './sessions.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const n4 = (value: number): Uint8Array => encode(u32, value);
const range = (length: number): number[] => Array.from({ length }, (_, at) => at);
const DIGEST = new Uint8Array(20).fill(0x11);
const CONTEXT = 5;
const DAA = 8;
const RSA_512 = concat(n4(1), word16(1), word16(2), counted(concat(n4(512), n4(2), n4(0))));

function capabilities({ keys, indices }: Life): Command<Uint8Array>[] {
  const sub32 = (area: number, subs: readonly number[]) =>
    subs.map(sub => commands.getCapability(area, sub));
  const handles = [...keys.map(({ handle }) => handle), HANDLE.SRK, HANDLE.EK, 0x1234];
  const kinds = [...Object.values(RESOURCE), CONTEXT, DAA, 0, 3, 7];
  return [
    ...sub32(CAP.FLAG, [FLAG.PERMANENT, FLAG.VOLATILE]),
    ...sub32(CAP.PROPERTY, [...Object.values(PROPERTY), 0x100, 0x105, 0x118]),
    ...sub32(CAP.HANDLE, kinds),
    ...sub32(CAP.KEY_STATUS, handles),
    ...sub32(CAP.NV_INDEX, [...indices.map(({ index }) => index), 0x1234]),
    ...sub32(CAP.ALG, range(12)),
    ...sub32(CAP.TRANS_ALG, range(12)),
    ...sub32(CAP.AUTH_ENCRYPT, range(12)),
    ...sub32(CAP.SYM_MODE, range(4)),
    ...range(8).map(sub => commands.getCapability(CAP.PID, encode(u16, sub))),
    ...range(7).map(sub => commands.getCapability(CAP.TRANS_ES, encode(u16, sub))),
    commands.getCapability(CAP.CHECK_LOADED, RSA_512),
    commands.getCapability(CAP.SELECT_SIZE, concat(byte(1), byte(1), word16(3))),
    ...[CAP.KEY_HANDLE, CAP.NV_LIST, CAP.VERSION, CAP.VERSION_VAL].map(area =>
      commands.getCapability(area),
    ),
  ];
}

/** Questions that need no authorisation. */
function unauthorised(life: Life): Command<unknown>[] {
  return [
    ...capabilities(life),
    ...range(24).map(commands.pcrRead),
    ...range(2).map(raw.dirRead),
    ...range(9).map(id => rawCommand('ReadCounter', 0, id)),
    rawCommand('Delegate_ReadTable', 0),
    rawCommand('GetAuditDigest', 0, 0),
    commands.readPubek(DIGEST),
    commands.getTestResult(),
    ...life.blobs.map(({ blob }) => rawCommand('Delegate_VerifyDelegation', 0, counted(blob))),
  ];
}

function owners(): Command<unknown>[] {
  return [
    commands.getCapabilityOwner(),
    commands.ownerReadInternalPub(HANDLE.EK),
    commands.ownerReadInternalPub(HANDLE.SRK),
    rawCommand('OwnerReadPubek', 0),
    rawCommand('CMK_ApproveMA', 0, DIGEST),
    rawCommand('DirWriteAuth', 0, 0, DIGEST),
    rawCommand('SetOrdinalAuditStatus', 0, 0x85, byte(1)),
  ];
}

const ofKey = (handle: number): Command<unknown>[] => [
  rawCommand('GetPubKey', 1, handle),
  rawCommand('Sign', 1, handle, counted(DIGEST)),
  rawCommand('Quote', 1, handle, DIGEST, selection(0, 9, 16)),
  rawCommand('GetAuditDigestSigned', 1, handle, byte(0), DIGEST),
  rawCommand('UnBind', 1, handle, counted(new Uint8Array(64).fill(1))),
];

/** Asks everything, of the TPM that `life` now is in. */
export function ask(life: Life): void {
  for (const command of unauthorised(life)) life.try(() => life.run(command));
  // A lockout is told by every authorisation, until the owner ends it.
  for (const command of owners().slice(0, 1)) life.asOwner(command);
  life.asOwner(rawCommand('ResetLockValue', 0));
  for (const held of life.sessions.filter(goesOn)) life.try(() => useHeld(life, held));
  for (const command of owners()) life.asOwner(command);
  askKeys(life);
  for (const held of life.indices) life.try(() => readNv(life, held, 0, Math.min(held.size, 256)));
  for (const id of life.counters) {
    life.try(() => life.run(rawCommand('IncrementCounter', 0, id), [SECRET]));
  }
  for (const context of life.contexts.filter(goesOn)) life.try(() => takeBack(life, context));
  for (const { blob, key } of life.blobs) {
    life.try(() => dsap(life, key === undefined ? 7 : 9, key ?? 0, blob));
  }
  for (const row of range(4)) life.try(() => dsap(life, 8, 0, n4(row)));
  for (const held of life.sessions.filter(goesOn)) life.try(() => useHeld(life, held));
  for (const handle of life.transports) {
    life.try(() => life.run(commands.flushSpecific(handle, RESOURCE.TRANS)));
  }
}

/** libtpms does not know a counter again after a restart, for a session that was opened before. */
const goesOn = ({ to }: { readonly to: HeldSession['to'] }): boolean => to !== 'a counter';

function askKeys(life: Life): void {
  const keys = life.keys.map(({ handle, secret }) => [handle, secret] as const);
  for (const [handle, secret] of [...keys, [HANDLE.SRK, life.srk] as const]) {
    for (const command of ofKey(handle)) life.try(() => life.run(command, [secret]));
  }
  for (const [handle, secret] of keys) {
    const [other, theirs] = keys[0]!;
    const certify = rawCommand('CertifyKey', 2, other, handle, DIGEST);
    life.try(() => life.run(certify, [theirs], [secret]));
  }
  for (const { blob, parent } of life.wrapped.slice(0, 4)) {
    life.try(() => life.run(raw.loadKey2(parent, blob), [life.secretOf(parent)]));
  }
}

/** What the operator may, after which nothing else goes. */
export function deactivate(life: Life): void {
  const { operator } = life;
  if (operator === undefined) return;
  life.try(() => life.run(rawCommand('SetTempDeactivated', 0), [operator]));
}
