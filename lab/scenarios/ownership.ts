/**
 * The endorsement key, the owner, and how both end: TPM_CreateEndorsementKeyPair, TPM_ReadPubek,
 * TPM_OwnerReadInternalPub, TPM_TakeOwnership, TPM_OwnerClear, TPM_ForceClear (TPM Main Part 3 §6,
 * §14).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  encryptTo,
  HANDLE,
  type Key11,
  type KeyParms,
  NV_PER,
  nvPublic,
  type PubKey,
  RSA_2048,
  SRK_TEMPLATE,
} from '../../src/guest/index.js';
import { AREA, OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, readFlags, restart, start } from './common.js';

const readEk = () => commands.ownerReadInternalPub(HANDLE.EK);
const readSrk = () => commands.ownerReadInternalPub(HANDLE.SRK);

/** Everything that an owner can ask, with the secret that should be right. */
function askAsOwner(tpm: Recorder, when: string): void {
  tpm.auth(`${when}: the owner reads the EK`, readEk(), OWNER);
  tpm.auth(`${when}: the owner reads the SRK`, readSrk(), OWNER);
  tpm.auth(`${when}: a wrong secret`, readEk(), WRONG);
  tpm.do(`${when}: TPM_ReadPubek`, commands.readPubek(tpm.nonce()));
}

const take = (ek: PubKey, owner = OWNER, srk = SRK, template = SRK_TEMPLATE) =>
  commands.takeOwnership(encryptTo(ek, owner), encryptTo(ek, srk), template);

/** RSA key parameters with one field changed: bits, primes, exponent. */
const parms = (bits: number, primes: number, exponent: readonly number[] = []) => ({
  ...RSA_2048,
  parms: Uint8Array.from([
    0,
    0,
    bits >> 8,
    bits & 0xff,
    0,
    0,
    0,
    primes,
    0,
    0,
    0,
    exponent.length,
    ...exponent,
  ]),
});

/** Key parameters that no EK and no SRK may have. */
// biome-ignore format: table
const BAD_PARAMETERS: Readonly<Record<string, KeyParms>> = {
  'of 512 bits':                 parms(512, 2),
  'of 1024 bits':                parms(1024, 2),
  'of 4096 bits':                parms(4096, 2),
  'of 2047 bits':                parms(2047, 2),
  'of 0 bits':                   parms(0, 2),
  'of 3 primes':                 parms(2048, 3),
  'of algorithm 2':              { ...RSA_2048, algorithmId: 2 },
  'of algorithm 6':              { ...RSA_2048, algorithmId: 6, parms: new Uint8Array() },
  'of no RSA parameters':        { ...RSA_2048, parms: new Uint8Array() },
  'of RSA parameters too short': { ...RSA_2048, parms: RSA_2048.parms.slice(0, 11) },
};

/** Key parameters that are unusual, and that libtpms may take. */
// biome-ignore format: table
const ODD_PARAMETERS: Readonly<Record<string, KeyParms>> = {
  'exponent-65537': parms(2048, 2, [1, 0, 1]),
  'exponent-17':    parms(2048, 2, [0x11]),
  'exponent-3':     parms(2048, 2, [3]),
  'encrypt-none':   { ...RSA_2048, encScheme: 1 },
  'encrypt-pkcs1':  { ...RSA_2048, encScheme: 2 },
  'sign-pkcs1':     { ...RSA_2048, sigScheme: 2 },
  'parms-long':     { ...RSA_2048, parms: Uint8Array.of(...RSA_2048.parms, 0) },
};

/** SRK templates, each with one field that is not the usual. */
// biome-ignore format: table
const ODD_TEMPLATES: Readonly<Record<string, Partial<Key11>>> = {
  'for signing':           { keyUsage: 0x10 },
  'for binding':           { keyUsage: 0x14 },
  'that may migrate':      { keyFlags: 2 },
  'that is volatile':      { keyFlags: 4 },
  'that is redirected':    { keyFlags: 1 },
  'of key flag 0x20':      { keyFlags: 0x20 },
  'of authorisation 0':    { authDataUsage: 0 },
  'of authorisation 3':    { authDataUsage: 3 },
  'of authorisation 0x11': { authDataUsage: 0x11 },
  'bound to 45 PCR bytes': { pcrInfo: new Uint8Array(45) },
  'bound to 1 PCR byte':   { pcrInfo: new Uint8Array(1) },
  'with a modulus':        { modulus: new Uint8Array(256).fill(0xc1) },
  'with encrypted data':   { encData: new Uint8Array(256).fill(0xc1) },
};

