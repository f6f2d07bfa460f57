/**
 * Transport sessions, by a guest that checks everything: the HMACs, what comes back, the log and the
 * signature over it. swtpm and this engine must both satisfy it, and refuse the same.
 */
import { createCipheriv, verify } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import {
  authorised,
  commands,
  ENTITY,
  encryptAuth,
  encryptTo,
  frame,
  HANDLE,
  key11,
  plain,
  publicKeyOf,
  RSA_2048,
  raw,
  rsaKeyParms,
  SRK_TEMPLATE,
  STARTUP,
  Tpm12Client,
  type Transmit,
} from '../../src/testing/guest/index.js';
import { hmac, sha1 } from '../../src/testing/guest/sessions.js';
import { concat, decode, encode, u16, u32 } from '../../src/wire/codec.js';
import { hex, toHex } from '../_files.js';
import { peerTest } from '../_peers.js';
import { swtpm } from '../_swtpm.js';
import { MemoryNvram } from './_memory-nvram.js';
import { entropy, Rig } from './_rig.js';
import { owned, ownerSecret } from './_states.js';

const SRK = new Uint8Array(20);
const KEY = new Uint8Array(20).fill(0x4b);
const SECRET = new Uint8Array(20).fill(0x53);
const NO_DIGEST: Uint8Array = new Uint8Array(20);
const [ENCRYPT, LOG, EXCLUSIVE] = [1, 2, 4];
const [MGF1, AES128] = [7, 6];
const [ES_NONE, CTR, OFB] = [1, 4, 5];
const TRANSPORT = 0x4000_0003;
const [ESTABLISH, EXECUTE, RELEASE] = [0xe6, 0xe7, 0xe8];
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const n4 = (value: number): Uint8Array => encode(u32, value);

function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const count = Math.ceil(length / 20);
  return concat(...Array.from({ length: count }, (_, at) => sha1(seed, n4(at)))).slice(0, length);
}

/** A guest's end of a transport session. */
class Channel {
  readonly #client: Tpm12Client;
  readonly #transmit: Transmit;
  readonly #attributes: number;
  readonly #algorithm: number;
  readonly #scheme: number;
  handle = 0;
  log: Uint8Array = NO_DIGEST;
  #even: Uint8Array = NO_DIGEST;

  constructor(
    client: Tpm12Client,
    transmit: Transmit,
    attributes: number,
    algorithm = MGF1,
    scheme = ES_NONE,
  ) {
    this.#client = client;
    this.#transmit = transmit;
    this.#attributes = attributes;
    this.#algorithm = algorithm;
    this.#scheme = scheme;
  }

