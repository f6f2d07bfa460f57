/** What happens to keys in a life: made, loaded, kept by the owner, and let go. */

import {
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  type Key11,
  key11,
  pcrsHolding,
  pubKey,
  RESOURCE,
  raw,
} from '../../src/guest/index.js';
import { concat, decode, encode } from '../../src/wire/codec.js';
import {
  BINDING,
  ENC,
  FLAG,
  LEGACY,
  parms,
  SIG,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
  template,
  template12,
  USAGE,
} from '../scenarios/keys-common.js';
import { type HeldContext, type HeldKey, type Life, SECRET } from './life.js';

const { byte, rawCommand, selection, word16 } = raw;
const ZEROS = new Uint8Array(20);
const KEYS_MAX = 19;

const small = (key: Key11): Key11 => {
  const { encScheme, sigScheme } = key.algorithmParms;
  return { ...key, algorithmParms: parms(encScheme, sigScheme, 512) };
};
const KINDS = [
  ...[SIGNING_DER, SIGNING, SIGNING_INFO, BINDING, LEGACY].map(small),
  template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 512, Uint8Array.of(3))),
];

/** A template with flags, and bound to PCRs now and then, in the form of TPM 1.1 or 1.2. */
function someTemplate(life: Life): { key: Key11 | Uint8Array; storage: boolean } {
  const storage = life.chance(6);
  const keyFlags = life.pick([0, 0, 0, FLAG.MIGRATABLE, FLAG.VOLATILE, FLAG.PCRIGNOREDONREAD])!;
  const authDataUsage = life.pick([1, 1, 0, 3])!;
  const key = { ...(storage ? STORAGE : life.pick(KINDS)!), keyFlags, authDataUsage };
  const here = pcrsHolding(new Map([[16, ZEROS]]));
  const digest = here.digestAtRelease;
  if (life.chance(4)) {
    const localities = [byte(1), byte(life.pick([1, 0x1f])!)];
    const none = concat(selection(), selection(), ZEROS, ZEROS);
    const some = concat(selection(1), selection(16), ZEROS, digest);
    const info = concat(word16(6), ...localities, life.chance(2) ? none : some);
    return { key: template12(key, info), storage };
  }
  const pcrInfo = life.chance(4) ? concat(selection(16), digest, ZEROS) : new Uint8Array();
  return { key: { ...key, pcrInfo }, storage };
}

const SRK = HANDLE.SRK;

/** The SRK, more often than not, or a storage key under it. */
function someParent(life: Life): number {
  const others = life.keys.filter(({ storage }) => storage).map(({ handle }) => handle);
  return life.pick([SRK, SRK, ...others])!;
}

export function makeKey(life: Life): void {
  if (life.owner === undefined) return;
  const parent = someParent(life);
  const { key, storage } = someTemplate(life);
  life.try(() => {
    const to = [ENTITY.KEYHANDLE, parent] as const;
    const blob = life.runWith(to, life.secretOf(parent), (usage, migration) =>
      raw.createWrapKey(parent, usage, migration, key),
    );
    life.wrapped.push({ blob, storage, parent });
  });
  loadKey(life);
}

/** A key that migrates to those only whom an authority names. */
export function makeCertifiedKey(life: Life): void {
  const { owner } = life;
  if (owner === undefined) return;
  const keyFlags = FLAG.MIGRATABLE + FLAG.MIGRATEAUTHORITY;
  const key = template12({ ...small(SIGNING), keyFlags }, new Uint8Array());
  const authorities = life.bytes(20);
  life.try(() => {
    const approval = life.run(rawCommand('CMK_ApproveMA', 0, authorities), [owner]);
    const blob = life.runWith([ENTITY.KEYHANDLE, SRK], life.srk, usage =>
      rawCommand('CMK_CreateKey', 1, SRK, usage, key, approval, authorities),
    );
    life.wrapped.push({ blob, storage: false, parent: SRK });
  });
}

const IDENTITY = template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1));
/** Behind the key: the count of the signature, and its bytes. */
const BINDING_BYTES = 4 + 256;

