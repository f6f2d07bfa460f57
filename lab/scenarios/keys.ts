/**
 * Keys, made and loaded, and what they are for (TPM Main Part 3 §10, §13.5, §13.8, §16.3, §16.5).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  encryptTo,
  HANDLE,
  key11,
  pcrsHolding,
  pubKey,
  raw,
} from '../../src/guest/index.js';
import { concat, decode, encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, restart, start } from './common.js';
import {
  BINDING,
  DATA,
  drop,
  ENC,
  FLAG,
  KEY,
  LEGACY,
  loadIt,
  make,
  parms,
  publicOf,
  SIG,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
  template,
  template12,
  UNDER_SRK,
  USAGE,
  wrap,
} from './keys-common.js';

const ZEROS = new Uint8Array(20);
const { byte, counted, selection, word16, rawCommand } = raw;

/** A TPM_PCR_INFO_LONG over PCR 16, for the given localities. */
const infoLong = (localities: number, digest = pcrZero()): Uint8Array =>
  concat(word16(6), byte(1), byte(localities), selection(16), selection(16), ZEROS, digest);
const pcrZero = (): Uint8Array => pcrsHolding(new Map([[16, ZEROS]])).digestAtRelease;
/** A TPM_PCR_INFO over one PCR. */
const info11 = (pcr: number, digest: Uint8Array): Uint8Array =>
  concat(selection(pcr), digest, ZEROS);

/** Uses a key in a session of its own, of either kind. */
function use(
  tpm: Recorder,
  what: string,
  command: ReturnType<typeof rawCommand>,
  secret = KEY,
): Uint8Array | undefined {
  return tpm.auth(what, command, secret).value;
}

const sign = (handle: number, area: Uint8Array) => rawCommand('Sign', 1, handle, counted(area));
const quote = (handle: number, ...pcrs: number[]) =>
  rawCommand('Quote', 1, handle, DIGEST, selection(...pcrs));
const quote2 = (handle: number, version: number, ...pcrs: number[]) =>
  rawCommand('Quote2', 1, handle, DIGEST, selection(...pcrs), byte(version));
const unBind = (handle: number, data: Uint8Array) => rawCommand('UnBind', 1, handle, counted(data));
const getPubKey = (handle: number) => rawCommand('GetPubKey', 1, handle);