/** Takes ownership with `template`; where that works, gives it up again. */
function tryTemplate(tpm: Recorder, what: string, ek: PubKey, change: Partial<Key11>): void {
  const command = take(ek, OWNER, SRK, { ...SRK_TEMPLATE, ...change });
  if (tpm.auth(what, command, OWNER).value === undefined) return;
  tpm.auth(`${what}: the owner reads the SRK`, readSrk(), OWNER);
  tpm.auth(`${what}: TPM_OwnerClear`, commands.ownerClear(), OWNER);
  restart(tpm);
  bePresent(tpm);
  tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
  tpm.do('TPM_PhysicalSetDeactivated(FALSE)', commands.physicalSetDeactivated(false));
  restart(tpm);
}

/** Indices of an owner, of the platform, and with a secret: what TPM_OwnerClear keeps of them. */
function defineIndices(tpm: Recorder): void {
  const OWNER_RW = NV_PER.OWNERREAD | NV_PER.OWNERWRITE;
  tpm.define('an index of the owner', nvPublic(0x1100, 4, OWNER_RW));
  tpm.define('an index of the platform (D bit)', nvPublic(0x1000_1101, 4, OWNER_RW));
  tpm.define(
    'an index with a secret of its own',
    nvPublic(0x1102, 4, NV_PER.AUTHREAD | NV_PER.AUTHWRITE),
  );
}

function clear(tpm: Recorder): void {
  tpm.do('the NV indices before', commands.getCapability(CAP.NV_LIST));
  tpm.osap('a session of the owner', ENTITY.OWNER, HANDLE.OWNER, OWNER);
  tpm.osap('a session of the SRK', ENTITY.SRK, HANDLE.SRK, SRK);
  const other = tpm.oiap('an unrelated session');
  const session = tpm.oiap('a session for TPM_OwnerClear');
  tpm.auth('TPM_OwnerClear, continueAuth 1', commands.ownerClear(), OWNER, {
    session,
    goOn: true,
  });
  tpm.do('the sessions after it', commands.getCapability(CAP.HANDLE, 2));
  if (other !== undefined) tpm.auth('the unrelated session', readEk(), OWNER, { session: other });
  tpm.do('the NV indices after it', commands.getCapability(CAP.NV_LIST));
}

function switchOn(tpm: Recorder): void {
  bePresent(tpm);
  tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
  tpm.do('TPM_PhysicalSetDeactivated(FALSE)', commands.physicalSetDeactivated(false));
  readFlags(tpm, 'enabled');
  restart(tpm);
  readFlags(tpm, 'enabled, after a power cut');
}

function ownerClear(tpm: Recorder): void {
  start(tpm);
  defineIndices(tpm);
  clear(tpm);
  readFlags(tpm, 'cleared');
  askAsOwner(tpm, 'cleared');
  tpm.osap('the SRK is gone', ENTITY.SRK, HANDLE.SRK, SRK);
  restart(tpm);
  readFlags(tpm, 'cleared, after a power cut');
  askAsOwner(tpm, 'cleared, after a power cut');
  switchOn(tpm);
  const ek = tpm.do('TPM_ReadPubek: the same EK', commands.readPubek(tpm.nonce()))?.publicKey;
  if (ek !== undefined) tpm.auth('TPM_TakeOwnership by another owner', take(ek, AREA), AREA);
  tpm.auth('the old owner', readEk(), OWNER);
  tpm.auth('the new owner', readEk(), AREA);
}