export function makeIdentity(life: Life): void {
  const { owner, srk } = life;
  if (owner === undefined || !life.chance(3)) return;
  life.try(() => {
    const session = life.client.openOsap(ENTITY.OWNER, HANDLE.OWNER, owner);
    const hidden = encryptAuth(session, SECRET);
    const command = rawCommand('MakeIdentity', 0, hidden, life.bytes(20), encode(key11, IDENTITY));
    const blob = life.run(command, [srk], [owner, session]).slice(0, -BINDING_BYTES);
    life.wrapped.push({ blob, storage: false, parent: SRK });
  });
}

export function loadKey(life: Life): void {
  const made = life.pick(life.wrapped);
  if (made === undefined || life.keys.length >= KEYS_MAX) return;
  const { blob: wrapped, parent, storage } = made;
  const command = life.chance(4) ? raw.loadKey : raw.loadKey2;
  life.try(() => {
    const handle = life.run(command(parent, wrapped), [life.secretOf(parent)]);
    life.keys.push({ handle, secret: SECRET, wrapped, storage, kept: false });
  });
}

export function dropKey(life: Life): void {
  const key = life.pick(life.keys);
  if (key === undefined || key.kept || !life.chance(2)) return;
  life.try(() => life.run(commands.flushSpecific(key.handle, RESOURCE.KEY)));
  life.keys = life.keys.filter(one => one !== key);
}

/** The owner keeps a key over power cycles, or does not any more. */
export function keepKey(life: Life): void {
  const { owner } = life;
  const key = life.pick(life.keys);
  if (owner === undefined || key === undefined) return;
  const keeps = !life.chance(4);
  const pub = publicOf(key);
  life.try(() => {
    life.run(rawCommand('KeyControlOwner', 1, key.handle, pub, 1, byte(Number(keeps))), [owner]);
    key.kept = keeps;
  });
}

/** The TPM_PUBKEY of a key of either form. */
function publicOf({ wrapped }: HeldKey): Uint8Array {
  const old = concat(Uint8Array.of(1, 1, 0, 0), wrapped.slice(4));
  const { algorithmParms, modulus } = decode(key11, old);
  return encode(pubKey, { algorithmParms, modulus });
}

const LABEL = new TextEncoder().encode('sixteen letters.');

/** A key, or a session, leaves as a context. */
export function saveContext(life: Life): void {
  const held = life.pick(life.sessions);
  const key = life.pick(life.keys);
  const transport = life.pick(life.transports);
  const kind = life.below(3);
  life.try(() => {
    const save = (handle: number, type: number): Uint8Array =>
      life.run(rawCommand('SaveContext', 1, handle, type, LABEL));
    if (kind === 0 && key !== undefined) {
      life.contexts.push({ blob: save(key.handle, RESOURCE.KEY), entity: 0, to: 'anything' });
    } else if (kind === 1 && transport !== undefined) {
      life.contexts.push({ blob: save(transport, RESOURCE.TRANS), entity: 0, to: 'anything' });
      life.transports = life.transports.filter(one => one !== transport);
    } else if (held !== undefined) {
      const { target: entity, session, to } = held;
      life.contexts.push({ blob: save(session.handle, RESOURCE.AUTH), entity, to });
      life.sessions = life.sessions.filter(one => one !== held);
    }
  });
}

/** What left comes back, now and then. */
export function loadContext(life: Life): void {
  const context = life.pick(life.contexts);
  if (context !== undefined) life.try(() => takeBack(life, context));
}

/**
 * Takes a context back, under its old handle where that is free: libtpms lets a key go that has it,
 * and refuses the context all the same.
 */
export function takeBack(life: Life, { blob, entity }: HeldContext): void {
  const view = new DataView(blob.buffer, blob.byteOffset);
  const [type, handle] = [view.getUint32(2), view.getUint32(6)];
  const taken = handlesOf(life, type).includes(handle);
  life.run(rawCommand('LoadContext', 1, entity, byte(Number(!taken)), blob));
}

function handlesOf(life: Life, type: number): number[] {
  const listed = life.run(commands.getCapability(CAP.HANDLE, type));
  const view = new DataView(listed.buffer, listed.byteOffset);
  return Array.from({ length: view.getUint16(0) }, (_, at) => view.getUint32(2 + 4 * at));
}
