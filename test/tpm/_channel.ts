/**
 * A guest's end of a transport session (TPM Main Part 1, §18): it encrypts, keeps the log, and checks
 * every HMAC.
 */
import { createCipheriv } from 'node:crypto';
import {
  encryptTo,
  frame,
  HANDLE,
  raw,
  type Tpm12Client,
  type Transmit,
} from '../../src/testing/guest/index.js';
import { hmac, sha1 } from '../../src/testing/guest/sessions.js';
import { concat, encode, u16, u32 } from '../../src/wire/codec.js';
import { toHex } from '../_files.js';
import { ownerSecret } from './_states.js';

/** Secrets: of the SRK, of the key that signs a log, and of every session. */
const SRK: Uint8Array = new Uint8Array(20);
export const KEY = new Uint8Array(20).fill(0x4b);
export const SECRET = new Uint8Array(20).fill(0x53);
const NO_DIGEST: Uint8Array = new Uint8Array(20);
export const ATTRIBUTE = { ENCRYPT: 1, LOG: 2, EXCLUSIVE: 4 };
export const ALGORITHM = { AES128: 6, MGF1: 7 };
export const SCHEME = { NONE: 1, CTR: 4, OFB: 5 };
/** The handle that stands for a secret that comes in clear. */
export const TRANSPORT = 0x4000_0003;
export const ORDINAL = { ESTABLISH: 0xe6, EXECUTE: 0xe7, RELEASE: 0xe8 };
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const n4 = (value: number): Uint8Array => encode(u32, value);

function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const count = Math.ceil(length / 20);
  return concat(...Array.from({ length: count }, (_, at) => sha1(seed, n4(at)))).slice(0, length);
}

export class Channel {
  readonly #client: Tpm12Client;
  readonly #transmit: Transmit;
  readonly #attributes: number;
  readonly #algorithm: number;
  readonly #scheme: number;
  readonly #secrets: { readonly owner: Uint8Array; readonly srk: Uint8Array };
  handle = 0;
  log: Uint8Array = NO_DIGEST;
  #even: Uint8Array = NO_DIGEST;

  constructor(
    client: Tpm12Client,
    transmit: Transmit,
    attributes: number,
    [algorithm, scheme]: readonly [number, number] = [ALGORITHM.MGF1, SCHEME.NONE],
    secrets = { owner: ownerSecret(), srk: SRK },
  ) {
    this.#client = client;
    this.#transmit = transmit;
    this.#attributes = attributes;
    this.#algorithm = algorithm;
    this.#scheme = scheme;
    this.#secrets = secrets;
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
    const out = encrypted
      ? this.#client.authorise(asked, this.#secrets.srk)
      : this.#client.run(asked);
    this.handle = Buffer.from(out).readUInt32BE();
    const ticks = out.slice(8, 40);
    this.#even = out.slice(40);
    this.#logIn(sha1(n4(ORDINAL.ESTABLISH), pub, raw.counted(sent)));
    this.#logOut(ticks, sha1(n4(0), n4(ORDINAL.ESTABLISH), out.slice(4)));
    return this;
  }

  #sealed(): Uint8Array {
    const srk = this.#client.ownerReadInternalPub(HANDLE.SRK, this.#secrets.owner);
    return encryptTo(srk, concat(encode(u16, 0x1d), SECRET));
  }

  #crypt(odd: Uint8Array, direction: string, data: Uint8Array): Uint8Array {
    if (this.#attributes % 2 === 0) return data;
    const seed = concat(this.#even, odd, ascii(direction));
    if (this.#algorithm === ALGORITHM.MGF1) {
      const pad = mgf1(concat(seed, SECRET), data.length);
      return data.map((one, at) => one ^ pad[at]!);
    }
    const mode = this.#scheme === SCHEME.CTR ? 'aes-128-ctr' : 'aes-128-ofb';
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
      sha1(n4(ORDINAL.EXECUTE), n4(wrapped.length), h1),
      this.#even,
      odd,
      raw.byte(goOn),
    );
    const trailer = concat(n4(this.handle), odd, raw.byte(goOn), proof);
    const response = this.#transmit(
      frame(0x00c2, ORDINAL.EXECUTE, concat(raw.counted(wrapped), trailer)),
    );
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
    const digest = sha1(n4(0), n4(ORDINAL.EXECUTE), ticks, n4(0), n4(size), h2);
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
    const digest = sha1(n4(ORDINAL.RELEASE), antiReplay);
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
    const request = frame(0x00c3, ORDINAL.RELEASE, concat(n4(key), antiReplay, byKey, bySession));
    const response = this.#transmit(request);
    const code = Buffer.from(response).readUInt32BE(6);
    if (code !== 0) throw new Error(`result ${code}`);
    const ticks = response.slice(14, 46);
    this.#logOut(ticks, digest);
    return { ticks, signature: response.slice(50, -82) };
  }
}
