/**
 * A guest whose way through a TPM is written once, for a TPM in this process and for one behind a
 * socket: a script gives a request and is given the response, and whoever plays it carries both. Only
 * the time between the two counts; the guest's own HMACs and RSA are the guest's.
 * @module
 */

import {
  authorisedBy,
  type Command,
  commands,
  ENTITY,
  type Exchange,
  encryptAuth,
  encryptTo,
  HANDLE,
  type Key11,
  NV_PER,
  nvPublic,
  osapShared,
  type PubKey,
  plain,
  RESOURCE,
  RSA_2048,
  raw,
  type Session,
  SRK_TEMPLATE,
  STARTUP,
  secretOf,
} from '../src/guest/index.js';
import { systemEntropy as entropy } from '../src/system.js';

/** Yields requests, and is given the response of each. */
export type Script<T = void> = Generator<Uint8Array, T, Uint8Array>;
/** Carries a request to a TPM and brings its response, at once or later. */
export type Transmit = (request: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** Plays a script to its end: what it gives, and the microseconds that its responses took in all. */
export async function play<T>(
  script: Script<T>,
  transmit: Transmit,
): Promise<{ value: T; us: number }> {
  let ms = 0;
  let step = script.next();
  while (!step.done) {
    const start = performance.now();
    const sent = transmit(step.value);
    // Waiting for what is there already would cost as much as a small command.
    const response = sent instanceof Promise ? await sent : sent;
    ms += performance.now() - start;
    step = script.next(response);
  }
  return { value: step.value, us: ms * 1000 };
}

const OWNER = secretOf('owner');
const SRK = secretOf('storage root key');
const KEY = secretOf('key');
const DATA = secretOf('data');
const INDEX = 0x0001_1101;
const NV_BYTES = 32;
const DIGEST = new Uint8Array(20).fill(0x5a);
const SECRET = new TextEncoder().encode('what nobody else must know');

function* send<T>(exchange: Exchange<T>): Script<T> {
  return exchange.verify(yield exchange.request);
}
const run = <T>(command: Command<T>): Script<T> => send(plain(command));

export function* openOiap(): Script<Session> {
  return { ...(yield* run(commands.oiap())), shared: undefined };
}

function* openOsap(type: number, value: number, secret: Uint8Array): Script<Session> {
  const odd = entropy(20);
  const { handle, nonceEven, nonceEvenOsap } = yield* run(commands.osap(type, value, odd));
  return { handle, nonceEven, shared: osapShared(secret, nonceEvenOsap, odd) };
}

const SIGNING_KEY: Key11 = {
  ...SRK_TEMPLATE,
  keyUsage: 0x0010,
  algorithmParms: { ...RSA_2048, encScheme: 1, sigScheme: 2 },
};

/** Sessions under which a command is to run, opened before it and not measured with it. */
type Open = (house: Household) => Script<readonly Session[]>;
const oiap: Open = function* () {
  return [yield* openOiap()];
};
const twoOiaps: Open = function* () {
  return [yield* openOiap(), yield* openOiap()];
};
const srkOsap: Open = function* () {
  return [yield* openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK)];
};

/** Runs a command under sessions that end with it. */
function* under<T>(
  sessions: readonly Session[],
  secrets: readonly Uint8Array[],
  command: Command<T>,
): Script<T> {
  const by = secrets.map((secret, i) => ({ session: sessions[i]!, secret, nonceOdd: entropy(20) }));
  return (yield* send(authorisedBy(command, by))).value;
}

/** What a TPM has once somebody has settled in it. */
export interface Household {
  /** The handle of a loaded signing key. */
  readonly signing: number;
  readonly sealed: Uint8Array;
}

export const startup = (): Script<unknown> => run(commands.startup(STARTUP.CLEAR));
export function* createEk(): Script<PubKey> {
  return (yield* run(commands.createEndorsementKeyPair(entropy(20)))).publicKey;
}

/** Asks a TPM that has an Endorsement Key for ownership; the session was opened before. */
export function* takeOwnership(ek: PubKey, session: Session): Script<void> {
  const own = commands.takeOwnership(encryptTo(ek, OWNER), encryptTo(ek, SRK));
  yield* under([session], [OWNER], own);
}

