/**
 * Keys, made and loaded, and what they are for (TPM Main Part 3 §10, §13.5, §13.8, §16.3, §16.5).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  encryptTo,
  HANDLE,
  key11,
  pubKey,
  raw,
} from '../../src/guest/index.js';
import { concat, decode, encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, restart, start } from './common.js';
import {
  BINDING,
  ENC,
  FLAG,
  info11,
  infoLong,
  KEY,
  LEGACY,
  loadIt,
  make,
  parms,
  pcrZero,
  publicOf,
  SIG,
  SIGNING_DER,
  STORAGE,
  sign,
  template,
  template12,
  UNDER_SRK,
  USAGE,
  use,
  wrap,
} from './keys-common.js';

const { byte, counted, rawCommand } = raw;

const unBind = (handle: number, data: Uint8Array) => rawCommand('UnBind', 1, handle, counted(data));
const getPubKey = (handle: number) => rawCommand('GetPubKey', 1, handle);

/** Templates that TPM_CreateWrapKey takes. */
const GOOD = {
  storage: STORAGE,
  'a migratable storage key': { ...STORAGE, keyFlags: FLAG.MIGRATABLE },
  'signing, 512 bits': SIGNING_DER,
  'binding with PKCS': template(USAGE.BIND, parms(ENC.PKCS, SIG.NONE, 512)),
  'exponent 3': template(USAGE.BIND, parms(ENC.OAEP, SIG.NONE, 512, Uint8Array.of(3))),
  legacy: LEGACY,
  migrate: template(USAGE.MIGRATE, parms(ENC.OAEP, SIG.NONE)),
  'a template of TPM 1.2': template12(SIGNING_DER, infoLong(0x1f)),
  'a template of TPM 1.2 without PCRs': template12(SIGNING_DER, new Uint8Array()),
  'PCR 16': { ...SIGNING_DER, pcrInfo: info11(16, pcrZero()) },
};

/** Templates that it refuses. */
const BAD = {
  identity: template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1)),
  authchange: template(USAGE.AUTHCHANGE, parms(ENC.OAEP, SIG.NONE, 512)),
  'usage 0': template(0, parms(ENC.NONE, SIG.SHA1)),
  'usage 0x17': template(0x17, parms(ENC.NONE, SIG.SHA1)),
  'signing with an encryption scheme': template(USAGE.SIGNING, parms(ENC.OAEP, SIG.SHA1)),
  'signing without a scheme': template(USAGE.SIGNING, parms(ENC.NONE, SIG.NONE)),
  'storage of 1024 bits': template(USAGE.STORAGE, parms(ENC.OAEP, SIG.NONE, 1024)),
  'storage with exponent 3': template(
    USAGE.STORAGE,
    parms(ENC.OAEP, SIG.NONE, 2048, Uint8Array.of(3)),
  ),
  'legacy with INFO': template(USAGE.LEGACY, parms(ENC.PKCS, SIG.INFO, 512)),
  '4096 bits': template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 4096)),
  '520 bits': template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 520)),
  '256 bits': template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 256)),
  'exponent 4': template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 512, Uint8Array.of(4))),
  'under an authority': { ...SIGNING_DER, keyFlags: FLAG.MIGRATEAUTHORITY },
  'flags that are none': { ...SIGNING_DER, keyFlags: 0x20 },
  'PCR information that is none': { ...SIGNING_DER, pcrInfo: DIGEST },
};

function makeKeys(tpm: Recorder): void {
  start(tpm);
  for (const [what, key] of Object.entries(GOOD)) wrap(tpm, what, key);
  for (const [what, key] of Object.entries(BAD)) wrap(tpm, `refused: ${what}`, key);
  wrap(tpm, 'a wrong secret of the SRK', SIGNING_DER, UNDER_SRK, WRONG);
  tpm.auth('in an OIAP session', raw.createWrapKey(HANDLE.SRK, KEY, KEY, SIGNING_DER), SRK);
  tpm.do('without a session', raw.createWrapKey(HANDLE.SRK, KEY, KEY, SIGNING_DER));
  const leaf = make(tpm, 'a signing key', SIGNING_DER);
  wrap(tpm, 'under a signing key', SIGNING_DER, { handle: leaf, secret: KEY });
  const moves = make(tpm, 'a migratable storage key', { ...STORAGE, keyFlags: FLAG.MIGRATABLE });
  wrap(tpm, 'what stays under what moves', SIGNING_DER, { handle: moves, secret: KEY });
  wrap(
    tpm,
    'what moves under what moves',
    { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE },
    { handle: moves, secret: KEY },
  );
}