export const OWNERSHIP = [
  scenario('endorsement', 'nothing', 'The endorsement key: made once.', tpm => {
    start(tpm);
    tpm.do('TPM_ReadPubek before there is one', commands.readPubek(tpm.nonce()));
    tpm.auth(
      'TPM_TakeOwnership without an EK',
      commands.takeOwnership(new Uint8Array(256), new Uint8Array(256)),
      OWNER,
    );
    for (const [name, keyInfo] of Object.entries(BAD_PARAMETERS)) {
      tpm.do(`an EK ${name}`, commands.createEndorsementKeyPair(tpm.nonce(), keyInfo));
    }
    tpm.do('the EK', commands.createEndorsementKeyPair(tpm.nonce()));
    tpm.do('the EK again', commands.createEndorsementKeyPair(tpm.nonce()));
    tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()));
    readFlags(tpm, 'with an EK');
    restart(tpm);
    tpm.do('after a power cut: TPM_ReadPubek', commands.readPubek(tpm.nonce()));
    tpm.do('after a power cut: the EK again', commands.createEndorsementKeyPair(tpm.nonce()));
  }),

  ...Object.entries(ODD_PARAMETERS).map(([name, keyInfo]) =>
    scenario(`endorsement-${name}`, 'nothing', `An EK of odd parameters: ${name}.`, tpm => {
      start(tpm);
      tpm.do(`an EK: ${name}`, commands.createEndorsementKeyPair(tpm.nonce(), keyInfo));
      tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()));
    }),
  ),

  scenario('ownership-refused', 'ek', 'TPM_TakeOwnership that fails, then one that works.', tpm => {
    start(tpm);
    const ek = tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()))?.publicKey;
    if (ek === undefined) return;
    const good = encryptTo(ek, OWNER);
    const otherLabel = encryptTo(ek, OWNER, new Uint8Array());
    const empty = new Uint8Array();
    // biome-ignore format: table
    const blobs: readonly [string, Uint8Array, Uint8Array][] = [
      ['owner data of another OAEP label', otherLabel,               good],
      ['SRK data of another OAEP label',   good,                     otherLabel],
      ['owner data that is noise',         new Uint8Array(256).fill(0x55), good],
      ['owner data of zeros',              new Uint8Array(256),      good],
      ['owner data of ones',               new Uint8Array(256).fill(0xff), good],
      ['owner data of 255 bytes',          good.slice(1),            good],
      ['owner data of no bytes',           empty,                    good],
      ['a secret of 19 bytes',             encryptTo(ek, OWNER.slice(1)), good],
      ['a secret of 21 bytes',             encryptTo(ek, Uint8Array.of(...OWNER, 1)), good],
      ['an SRK secret of 19 bytes',        good,                     encryptTo(ek, SRK.slice(1))],
    ];
    for (const [what, owner, srk] of blobs) {
      tpm.auth(what, commands.takeOwnership(owner, srk), OWNER);
    }
    const command = take(ek);
    const [p0 = 0, p1 = 0, ...rest] = command.params;
    const badProtocol = { ...command, params: Uint8Array.of(p0, p1 ^ 1, ...rest) };
    tpm.auth('another protocol id', badProtocol, OWNER);
    tpm.auth('an HMAC of another secret', command, WRONG);
    tpm.do('no session', command);
    readFlags(tpm, 'still without an owner');
    tpm.auth('TPM_TakeOwnership', take(ek), OWNER);
    tpm.auth('TPM_TakeOwnership again', take(ek), OWNER);
    askAsOwner(tpm, 'owned');
    readFlags(tpm, 'owned');
    restart(tpm);
    askAsOwner(tpm, 'after a power cut');
    tpm.auth('after a power cut: TPM_TakeOwnership again', take(ek), OWNER);
  }),

  scenario('ownership-templates', 'ek', 'SRK templates that are not the usual one.', tpm => {
    start(tpm);
    const ek = tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()))?.publicKey;
    if (ek === undefined) return;
    for (const [name, change] of Object.entries(ODD_TEMPLATES)) {
      tryTemplate(tpm, `an SRK ${name}`, ek, change);
    }
    const odd = { ...BAD_PARAMETERS, ...ODD_PARAMETERS };
    for (const [name, algorithmParms] of Object.entries(odd)) {
      tryTemplate(tpm, `an SRK ${name}`, ek, { algorithmParms });
    }
  }),

  scenario(
    'ownership-switched-off',
    'ek',
    'EK and ownership of a TPM that is switched off.',
    tpm => {
      start(tpm);
      const ek = tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()))?.publicKey;
      if (ek === undefined) return;
      bePresent(tpm);
      tpm.do('TPM_PhysicalDisable', commands.physicalDisable());
      tpm.do('disabled: TPM_ReadPubek', commands.readPubek(tpm.nonce()));
      tpm.do('disabled: the EK again', commands.createEndorsementKeyPair(tpm.nonce()));
      tpm.auth('disabled: TPM_TakeOwnership', take(ek), OWNER);
      tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
      tpm.do('TPM_PhysicalSetDeactivated(TRUE)', commands.physicalSetDeactivated(true));
      restart(tpm);
      tpm.do('deactivated: TPM_ReadPubek', commands.readPubek(tpm.nonce()));
      tpm.do('deactivated: the EK again', commands.createEndorsementKeyPair(tpm.nonce()));
      tpm.auth('deactivated: TPM_TakeOwnership', take(ek), OWNER);
      readFlags(tpm, 'deactivated');
    },
  ),

  scenario('endorsement-switched-off', 'nothing', 'An EK for a TPM that is switched off.', tpm => {
    start(tpm);
    bePresent(tpm);
    tpm.do('TPM_PhysicalDisable', commands.physicalDisable());
    tpm.do('disabled: the EK', commands.createEndorsementKeyPair(tpm.nonce()));
    tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
    tpm.do('TPM_PhysicalSetDeactivated(TRUE)', commands.physicalSetDeactivated(true));
    restart(tpm);
    tpm.do('deactivated: the EK', commands.createEndorsementKeyPair(tpm.nonce()));
    tpm.do('deactivated: TPM_ReadPubek', commands.readPubek(tpm.nonce()));
  }),

  scenario('ownership-session', 'ek', 'TPM_TakeOwnership in a session that goes on.', tpm => {
    start(tpm);
    const ek = tpm.do('TPM_ReadPubek', commands.readPubek(tpm.nonce()))?.publicKey;
    if (ek === undefined) return;
    const session = tpm.oiap('a session that goes on');
    const taken = tpm.auth('TPM_TakeOwnership', take(ek), OWNER, { session, goOn: true });
    tpm.auth('the session afterwards', readSrk(), OWNER, { session: taken.session });
    askAsOwner(tpm, 'owned');
  }),

  scenario(
    'owner-commands',
    'owned',
    'TPM_OwnerReadInternalPub with right and wrong uses.',
    tpm => {
      start(tpm);
      askAsOwner(tpm, 'owned');
      for (const handle of [0, 0x1234, HANDLE.OWNER, 0x4000_0002, 0x4000_0005, 0xffff_ffff]) {
        const name = `TPM_OwnerReadInternalPub of handle 0x${handle.toString(16)}`;
        tpm.auth(name, commands.ownerReadInternalPub(handle), OWNER);
      }
      tpm.do('TPM_OwnerReadInternalPub without a session', readEk());
      tpm.do('TPM_OwnerClear without a session', commands.ownerClear());
      tpm.auth('TPM_OwnerClear, wrong secret', commands.ownerClear(), WRONG);
      tpm.do('TPM_CreateEndorsementKeyPair', commands.createEndorsementKeyPair(tpm.nonce()));
    },
  ),

  scenario('owner-clear', 'owned', 'TPM_OwnerClear, and what is left after it.', ownerClear),

  scenario('force-clear', 'owned', 'TPM_ForceClear needs physical presence.', tpm => {
    start(tpm);
    tpm.define('an index of the owner', nvPublic(0x1100, 4, NV_PER.OWNERREAD | NV_PER.OWNERWRITE));
    tpm.do('TPM_ForceClear without presence', commands.forceClear());
    bePresent(tpm);
    tpm.oiap('a session from before');
    tpm.do('TPM_ForceClear', commands.forceClear());
    tpm.do('the sessions after it', commands.getCapability(CAP.HANDLE, 2));
    tpm.do('the NV indices after it', commands.getCapability(CAP.NV_LIST));
    readFlags(tpm, 'cleared');
    tpm.do('TPM_ForceClear again', commands.forceClear());
    askAsOwner(tpm, 'cleared');
    restart(tpm);
    readFlags(tpm, 'after a power cut');
    askAsOwner(tpm, 'after a power cut');
    bePresent(tpm);
    tpm.do('TPM_ForceClear of a TPM that is disabled', commands.forceClear());
    tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
    tpm.do('TPM_ForceClear of a TPM without an owner', commands.forceClear());
  }),
];