/** Makes a new TPM somebody's, with an NV index, a signing key and sealed data. */
export function* settle(): Script<Household> {
  yield* startup();
  yield* takeOwnership(yield* createEk(), yield* openOiap());
  const owner = yield* openOsap(ENTITY.OWNER, HANDLE.OWNER, OWNER);
  const area = nvPublic(INDEX, NV_BYTES, NV_PER.AUTHREAD | NV_PER.AUTHWRITE);
  yield* under([owner], [OWNER], commands.nvDefineSpace(area, encryptAuth(owner, DATA)));
  const parent = yield* openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
  const hidden = encryptAuth(parent, KEY);
  const create = raw.createWrapKey(HANDLE.SRK, hidden, hidden, SIGNING_KEY);
  const wrapped = yield* under([parent], [SRK], create);
  const load = raw.loadKey2(HANDLE.SRK, wrapped);
  const signing = yield* under([yield* openOiap()], [SRK], load);
  const sealed = yield* seal([yield* openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK)]);
  return { signing, sealed };
}

function seal(sessions: readonly Session[]): Script<Uint8Array> {
  const auth = encryptAuth(sessions[0]!, DATA);
  const noPcrs = raw.counted(new Uint8Array());
  const command = raw.rawCommand('Seal', 1, HANDLE.SRK, auth, noPcrs, raw.counted(SECRET));
  return under(sessions, [SRK], command);
}

function* openAndFlush(): Script {
  const { handle } = yield* openOiap();
  yield* run(commands.flushSpecific(handle, RESOURCE.AUTH));
}

let written = 0;
function writeNv(sessions: readonly Session[]): Script<unknown> {
  const data = new Uint8Array(NV_BYTES);
  // What is there already would not be stored.
  new DataView(data.buffer).setUint32(0, (written += 1));
  return under(sessions, [DATA], commands.nvWriteValue(INDEX, 0, data, true));
}

/** What is measured: sessions are opened before it, and `run` is what counts. */
export interface Round {
  readonly name: string;
  readonly open?: Open;
  run(house: Household, sessions: readonly Session[]): Script<unknown>;
}

const signWith = (key: number) => raw.rawCommand('Sign', 1, key, raw.counted(DIGEST));
const quoteWith = (key: number) => raw.rawCommand('Quote', 1, key, DIGEST, raw.selection(0, 1));

/** Commands that need no RSA and store nothing. */
// biome-ignore format: table
export const CHEAP: readonly Round[] = [
  { name: 'PCRRead',                run: () => run(commands.pcrRead(0)) },
  { name: 'Extend',                 run: () => run(commands.extend(3, DIGEST)) },
  { name: 'GetRandom of 32 bytes',  run: () => run(commands.getRandom(32)) },
  { name: 'OIAP and FlushSpecific', run: openAndFlush },
];
/** A command that stores. */
// biome-ignore format: table
export const NV_WRITE: Round =
  { name: `NV_WriteValueAuth of ${NV_BYTES} bytes`, open: oiap, run: (_, sessions) => writeNv(sessions) };
/** What a command asks of OpenSSL: an operation with a key of 2048 bits, HMACs and digests. */
export interface Needs {
  readonly rsa: 'public' | 'private';
  readonly hmacs: number;
  readonly digests: number;
}

/** Commands whose keys are there. Of the digests of Seal, 13 are those of OAEP. */
// biome-ignore format: table
export const RSA: readonly (Round & { readonly needs: Needs })[] = [
  { name: 'Seal',   needs: { rsa: 'public',  hmacs: 2, digests: 17 }, open: srkOsap,
    run: (_, sessions) => seal(sessions) },
  { name: 'Unseal', needs: { rsa: 'private', hmacs: 4, digests: 3 },  open: twoOiaps,
    run: ({ sealed }, sessions) => under(sessions, [SRK, DATA], raw.unseal(HANDLE.SRK, sealed)) },
  { name: 'Sign',   needs: { rsa: 'private', hmacs: 2, digests: 2 },  open: oiap,
    run: ({ signing }, sessions) => under(sessions, [KEY], signWith(signing)) },
  { name: 'Quote',  needs: { rsa: 'private', hmacs: 2, digests: 4 },  open: oiap,
    run: ({ signing }, sessions) => under(sessions, [KEY], quoteWith(signing)) },
];
