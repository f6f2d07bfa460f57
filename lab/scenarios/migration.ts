/**
 * Keys that migrate (TPM Main Part 3 §11).
 * @module
 */
import { encryptTo, HANDLE, pubKey, raw } from '../../src/guest/index.js';
import { concat, encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import { bentAt, sign } from './contexts-common.js';
import {
  ENC,
  FLAG,
  KEY,
  loadIt,
  MIGRATION,
  type Parent,
  parms,
  publicOf,
  SIG,
  SIGNING_DER,
  STORAGE,
  template,
  USAGE,
  wrap,
} from './keys-common.js';

const { counted, rawCommand, word16 } = raw;
const NONSENSE = new Uint8Array(256).fill(1);

/** The keys of the scenario, wrapped. */
interface Keys {
  /** The key to migrate to. */
  readonly to: Uint8Array;
  readonly parent: Parent;
  readonly moving: Uint8Array;
  readonly staying: Uint8Array;
}

function makeKeys(tpm: Recorder): Keys {
  const to = wrap(tpm, 'the key to migrate to', STORAGE)!;
  const parent = { handle: loadIt(tpm, 'load it', to)!, secret: KEY };
  const moving = wrap(tpm, 'a key that moves', { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE })!;
  const staying = wrap(tpm, 'a key that stays', SIGNING_DER)!;
  return { to, parent, moving, staying };
}

/** TPM_AuthorizeMigrationKey: the tickets to migrate and to rewrap, and what gets none. */
function authorise(tpm: Recorder, { to, staying }: Keys) {
  const authorize = (scheme: number, pub: Uint8Array) =>
    rawCommand('AuthorizeMigrationKey', 0, word16(scheme), pub);
  const pub = encode(pubKey, publicOf(to));
  const migrate = tpm.auth('leave to migrate', authorize(1, pub), OWNER).value!;
  const rewrap = tpm.auth('leave to rewrap', authorize(2, pub), OWNER).value!;
  tpm.auth('leave by another', authorize(1, pub), WRONG);
  tpm.auth('leave for a signing key', authorize(1, encode(pubKey, publicOf(staying))), OWNER);
  const noOaep = { ...publicOf(to), algorithmParms: parms(ENC.PKCS, SIG.NONE) };
  tpm.auth('leave for a key without OAEP', authorize(1, encode(pubKey, noOaep)), OWNER);
  const odd = {
    ...publicOf(to),
    algorithmParms: parms(ENC.OAEP, SIG.NONE, 2048, Uint8Array.of(3)),
  };
  tpm.auth('leave for exponent 3', authorize(1, encode(pubKey, odd)), OWNER);
  return { migrate, rewrap };
}

const create = (type: number, leave: Uint8Array, wrapped: Uint8Array) =>
  rawCommand(
    'CreateMigrationBlob',
    1,
    HANDLE.SRK,
    word16(type),
    leave,
    counted(wrapped.slice(-256)),
  );
const srkAnd = (secret: Uint8Array) => [{ secret: SRK as Uint8Array }, { secret }] as const;

/** TPM_CreateMigrationBlob; gives the blob for the destination, and the rewrapped one. */
function createBlobs(tpm: Recorder, keys: Keys, leave: ReturnType<typeof authorise>) {
  const { moving, staying } = keys;
  const { migrate, rewrap } = leave;
  const blob = tpm.auth2('a blob', create(1, migrate, moving), ...srkAnd(MIGRATION))!.value;
  const rewrapped = tpm.auth2(
    'a new parent',
    create(2, rewrap, moving),
    ...srkAnd(MIGRATION),
  )!.value;
  tpm.auth2('a wrong secret', create(1, migrate, moving), ...srkAnd(WRONG));
  tpm.auth2(
    'a wrong secret of the SRK',
    create(1, migrate, moving),
    { secret: WRONG },
    { secret: MIGRATION },
  );
  tpm.auth2('a key that stays', create(1, migrate, staying), ...srkAnd(MIGRATION));
  tpm.auth2('type 3', create(3, migrate, moving), ...srkAnd(MIGRATION));
  const bent = bentAt(migrate, migrate.length - 1);
  tpm.auth2('an approval that was never given', create(1, bent, moving), ...srkAnd(MIGRATION));
  tpm.auth('with one authorisation', create(1, migrate, moving), MIGRATION);
  tpm.auth2('nonsense', create(1, migrate, NONSENSE), ...srkAnd(MIGRATION));
  return { blob, rewrapped };
}

/** TPM_ConvertMigrationBlob at the destination, and the key that has arrived. */
function arrive(tpm: Recorder, { parent, moving }: Keys, blob: Uint8Array, rewrapped: Uint8Array) {
  const random = blob.slice(4, 4 + Buffer.from(blob).readUInt32BE());
  const data = blob.slice(8 + random.length);
  const convert = (inData: Uint8Array, with_: Uint8Array, handle = parent.handle) =>
    rawCommand('ConvertMigrationBlob', 1, handle, counted(inData), counted(with_));
  const converted = tpm.auth('it arrives', convert(data, random), KEY).value!;
  const otherRandom = random.map(one => one ^ 1);
  tpm.auth('with other random bytes', convert(data, otherRandom), KEY);
  tpm.auth('with fewer of them', convert(data, random.slice(1)), KEY);
  tpm.auth('with a wrong secret', convert(data, random), WRONG);
  tpm.do('not authorised', convert(data, random));
  tpm.auth('under the SRK', convert(data, random, HANDLE.SRK), SRK);
  tpm.auth('nonsense', convert(NONSENSE, random), KEY);
  const arrived = concat(moving.slice(0, -256), converted.slice(4));
  const handle = loadIt(tpm, 'it loads', arrived, parent)!;
  tpm.auth('it signs', sign(handle), KEY);
  loadIt(tpm, 'the other one loads', concat(moving.slice(0, -256), rewrapped.slice(8)), parent);
  tpm.auth('a blob under a signing key', convert(data, random, handle), KEY);
}

/** TPM_MigrateKey: a migration authority passes a key on. */
function passOn(tpm: Recorder, { to, parent }: Keys): void {
  const maTemplate = template(USAGE.MIGRATE, parms(ENC.OAEP, SIG.NONE));
  const maWrapped = wrap(tpm, 'an authority', maTemplate)!;
  const ma = loadIt(tpm, 'load it', maWrapped)!;
  const pub = encode(pubKey, publicOf(to));
  const pass = (inData: Uint8Array, key = ma) =>
    rawCommand('MigrateKey', 1, key, pub, counted(inData));
  const forMa = encryptTo(publicOf(maWrapped), concat(DIGEST, DIGEST));
  tpm.auth('the authority passes on', pass(forMa), KEY);
  tpm.auth('with a wrong secret', pass(forMa), WRONG);
  tpm.do('not authorised', pass(forMa));
  tpm.auth('nonsense', pass(NONSENSE), KEY);
  tpm.auth('a storage key passes on', pass(forMa, parent.handle), KEY);
}

function migration(tpm: Recorder): void {
  start(tpm);
  const keys = makeKeys(tpm);
  const leave = authorise(tpm, keys);
  const { blob, rewrapped } = createBlobs(tpm, keys, leave);
  arrive(tpm, keys, blob, rewrapped);
  passOn(tpm, keys);
}

export const MIGRATIONS = [scenario('migration', 'owned', 'Keys that migrate.', migration)];