/** A signing key under the SRK, loaded as it should be and otherwise. */
function loadUnderSrk(tpm: Recorder): { wrapped: Uint8Array; handle: number } {
  const wrapped = wrap(tpm, 'make a signing key', SIGNING_DER)!;
  const handle = loadIt(tpm, 'load it', wrapped)!;
  tpm.auth('load it in the old way', raw.loadKey(HANDLE.SRK, wrapped), SRK);
  tpm.do('load it without authorisation', raw.loadKey2(HANDLE.SRK, wrapped));
  tpm.do('in the old way without authorisation', raw.loadKey(HANDLE.SRK, wrapped));
  tpm.auth('with a wrong secret', raw.loadKey2(HANDLE.SRK, wrapped), WRONG);
  tpm.auth('under a key that is none', raw.loadKey2(0x1234, wrapped), SRK);
  tpm.auth('under the EK', raw.loadKey2(HANDLE.EK, wrapped), SRK);
  tpm.auth('under the owner', raw.loadKey2(HANDLE.OWNER, wrapped), SRK);
  tpm.auth('under a signing key', raw.loadKey2(handle, wrapped), KEY);
  for (const [what, at] of [
    ['its secret part', -3],
    ['its modulus', -300],
    ['its flags', 9],
  ] as const) {
    const bent = wrapped.slice();
    bent[at < 0 ? bent.length + at : at]! ^= 1;
    tpm.auth(`bent in ${what}`, raw.loadKey2(HANDLE.SRK, bent), SRK);
  }
  tpm.auth(
    'without a secret part',
    raw.loadKey2(
      HANDLE.SRK,
      encode(key11, { ...decode(key11, wrapped), encData: new Uint8Array() }),
    ),
    SRK,
  );
  tpm.auth('the template itself', raw.loadKey2(HANDLE.SRK, encode(key11, SIGNING_DER)), SRK);
  return { wrapped, handle };
}

/** A key under a storage key that needs no authorisation; gives the storage key. */
function loadUnderStorage(tpm: Recorder): number {
  const storage = make(tpm, 'a storage key', { ...STORAGE, authDataUsage: 0 });
  const parent = { handle: storage, secret: KEY };
  const child = wrap(tpm, 'make a key under it', SIGNING_DER, parent)!;
  tpm.do('load that without authorisation', raw.loadKey2(storage, child));
  tpm.auth('load that under the SRK', raw.loadKey2(HANDLE.SRK, child), SRK);
  return storage;
}

/** TPM_EvictKey and TPM_FlushSpecific, and the places that they free. */
function evict(tpm: Recorder, handle: number, storage: number, wrapped: Uint8Array): void {
  const session = tpm.osap('a session to the key', ENTITY.KEYHANDLE, handle, KEY);
  tpm.do('let it go', rawCommand('EvictKey', 1, handle));
  tpm.do('again', rawCommand('EvictKey', 1, handle));
  tpm.auth('a use of the session', sign(handle, DIGEST), KEY, { session });
  tpm.do('TPM_FlushSpecific of the storage key', commands.flushSpecific(storage, 1));
  tpm.do('the SRK', rawCommand('EvictKey', 1, HANDLE.SRK));
  tpm.do('the handles now', commands.getCapability(CAP.HANDLE, 1));
  loadIt(tpm, 'load the first again, in the place of it', wrapped);
  tpm.do('the handles after that', commands.getCapability(CAP.HANDLE, 1));
}