export const KEYS = [
  scenario('keys-make', 'owned', 'TPM_CreateWrapKey: templates that go and that do not.', tpm => {
    start(tpm);
    const good = {
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
    for (const [what, key] of Object.entries(good)) wrap(tpm, what, key);
    const bad = {
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
    for (const [what, key] of Object.entries(bad)) wrap(tpm, `refused: ${what}`, key);
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
  }),

  scenario('keys-load', 'owned', 'TPM_LoadKey2, TPM_LoadKey and the ends of keys.', tpm => {
    start(tpm);
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
    const storage = make(tpm, 'a storage key', { ...STORAGE, authDataUsage: 0 });
    const parent = { handle: storage, secret: KEY };
    const child = wrap(tpm, 'make a key under it', SIGNING_DER, parent)!;
    tpm.do('load that without authorisation', raw.loadKey2(storage, child));
    tpm.auth('load that under the SRK', raw.loadKey2(HANDLE.SRK, child), SRK);
    tpm.do('the handles', commands.getCapability(CAP.HANDLE, 1));
    tpm.do('the handles in the old way', commands.getCapability(CAP.KEY_HANDLE));
    tpm.do('is there room for more', commands.getCapability(CAP.PROPERTY, 0x104));
    const session = tpm.osap('a session to the key', ENTITY.KEYHANDLE, handle, KEY);
    tpm.do('let it go', rawCommand('EvictKey', 1, handle));
    tpm.do('again', rawCommand('EvictKey', 1, handle));
    tpm.auth('a use of the session', sign(handle, DIGEST), KEY, { session });
    tpm.do('TPM_FlushSpecific of the storage key', commands.flushSpecific(storage, 1));
    tpm.do('the SRK', rawCommand('EvictKey', 1, HANDLE.SRK));
    tpm.do('the handles now', commands.getCapability(CAP.HANDLE, 1));
    loadIt(tpm, 'load the first again, in the place of it', wrapped);
    tpm.do('the handles after that', commands.getCapability(CAP.HANDLE, 1));
    for (let count = 0; count < 19; count += 1) loadIt(tpm, `until it is full: ${count}`, wrapped);
    tpm.do('the handles when it is full', commands.getCapability(CAP.HANDLE, 1));
    tpm.do(
      'would another fit',
      commands.getCapability(CAP.CHECK_LOADED, encode(key11, SIGNING_DER).slice(11, 39)),
    );
    restart(tpm);
    tpm.do('the handles after a power cut', commands.getCapability(CAP.HANDLE, 1));
  }),

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

  scenario('sealing', 'owned', 'TPM_Seal, TPM_Sealx and TPM_Unseal.', tpm => {
    start(tpm);
    const storage = make(tpm, 'a storage key', STORAGE);
    const under = (
      what: string,
      handle: number,
      secret: Uint8Array,
      info: Uint8Array,
      data: Uint8Array,
      x = false,
      scheme = 0,
    ) => {
      const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE + scheme, handle, secret);
      if (session === undefined) return new Uint8Array();
      const encrypted = encryptAuth(session, DATA);
      const command = rawCommand(
        x ? 'Sealx' : 'Seal',
        1,
        handle,
        encrypted,
        counted(info),
        counted(data),
      );
      return tpm.auth(what, command, secret, { session }).value ?? new Uint8Array();
    };
    const unseal = (
      what: string,
      handle: number,
      secret: Uint8Array,
      blob: Uint8Array,
      data = DATA,
    ) => tpm.auth2(what, raw.unseal(handle, blob), { secret }, { secret: data });
    const plain = new TextEncoder().encode('what nobody else must know');
    const srk = under('under the SRK', HANDLE.SRK, SRK, new Uint8Array(), plain);
    unseal('it comes back', HANDLE.SRK, SRK, srk);
    unseal('with a wrong secret of its own', HANDLE.SRK, SRK, srk, WRONG);
    unseal('with a wrong secret of the SRK', HANDLE.SRK, WRONG, srk);
    unseal('under another key', storage, KEY, srk);
    tpm.auth('with one authorisation', raw.unseal(HANDLE.SRK, srk), DATA);
    tpm.do('with none', raw.unseal(HANDLE.SRK, srk));
    for (const at of [0, 2, 40, srk.length - 1]) {
      const bent = srk.slice();
      bent[at]! ^= 1;
      unseal(`bent in byte ${at}`, HANDLE.SRK, SRK, bent);
    }
    const bound = under('for PCR 16', storage, KEY, info11(16, pcrZero()), plain);
    unseal('it comes back', storage, KEY, bound);
    const long = under('for PCR 16 and locality 0', storage, KEY, infoLong(1), plain);
    unseal('it comes back', storage, KEY, long);
    const elsewhere = under('for locality 3', storage, KEY, infoLong(8), plain);
    unseal('it does not come back here', storage, KEY, elsewhere);
    tpm.locality(3);
    unseal('it comes back there', storage, KEY, elsewhere);
    tpm.locality(0);
    tpm.do('PCR 16 changes', commands.extend(16, DIGEST));
    unseal('for PCR 16: not any more', storage, KEY, bound);
    unseal('the long one: not any more', storage, KEY, long);
    under('nothing', HANDLE.SRK, SRK, new Uint8Array(), new Uint8Array());
    under('too much', HANDLE.SRK, SRK, new Uint8Array(), new Uint8Array(150));
    under('far too much', HANDLE.SRK, SRK, new Uint8Array(), new Uint8Array(250));
    under('for what is no PCR information', HANDLE.SRK, SRK, DIGEST, plain);
    under('for too many PCRs', HANDLE.SRK, SRK, concat(word16(4), new Uint8Array(44)), plain);
    under('for one byte', HANDLE.SRK, SRK, byte(0), plain);
    under('for locality 0x20', HANDLE.SRK, SRK, infoLong(0x20), plain);
    const signing = make(tpm, 'a signing key', SIGNING_DER);
    under('under a signing key', signing, KEY, new Uint8Array(), plain);
    const moves = make(tpm, 'a migratable key', { ...STORAGE, keyFlags: FLAG.MIGRATABLE });
    under('under a migratable key', moves, KEY, new Uint8Array(), plain);
    const free = make(tpm, 'a storage key that needs no authorisation', {
      ...STORAGE,
      authDataUsage: 0,
    });
    const easy = under('under that', free, KEY, new Uint8Array(), plain);
    tpm.auth('with one authorisation', raw.unseal(free, easy), DATA);
    const session = tpm.osap('an OSAP session for the data', ENTITY.KEYHANDLE, free, KEY);
    tpm.auth('with an OSAP session', raw.unseal(free, easy), DATA, { session });
    const x = under(
      'encrypted, XOR',
      HANDLE.SRK,
      SRK,
      infoLong(1, pcrsHolding(new Map([[16, ZEROS]])).digestAtRelease),
      plain,
      true,
    );
    unseal('in an OIAP session', HANDLE.SRK, SRK, x);
    const xFree = under('encrypted for nothing', HANDLE.SRK, SRK, new Uint8Array(), plain, true);
    unseal('in an OIAP session', HANDLE.SRK, SRK, xFree);
    tpm.auth('with one authorisation', raw.unseal(HANDLE.SRK, xFree), DATA);
    const to = tpm.osap('a session to the SRK', ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    tpm.auth2(
      'in an OSAP session',
      raw.unseal(HANDLE.SRK, xFree),
      { secret: SRK, session: to, goOn: true },
      { secret: DATA, goOn: true },
    );
    const aes = under('encrypted, AES', HANDLE.SRK, SRK, new Uint8Array(), plain, true, 0x0600);
    const toAes = tpm.osap('a session to the SRK', ENTITY.KEYHANDLE + 0x0600, HANDLE.SRK, SRK);
    tpm.auth2(
      'in an OSAP session',
      raw.unseal(HANDLE.SRK, aes),
      { secret: SRK, session: toAes },
      { secret: DATA },
    );
    under('encrypted nothing', HANDLE.SRK, SRK, new Uint8Array(), new Uint8Array(), true);
    under(
      'encrypted, for old PCR information',
      HANDLE.SRK,
      SRK,
      info11(16, pcrZero()),
      plain,
      true,
    );
    tpm.auth(
      'sealing in an OIAP session',
      rawCommand('Seal', 1, HANDLE.SRK, DATA, counted(new Uint8Array()), counted(plain)),
      SRK,
    );
  }),

  scenario(
    'signing',
    'owned',
    'TPM_Sign, TPM_Quote, TPM_Quote2: every scheme, every usage.',
    tpm => {
      start(tpm);
      const keys = {
        SHA1: SIGNING,
        DER: SIGNING_DER,
        INFO: SIGNING_INFO,
        legacy: LEGACY,
        binding: BINDING,
        'no authorisation': { ...SIGNING, authDataUsage: 0 },
        'no authorisation, INFO': { ...SIGNING_INFO, authDataUsage: 0 },
        'for other PCRs': { ...SIGNING, pcrInfo: info11(16, DIGEST) },
      };
      tpm.do('PCR 1 holds something', commands.extend(1, DIGEST));
      for (const [what, key] of Object.entries(keys)) {
        const handle = make(tpm, what, key);
        use(tpm, `${what}: 20 bytes`, sign(handle, DIGEST));
        use(tpm, `${what}: a wrong secret`, sign(handle, DIGEST), WRONG);
        tpm.do(`${what}: not authorised`, sign(handle, DIGEST));
        use(tpm, `${what}: nothing`, sign(handle, new Uint8Array()));
        use(tpm, `${what}: 53 bytes`, sign(handle, new Uint8Array(53).fill(0x53)));
        use(tpm, `${what}: 54 bytes`, sign(handle, new Uint8Array(54).fill(0x54)));
        use(tpm, `${what}: 200 bytes`, sign(handle, new Uint8Array(200)));
        use(tpm, `${what}: quote`, quote(handle, 1, 2, 16));
        tpm.do(`${what}: quote, not authorised`, quote(handle, 1));
        use(tpm, `${what}: quote of nothing`, quote(handle));
        use(tpm, `${what}: quote 2`, quote2(handle, 0, 1, 16));
        use(tpm, `${what}: quote 2 with the version`, quote2(handle, 1, 1));
        tpm.do(`${what}: quote 2, not authorised`, quote2(handle, 0, 1));
        drop(tpm, what, handle);
      }
      use(tpm, 'the SRK signs', sign(HANDLE.SRK, DIGEST), SRK);
      use(tpm, 'the SRK quotes', quote(HANDLE.SRK, 1), SRK);
      const handle = make(tpm, 'a key', SIGNING);
      use(
        tpm,
        'quote of too many PCRs',
        rawCommand('Quote', 1, handle, DIGEST, word16(4), new Uint8Array(4)),
      );
      use(tpm, 'quote of an empty selection', rawCommand('Quote', 1, handle, DIGEST, word16(0)));
      use(tpm, 'quote 2 with a flag of 2', quote2(handle, 2, 1));
      tpm.locality(2);
      use(tpm, 'quote 2 from locality 2', quote2(handle, 0, 1));
      tpm.locality(0);
      let session = tpm.osap('a session to the key', ENTITY.KEYHANDLE, handle, KEY);
      session = tpm.auth('a signature in it', sign(handle, DIGEST), KEY, {
        session,
        goOn: true,
      }).session;
      tpm.auth('and another', sign(handle, DIGEST), KEY, { session });
      session = tpm.osap('a session to the SRK', ENTITY.SRK, HANDLE.SRK, SRK);
      tpm.auth('a signature in that', sign(handle, DIGEST), KEY, { session });
    },
  ),

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

  scenario('certifying', 'owned', 'TPM_CertifyKey and TPM_CertifyKey2.', tpm => {
    start(tpm);
    const cert = make(tpm, 'the signing key', SIGNING);
    const targets = {
      signing: SIGNING_DER,
      storage: STORAGE,
      binding: BINDING,
      migratable: { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE },
      'PCR 1': { ...SIGNING_DER, pcrInfo: info11(1, DIGEST) },
      'PCR 16': { ...SIGNING_DER, pcrInfo: info11(16, pcrZero()) },
      'TPM 1.2': template12(SIGNING_DER, infoLong(0x1f)),
      'TPM 1.2, locality 0': template12(SIGNING_DER, infoLong(1)),
      'TPM 1.2, no PCRs': template12(
        SIGNING_DER,
        concat(word16(6), byte(1), byte(0x1f), selection(), selection(), ZEROS, ZEROS),
      ),
      'TPM 1.2, no information': template12(SIGNING_DER, new Uint8Array()),
      'no authorisation': { ...SIGNING_DER, authDataUsage: 0 },
    };
    const certify = (by: number, key: number) => rawCommand('CertifyKey', 2, by, key, DIGEST);
    const certify2 = (by: number, key: number) =>
      rawCommand('CertifyKey2', 2, key, by, ZEROS, DIGEST);
    for (const [what, key] of Object.entries(targets)) {
      const target = make(tpm, what, key);
      tpm.auth2(`${what}: certified`, certify(cert, target), { secret: KEY }, { secret: KEY });
      tpm.auth2(
        `${what}: certified anew`,
        certify2(cert, target),
        { secret: KEY },
        { secret: KEY },
      );
      use(tpm, `${what}: one authorisation`, certify(cert, target));
      use(tpm, `${what}: one authorisation anew`, certify2(cert, target));
      tpm.do(`${what}: no authorisation`, certify(cert, target));
      tpm.do(`${what}: no authorisation anew`, certify2(cert, target));
      drop(tpm, what, target);
    }
    const target = make(tpm, 'a key', SIGNING_DER);
    tpm.auth2(
      'a wrong secret of the first',
      certify(cert, target),
      { secret: WRONG },
      { secret: KEY },
    );
    tpm.auth2(
      'a wrong secret of the second',
      certify(cert, target),
      { secret: KEY },
      { secret: WRONG },
    );
    tpm.auth2(
      'anew: a wrong secret of the first',
      certify2(cert, target),
      { secret: WRONG },
      { secret: KEY },
    );
    tpm.auth2(
      'anew: a wrong secret of the second',
      certify2(cert, target),
      { secret: KEY },
      { secret: WRONG },
    );
    const free = make(tpm, 'a signing key that needs no authorisation', {
      ...SIGNING,
      authDataUsage: 0,
    });
    use(tpm, 'one authorisation', certify(free, target));
    use(tpm, 'anew: one authorisation', certify2(target, free));
    tpm.do('none', certify(free, free));
    tpm.do('anew: none', certify2(free, free));
    tpm.auth2(
      'by a key of the DER scheme',
      certify(target, cert),
      { secret: KEY },
      { secret: KEY },
    );
    tpm.auth2('by a storage key', certify(HANDLE.SRK, target), { secret: SRK }, { secret: KEY });
    tpm.auth2('the SRK', certify(cert, HANDLE.SRK), { secret: KEY }, { secret: SRK });
    tpm.auth2('itself', certify(cert, cert), { secret: KEY }, { secret: KEY });
    const one = tpm.oiap('one session');
    tpm.auth2(
      'both in one session',
      certify(cert, target),
      { secret: KEY, session: one, goOn: true },
      { secret: KEY, session: one, goOn: true },
    );
    tpm.do('no keys', certify(0x1234, 0x1235));
  }),
];