  #logIn(parameters: Uint8Array, keys = NO_DIGEST): void {
    this.log = sha1(this.log, concat(encode(u16, 0x10), parameters, keys));
  }

  #logOut(ticks: Uint8Array, parameters: Uint8Array): void {
    this.log = sha1(this.log, concat(encode(u16, 0x11), ticks, parameters, n4(0)));
  }

  open(): this {
    const pub = concat(
      encode(u16, 0x1e),
      n4(this.#attributes),
      n4(this.#algorithm),
      encode(u16, this.#scheme),
    );
    const encrypted = this.#attributes % 2 === 1;
    const sent = encrypted ? this.#sealed() : SECRET;
    const handle = encrypted ? HANDLE.SRK : TRANSPORT;
    const command = raw.rawCommand('EstablishTransport', 1, handle, pub, raw.counted(sent));
    const asked = { ...command, outHandleBytes: 4 };
    const out = encrypted ? this.#client.authorise(asked, SRK) : this.#client.run(asked);
    this.handle = Buffer.from(out).readUInt32BE();
    const ticks = out.slice(8, 40);
    this.#even = out.slice(40);
    this.#logIn(sha1(n4(ESTABLISH), pub, raw.counted(sent)));
    this.#logOut(ticks, sha1(n4(0), n4(ESTABLISH), out.slice(4)));
    return this;
  }

  #sealed(): Uint8Array {
    const srk = this.#client.ownerReadInternalPub(HANDLE.SRK, ownerSecret());
    return encryptTo(srk, concat(encode(u16, 0x1d), SECRET));
  }

  #crypt(odd: Uint8Array, direction: string, data: Uint8Array): Uint8Array {
    if (this.#attributes % 2 === 0) return data;
    const seed = concat(this.#even, odd, ascii(direction));
    if (this.#algorithm === MGF1) {
      const pad = mgf1(concat(seed, SECRET), data.length);
      return data.map((one, at) => one ^ pad[at]!);
    }
    const mode = this.#scheme === CTR ? 'aes-128-ctr' : 'aes-128-ofb';
    const cipher = createCipheriv(mode, SECRET.slice(0, 16), mgf1(seed, 16));
    return new Uint8Array(cipher.update(data));
  }

  /** Sends a command through; gives its response. `covered` says which bytes are data. */
  run(
    request: Uint8Array,
    { handles = 0, auths = 0, outHandles = 0, keys = NO_DIGEST, wrong = false, goOn = 1 } = {},
  ): Uint8Array {
    const [start, end] = [10 + handles, request.length - 45 * auths];
    const odd = this.#client.nonce();
    const data = request.slice(start, end);
    const wrapped = concat(
      request.slice(0, start),
      this.#crypt(odd, 'in', data),
      request.slice(end),
    );
    const h1 = sha1(request.slice(6, 10), data);
    const proof = hmac(
      wrong ? KEY : SECRET,
      sha1(n4(EXECUTE), n4(wrapped.length), h1),
      this.#even,
      odd,
      raw.byte(goOn),
    );
    const trailer = concat(n4(this.handle), odd, raw.byte(goOn), proof);
    const response = this.#transmit(frame(0x00c2, EXECUTE, concat(raw.counted(wrapped), trailer)));
    const code = Buffer.from(response).readUInt32BE(6);
    if (code !== 0) throw new Error(`result ${code}`);
    const [ticks, size] = [response.slice(10, 18), Buffer.from(response).readUInt32BE(22)];
    const inner = response.slice(26, 26 + size);
    this.#even = response.slice(26 + size, 46 + size);
    const failed = Buffer.from(inner).readUInt32BE(6) !== 0;
    const [from, to] = failed ? [10, 10] : [10 + outHandles, inner.length - 41 * auths];
    const clear = concat(
      inner.slice(0, from),
      this.#crypt(odd, 'out', inner.slice(from, to)),
      inner.slice(to),
    );
    const h2 = sha1(clear.slice(6, 10), request.slice(6, 10), clear.slice(from, to));
    const digest = sha1(n4(0), n4(EXECUTE), ticks, n4(0), n4(size), h2);
    const expected = hmac(SECRET, digest, this.#even, odd, raw.byte(goOn));
    if (toHex(expected) !== toHex(response.slice(-20))) throw new Error('the HMAC is wrong');
    this.#logIn(h1, keys);
    this.lastOut = { ticks, h2 };
    return clear;
  }

  lastOut: { ticks: Uint8Array; h2: Uint8Array } | undefined;

  /** The log with what the last command gave, for the nonce of the ticks that it did not show. */
  closeLog(nonce: Uint8Array): void {
    const { ticks, h2 } = this.lastOut!;
    this.#logOut(concat(encode(u16, 0x14), ticks, encode(u16, 1), nonce), h2);
  }

  /** Ends the session by a signature of a key; gives ticks and signature. */
  release(key: number, antiReplay: Uint8Array): { ticks: Uint8Array; signature: Uint8Array } {
    const session = this.#client.openOiap();
    const [keyOdd, odd] = [this.#client.nonce(), this.#client.nonce()];
    const digest = sha1(n4(RELEASE), antiReplay);
    const last = raw.byte(0);
    const byKey = concat(
      n4(session.handle),
      keyOdd,
      last,
      hmac(KEY, digest, session.nonceEven, keyOdd, last),
    );
    const bySession = concat(
      n4(this.handle),
      odd,
      last,
      hmac(SECRET, digest, this.#even, odd, last),
    );
    const request = frame(0x00c3, RELEASE, concat(n4(key), antiReplay, byKey, bySession));
    const response = this.#transmit(request);
    const code = Buffer.from(response).readUInt32BE(6);
    if (code !== 0) throw new Error(`result ${code}`);
    const ticks = response.slice(14, 46);
    this.#logOut(ticks, digest);
    return { ticks, signature: response.slice(50, -82) };
  }
}

function subjects(
  t: ExecutionContext,
): { name: string; client: Tpm12Client; transmit: Transmit }[] {
  const theirs = swtpm(t, owned());
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', owned());
  const rig = new Rig(nvram);
  return [
    { name: 'swtpm', transmit: theirs.transmit },
    { name: 'ours', transmit: rig.transmit },
  ].map(({ name, transmit }) => {
    const client = new Tpm12Client(transmit, entropy);
    client.run(commands.startup(STARTUP.CLEAR));
    return { name, client, transmit };
  });
}

const EXTEND = plain(commands.extend(3, NO_DIGEST)).request;
const READ = plain(commands.pcrRead(3)).request;
const OIAP = plain(commands.oiap()).request;
const tail = (response: Uint8Array): string => toHex(response.slice(6));

peerTest('a signed log tells of what went through', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    const template = {
      ...SRK_TEMPLATE,
      keyUsage: 0x10,
      algorithmParms: {
        ...RSA_2048,
        encScheme: 1,
        sigScheme: 2,
        parms: encode(rsaKeyParms, { keyLength: 1024, numPrimes: 2, exponent: new Uint8Array() }),
      },
    };
    const session = client.openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    const wrap = raw.createWrapKey(HANDLE.SRK, encryptAuth(session, KEY), KEY, template);
    const wrapped = client.exchange(
      authorised(wrap, { session, secret: SRK, nonceOdd: client.nonce() }),
    ).value;
    const key = client.authorise(raw.loadKey2(HANDLE.SRK, wrapped), SRK);
    const channel = new Channel(client, transmit, LOG).open();
    const { algorithmParms, modulus } = decode(key11, wrapped);
    t.is(tail(channel.run(EXTEND)).slice(0, 8), '00000000', name);
    const nonce = client.run({ ...raw.rawCommand('GetTicks', 0) }).slice(12);
    channel.closeLog(nonce);
    const getPub = frame(0x00c1, 0x21, n4(key));
    const keys = sha1(sha1(raw.counted(modulus)));
    t.is(
      tail(channel.run(getPub, { handles: 4, keys })),
      '00000001',
      `${name}: its secret is asked for`,
    );
    channel.closeLog(nonce);
    const antiReplay = client.nonce();
    const { signature } = channel.release(key, antiReplay);
    const message = concat(hex('0005'), ascii('TRAN'), antiReplay, raw.counted(channel.log));
    t.true(verify('sha1', message, publicKeyOf({ algorithmParms, modulus }), signature), name);
    t.throws(() => channel.run(READ), { message: 'result 34' }, `${name}: it is over`);
  }
});

for (const [what, algorithm, scheme] of [
  ['MGF1', MGF1, ES_NONE],
  ['AES in counter mode', AES128, CTR],
  ['AES in output feedback mode', AES128, OFB],
] as const) {
  peerTest(`what goes through is encrypted: ${what}`, ['swtpm'], t => {
    for (const { name, client, transmit } of subjects(t)) {
      const channel = new Channel(client, transmit, ENCRYPT, algorithm, scheme).open();
      channel.run(EXTEND);
      const through = channel.run(READ);
      t.is(toHex(through), toHex(transmit(READ)), name);
      const opened = channel.run(OIAP, { outHandles: 24 });
      t.is(opened.length, 34, name);
      t.is(tail(channel.run(plain(commands.saveState()).request)), '0000002f', `${name}: NO_WRAP`);
      t.throws(() => channel.run(frame(0x00c1, EXECUTE, n4(0))), { message: 'result 47' }, name);
      t.throws(() => channel.run(READ), { message: 'result 34' }, `${name}: a refusal ends it`);
      const other = new Channel(client, transmit, ENCRYPT, algorithm, scheme).open();
      t.throws(() => other.run(READ, { wrong: true }), { message: 'result 29' }, name);
    }
  });
}

peerTest('an exclusive session ends with any other command', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    const channel = new Channel(client, transmit, EXCLUSIVE).open();
    t.is(toHex(channel.run(READ)), toHex(channel.run(READ)), name);
    transmit(READ);
    t.throws(() => channel.run(READ), { message: 'result 34' }, name);
  }
});

peerTest('what a session may not be opened with', ['swtpm'], t => {
  const establish = (
    handle: number,
    attributes: number,
    algorithm: number,
    scheme: number,
    sent: Uint8Array = SECRET,
  ) =>
    plain(
      raw.rawCommand(
        'EstablishTransport',
        1,
        handle,
        encode(u16, 0x1e),
        n4(attributes),
        n4(algorithm),
        encode(u16, scheme),
        raw.counted(sent),
      ),
    ).request;
  const requests = [
    establish(TRANSPORT, ENCRYPT, MGF1, ES_NONE),
    establish(TRANSPORT, LOG, MGF1, ES_NONE, SECRET.slice(1)),
    establish(HANDLE.SRK, LOG, MGF1, ES_NONE),
    establish(0x1234, LOG, MGF1, ES_NONE),
    frame(0x00c1, ESTABLISH, n4(TRANSPORT)),
    frame(0x00c1, EXECUTE, n4(0)),
    frame(0x00c1, RELEASE, new Uint8Array(24)),
    frame(0x00c2, EXECUTE, concat(n4(0), new Uint8Array(45))),
  ];
  const [theirs, ours] = subjects(t);
  for (const request of requests) {
    t.is(toHex(ours!.transmit(request)), toHex(theirs!.transmit(request)), toHex(request));
  }
});