function loadKeys(tpm: Recorder): void {
  start(tpm);
  const { wrapped, handle } = loadUnderSrk(tpm);
  const storage = loadUnderStorage(tpm);
  tpm.do('the handles', commands.getCapability(CAP.HANDLE, 1));
  tpm.do('the handles in the old way', commands.getCapability(CAP.KEY_HANDLE));
  tpm.do('is there room for more', commands.getCapability(CAP.PROPERTY, 0x104));
  evict(tpm, handle, storage, wrapped);
  for (let count = 0; count < 19; count += 1) loadIt(tpm, `until it is full: ${count}`, wrapped);
  tpm.do('the handles when it is full', commands.getCapability(CAP.HANDLE, 1));
  tpm.do(
    'would another fit',
    commands.getCapability(CAP.CHECK_LOADED, encode(key11, SIGNING_DER).slice(11, 39)),
  );
  restart(tpm);
  tpm.do('the handles after a power cut', commands.getCapability(CAP.HANDLE, 1));
}

export const KEYS = [
  scenario('keys-make', 'owned', 'TPM_CreateWrapKey: templates that go and that do not.', makeKeys),
  scenario('keys-load', 'owned', 'TPM_LoadKey2, TPM_LoadKey and the ends of keys.', loadKeys),

  scenario('keys-public', 'owned', 'What keys show of themselves.', tpm => {
    start(tpm);
    const always = make(tpm, 'a key', SIGNING_DER);
    const never = make(tpm, 'a key that needs no authorisation', {
      ...SIGNING_DER,
      authDataUsage: 0,
    });
    const open = make(tpm, 'a key that shows itself', { ...SIGNING_DER, authDataUsage: 3 });
    for (const [what, handle] of Object.entries({ always, never, open })) {
      use(tpm, `${what}: authorised`, getPubKey(handle));
      use(tpm, `${what}: wrongly authorised`, getPubKey(handle), WRONG);
      tpm.do(`${what}: not authorised`, getPubKey(handle));
    }
    use(tpm, 'the SRK', getPubKey(HANDLE.SRK), SRK);
    tpm.do('the SRK, not authorised', getPubKey(HANDLE.SRK));
    tpm.auth(
      'the owner shows the SRK',
      rawCommand('SetCapability', 0, 1, counted(Uint8Array.of(0, 0, 0, 0x11)), counted(byte(1))),
      OWNER,
    );
    use(tpm, 'the SRK now', getPubKey(HANDLE.SRK), SRK);
    use(tpm, 'the EK', getPubKey(HANDLE.EK));
    tpm.do('no key', getPubKey(0x1234));
    tpm.auth('the owner reads the EK', rawCommand('OwnerReadPubek', 0), OWNER);
    tpm.auth('with a wrong secret', rawCommand('OwnerReadPubek', 0), WRONG);
    tpm.auth('the owner hides the EK', rawCommand('DisablePubekRead', 0), OWNER);
    tpm.auth('with a wrong secret', rawCommand('DisablePubekRead', 0), WRONG);
    const ignoring = make(tpm, 'a key for other PCRs that shows itself', {
      ...SIGNING_DER,
      keyFlags: FLAG.PCRIGNOREDONREAD,
      pcrInfo: info11(16, DIGEST),
    });
    use(tpm, 'it shows itself', getPubKey(ignoring));
    use(tpm, 'and signs nothing', sign(ignoring, DIGEST));
    const strict = make(tpm, 'a key for other PCRs', {
      ...SIGNING_DER,
      pcrInfo: info11(16, DIGEST),
    });
    use(tpm, 'it does not show itself', getPubKey(strict));
  }),

  scenario('keys-owner', 'owned', 'TPM_KeyControlOwner: keys that stay.', tpm => {
    start(tpm);
    const wrapped = wrap(tpm, 'make a key', SIGNING_DER)!;
    const pub = encode(pubKey, publicOf(wrapped));
    const handle = loadIt(tpm, 'load it', wrapped)!;
    const control = (key: number, bit: number, value: number, of = pub) =>
      rawCommand('KeyControlOwner', 1, key, of, bit, byte(value));
    tpm.auth('not yet: it stays no more', control(handle, 1, 0), OWNER);
    tpm.auth('it stays', control(handle, 1, 1), OWNER);
    tpm.auth('it stays, again', control(handle, 1, 2), OWNER);
    tpm.auth('another bit', control(handle, 2, 1), OWNER);
    tpm.auth('a key that is none', control(0x1234, 1, 1), OWNER);
    tpm.auth(
      'with a public key of another',
      control(handle, 1, 1, concat(pub.slice(0, -1), byte(1))),
      OWNER,
    );
    tpm.auth('a wrong secret', control(handle, 1, 0), WRONG);
    tpm.do('let it go', rawCommand('EvictKey', 1, handle));
    tpm.do('TPM_FlushSpecific', commands.flushSpecific(handle, 1));
    tpm.do('who keeps it', commands.getCapability(CAP.KEY_STATUS, handle));
    const parted = make(tpm, 'a storage key for PCR 16', {
      ...STORAGE,
      pcrInfo: info11(16, pcrZero()),
    });
    const child = wrap(tpm, 'a key under it', SIGNING_DER, { handle: parted, secret: KEY })!;
    const childHandle = loadIt(tpm, 'load that', child, { handle: parted, secret: KEY })!;
    tpm.auth('that stays', control(childHandle, 1, 1, encode(pubKey, publicOf(child))), OWNER);
    const gone = wrap(tpm, 'a volatile key', { ...SIGNING_DER, keyFlags: FLAG.VOLATILE })!;
    const goneHandle = loadIt(tpm, 'load it', gone)!;
    tpm.auth('that stays', control(goneHandle, 1, 1, encode(pubKey, publicOf(gone))), OWNER);
    restart(tpm);
    tpm.do('the handles after a power cut', commands.getCapability(CAP.HANDLE, 1));
    use(tpm, 'it signs', sign(handle, DIGEST));
    tpm.auth('it stays no more', control(handle, 1, 0), OWNER);
    restart(tpm);
    tpm.do('the handles after another', commands.getCapability(CAP.HANDLE, 1));
    for (let count = 1; count <= 11; count += 1) {
      const one = loadIt(tpm, `load number ${count}`, wrapped);
      tpm.auth(`number ${count} stays`, control(one ?? 0, 1, 1), OWNER);
    }
    tpm.auth('the owner goes, and all of them', commands.ownerClear(), OWNER);
    tpm.do('the handles then', commands.getCapability(CAP.HANDLE, 1));
  }),

  scenario('binding', 'owned', 'TPM_UnBind.', tpm => {
    start(tpm);
    const wrapped = wrap(tpm, 'make a binding key', BINDING)!;
    const handle = loadIt(tpm, 'load it', wrapped)!;
    const pub = publicOf(wrapped);
    const bound = (payload: number, version = [1, 1, 0, 0]) =>
      encryptTo(pub, concat(Uint8Array.from(version), byte(payload), DIGEST));
    use(tpm, 'what was bound', unBind(handle, bound(2)));
    use(tpm, 'with a wrong secret', unBind(handle, bound(2)), WRONG);
    tpm.do('not authorised', unBind(handle, bound(2)));
    use(tpm, 'another payload', unBind(handle, bound(1)));
    use(tpm, 'another version', unBind(handle, bound(2, [2, 0, 0, 0])));
    use(tpm, 'version 1.1.9.9', unBind(handle, bound(2, [1, 1, 9, 9])));
    use(tpm, 'too little', unBind(handle, encryptTo(pub, Uint8Array.of(1, 1, 0))));
    use(tpm, 'no data', unBind(handle, encryptTo(pub, Uint8Array.of(1, 1, 0, 0, 2))));
    use(tpm, 'another label', unBind(handle, encryptTo(pub, DIGEST, DIGEST)));
    use(tpm, 'nothing', unBind(handle, new Uint8Array()));
    use(tpm, 'nonsense', unBind(handle, new Uint8Array(128).fill(0x11)));
    use(tpm, 'too long', unBind(handle, new Uint8Array(129)));
    const signing = make(tpm, 'a signing key', SIGNING_DER);
    use(tpm, 'under a signing key', unBind(signing, new Uint8Array(64).fill(0x11)));
    const legacy = make(tpm, 'a legacy key', LEGACY);
    use(tpm, 'nonsense under a legacy key', unBind(legacy, new Uint8Array(128).fill(0x11)));
    use(tpm, 'no key', unBind(0x1234, DIGEST));
  }),
];
