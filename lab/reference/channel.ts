/**
 * A guest's end of a transport session (TPM Main Part 1, §18): it encrypts, keeps the log, and checks
 * every HMAC.
 */
import {
  encryptTo,
  frame,
  HANDLE,
  raw,
  type Tpm12Client,
  type Transmit,
} from '../../src/guest/index.js';
import { hmac, sha1 } from '../../src/guest/sessions.js';
import { concat, encode, u16, u32 } from '../../src/wire/codec.js';
import { ownerSecret } from './states.js';
import { ALGORITHM, SCHEME, TRANSPORT, unwrap, type Way, wrap } from './tunnel.js';

/** Secrets: of the SRK, of the key that signs a log, and of every session. */
const SRK: Uint8Array = new Uint8Array(20);
export const KEY = new Uint8Array(20).fill(0x4b);
export const SECRET = new Uint8Array(20).fill(0x53);
const NO_DIGEST: Uint8Array = new Uint8Array(20);
export const ORDINAL = { ESTABLISH: 0xe6, EXECUTE: 0xe7, RELEASE: 0xe8 };
const n4 = (value: number): Uint8Array => encode(u32, value);

export class Channel {
  readonly #client: Tpm12Client;
  readonly #transmit: Transmit;
  readonly #attributes: number;
  readonly #way: Way;
  readonly #secrets: { readonly owner: Uint8Array; readonly srk: Uint8Array };
  handle = 0;
  log: Uint8Array = NO_DIGEST;
  #even: Uint8Array = NO_DIGEST;

  constructor(
    client: Tpm12Client,
    transmit: Transmit,
    attributes: number,
    way: Way = [ALGORITHM.MGF1, SCHEME.NONE],
    secrets = { owner: ownerSecret(), srk: SRK },
  ) {
    this.#client = client;
    this.#transmit = transmit;
    this.#attributes = attributes;
    this.#way = way;
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
      n4(this.#way[0]),
      encode(u16, this.#way[1]),
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

  /** Sends a command through; gives its response. `input` and `output` are bytes of handles. */
  run(
    request: Uint8Array,
    { input = 0, output = 0, keys = NO_DIGEST, wrong = false } = {},
  ): Uint8Array {
    const odd = this.#client.nonce();
    const tunnel = {
      handle: this.handle,
      even: this.#even,
      secret: SECRET,
      attributes: this.#attributes,
      way: this.#way,
    };
    const secret = wrong ? KEY : SECRET;
    const wrapped = wrap(tunnel, request, { input, output }, odd, { secret });
    const response = this.#transmit(wrapped.request);
    const code = Buffer.from(response).readUInt32BE(6);
    if (code !== 0) throw new Error(`result ${code}`);
    const ordinal = Buffer.from(request).readUInt32BE(6);
    const out = unwrap(tunnel, ordinal, response, { input, output }, odd);
    if (!out.proven) throw new Error('the HMAC is wrong');
    this.#even = out.even;
    this.#logIn(wrapped.digest, keys);
    this.lastOut = { ticks: out.ticks, h2: out.digest };
    return out.response;
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
