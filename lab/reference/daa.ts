/**
 * The others in DAA: an issuer, the host that carries everything between it and its TPM, and a
 * verifier (TPM Main Part 3, §26; E. Brickell, J. Camenisch, L. Chen, Direct Anonymous Attestation,
 * CCS 2004). They compute in BigInt and share nothing with the engine: what a TPM answers must
 * satisfy the equations of the protocol.
 */
import { createPrivateKey, sign } from 'node:crypto';
import { encryptTo, type PubKey } from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat, encode, u16, u32 } from '../../src/wire/codec.js';
import { fixture, hex } from '../files.js';

interface Primes {
  readonly chain: readonly (readonly [string, string])[];
  readonly n: readonly [string, string];
  readonly order: string;
  readonly gamma: string;
  readonly e: string;
}

const big = (digits: string): bigint => BigInt(`0x${digits}`);
export const number = (bytes: Uint8Array): bigint => big(`0${Buffer.from(bytes).toString('hex')}`);
/** A number as big-endian bytes, of a length that it fits. */
export function bytesOf(value: bigint, length: number): Uint8Array {
  const digits = value.toString(16);
  if (digits.length > 2 * length) throw new RangeError(`${digits} is longer than ${length} bytes`);
  return hex(digits.padStart(2 * length, '0'));
}

export function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  if (exponent < 0n) return power(inverse(base, modulus), -exponent, modulus);
  let [result, square] = [1n, base % modulus];
  for (let rest = exponent; rest > 0n; rest /= 2n) {
    if (rest % 2n === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result % modulus;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, next, x, nextX] = [modulus, value % modulus, 0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next, x, nextX] = [next, r - quotient * next, nextX, x - quotient * nextX];
  }
  return ((x % modulus) + modulus) % modulus;
}

/** Numbers out of a word, of the requested width: they make an issuer, which need not be secure. */
function expand(label: string, bytes: number): bigint {
  const count = Math.ceil(bytes / 20);
  const blocks = Array.from({ length: count }, (_, at) =>
    sha1(new TextEncoder().encode(`${label} ${at}`)),
  );
  return number(concat(...blocks).slice(0, bytes));
}

const SIZE = { n: 256, v0: 128, v1: 192 };
const [POWER_0, POWER_1] = [2n ** 104n, 2n ** 1024n];

/** A key of the issuer's chain: what signs its parameters, and the next key. */
class IssuerKey {
  readonly modulus: Uint8Array;
  readonly #key: ReturnType<typeof createPrivateKey>;

  constructor([first, second]: readonly [string, string]) {
    const [p, q, e] = [big(first), big(second), 65537n];
    const d = inverse(e, (p - 1n) * (q - 1n));
    const [dp, dq, qi] = [d % (p - 1n), d % (q - 1n), inverse(q, p)];
    const numbers = { n: p * q, e, d, p, q, dp, dq, qi };
    const fields = Object.entries(numbers).map(([name, value]) => {
      const digits = value.toString(16);
      const even = digits.padStart(digits.length + (digits.length % 2), '0');
      return [name, Buffer.from(even, 'hex').toString('base64url')];
    });
    const jwk = { kty: 'RSA', ...Object.fromEntries(fields) };
    this.#key = createPrivateKey({ key: jwk, format: 'jwk' });
    this.modulus = bytesOf(numbers.n, SIZE.n);
  }

  sign(data: Uint8Array): Uint8Array {
    return new Uint8Array(sign('sha1', data, this.#key));
  }
}

/** One command: its stage and its inputs. */
export interface Input {
  readonly stage: number;
  readonly data0: Uint8Array;
  readonly data1: Uint8Array;
}
/** Commands in order, each knowing what the TPM gave to those before. */
export type Dialogue<T> = Generator<Input, T, Uint8Array>;

/** What is left of a dialogue whose last command got this answer. */
export function* goOn<T>(dialogue: Dialogue<T>, answer: Uint8Array): Dialogue<T> {
  for (let step = dialogue.next(answer); ; step = dialogue.next(yield step.value)) {
    if (step.done === true) return step.value;
  }
}

/** What the host has once its TPM joined: the credential, and the TPM's own blobs. */
export interface Membership {
  readonly a: bigint;
  readonly v0: Uint8Array;
  readonly v1: Uint8Array;
  readonly specific: Uint8Array;
}

/** The parameters of an issuer, where a test wants others than are right. */
export interface Parameters {
  readonly n: Uint8Array;
  readonly r0: Uint8Array;
  readonly r1: Uint8Array;
  readonly s0: Uint8Array;
  readonly s1: Uint8Array;
  readonly gamma: Uint8Array;
  readonly order: Uint8Array;
}

const NONE = new Uint8Array();

/** What an issuer is, computed once: its keys take a third of a second. */
interface Numbers {
  readonly chain: readonly IssuerKey[];
  readonly n: bigint;
  readonly phi: bigint;
  /** Z and e of the credentials. */
  readonly z: bigint;
  readonly e: bigint;
  readonly parameters: Parameters;
}

let made: Numbers | undefined;

function numbers(): Numbers {
  if (made !== undefined) return made;
  const primes = fixture<Primes>('daa/issuer.json');
  const [p, q] = [big(primes.n[0]), big(primes.n[1])];
  const n = p * q;
  const s = power(expand('S', SIZE.n), 2n, n);
  const of = (label: string): bigint => power(s, expand(label, SIZE.n), n);
  const bytes = (value: bigint): Uint8Array => bytesOf(value, SIZE.n);
  const parameters = {
    n: bytes(n),
    r0: bytes(of('R0')),
    r1: bytes(of('R1')),
    s0: bytes(s),
    s1: bytes(power(s, POWER_1, n)),
    gamma: bytes(big(primes.gamma)),
    order: bytesOf(big(primes.order), 26),
  };
  const chain = primes.chain.map(pair => new IssuerKey(pair));
  const [phi, z, e] = [(p - 1n) * (q - 1n), of('Z'), big(primes.e)];
  made = { chain, n, phi, z, e, parameters };
  return made;
}

/** Bases of all issuers, by the parameters that they depend on: each is a power modulo gamma. */
const bases = new Map<string, Uint8Array>();

export class Issuer {
  readonly chain: readonly IssuerKey[];
  readonly parameters: Parameters;
  readonly #n: bigint;
  readonly #phi: bigint;
  readonly #z: bigint;
  readonly #e: bigint;

  constructor(changed: Partial<Parameters> = {}) {
    const { chain, n, phi, z, e, parameters } = numbers();
    this.chain = chain;
    this.#n = n;
    this.#phi = phi;
    this.#z = z;
    this.#e = e;
    this.parameters = { ...parameters, ...changed };
  }

  /** TPM_DAA_ISSUER. */
  get settings(): Uint8Array {
    const { r0, r1, s0, s1, n, gamma, order } = this.parameters;
    const digests = [r0, r1, s0, s1, n, gamma].map(part => sha1(part));
    return concat(encode(u16, 0x2f), ...digests, order);
  }

  /** What the last key of the chain signed: who the issuer is, and its parameters. */
  get signature(): Uint8Array {
    const digest = sha1(this.chain[0]!.modulus);
    return this.chain.at(-1)!.sign(concat(digest, this.settings));
  }

  /** A base for pseudonyms: a number of the right order. */
  base(label: string): Uint8Array {
    const [gamma, order] = [number(this.parameters.gamma), number(this.parameters.order)];
    const which = `${label} ${gamma} ${order}`;
    const known = bases.get(which);
    if (known !== undefined) return known;
    const base = bytesOf(power(expand(label, SIZE.n), (gamma - 1n) / order, gamma), SIZE.n);
    bases.set(which, base);
    return base;
  }

  /** e-th root of what a member commits to, with a share of v of the issuer's choice. */
  credential(commitment: bigint, share: bigint): bigint {
    const s = number(this.parameters.s0);
    const under = power(s, share, this.#n) * commitment;
    const root = inverse(this.#e, this.#phi);
    return power(this.#z * inverse(under % this.#n, this.#n), root, this.#n);
  }

  /** What a credential shows of its owner's secrets: the product that they are the exponents of. */
  commitmentOf(a: bigint): bigint {
    return (this.#z * power(a, -this.#e, this.#n)) % this.#n;
  }

  /** Whether commitment^-c · R0^s0 · R1^s1 · S0^s2 · S1^s3 is `masked`, modulo n. */
  holds(
    commitment: bigint,
    masked: bigint,
    challenge: bigint,
    [s0, s1, s2, s3]: readonly Uint8Array[],
  ): boolean {
    const { r0, r1, s0: base0, s1: base1 } = this.parameters;
    const factors: readonly (readonly [Uint8Array, Uint8Array])[] = [
      [r0, s0!],
      [r1, s1!],
      [base0, s2!],
      [base1, s3!],
    ];
    const product = factors.reduce(
      (value, [base, exponent]) => value * power(number(base), number(exponent), this.#n),
      power(commitment, -challenge, this.#n),
    );
    return product % this.#n === masked;
  }

  /** Whether pseudonym^-c · w^(s0 + 2^104 s1) is `masked`, modulo gamma. */
  holdsPseudonym(
    w: Uint8Array,
    pseudonym: bigint,
    masked: bigint,
    challenge: bigint,
    [s0, s1]: readonly Uint8Array[],
  ): boolean {
    const gamma = number(this.parameters.gamma);
    const exponent = number(s0!) + POWER_0 * number(s1!);
    const product = power(pseudonym, -challenge, gamma) * power(number(w), exponent, gamma);
    return product % gamma === masked;
  }
}

/** Thrown where what a TPM said does not satisfy an equation. */
export class NotProven extends Error {
  override readonly name = 'NotProven';
}
function mustHold(holds: boolean, what: string): void {
  if (!holds) throw new NotProven(what);
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

export interface JoinOptions {
  readonly count?: number;
  readonly w?: Uint8Array;
  /** Whether what the TPM answers is to be looked at. */
  readonly checks?: boolean;
}

/**
 * All of TPM_DAA_Join: the issuer checks every proof, and gives a credential for them.
 * @throws NotProven
 */
export function* join(
  issuer: Issuer,
  ek: PubKey,
  { count = 7, w = issuer.base('w'), checks = true }: JoinOptions = {},
): Dialogue<Membership> {
  const { chain, parameters } = issuer;
  const { n, r0, r1, s0, s1, gamma } = parameters;
  const check = (holds: () => boolean, what: string): void => {
    if (checks) mustHold(holds(), what);
  };
  yield { stage: 0, data0: encode(u32, chain.length), data1: NONE };
  for (const [place, key] of chain.entries()) {
    const signature = place === 0 ? NONE : chain[place - 1]!.sign(key.modulus);
    yield { stage: 1, data0: key.modulus, data1: signature };
  }
  yield { stage: 2, data0: issuer.settings, data1: issuer.signature };
  yield { stage: 3, data0: encode(u32, count), data1: NONE };
  yield { stage: 4, data0: r0, data1: n };
  yield { stage: 5, data0: r1, data1: n };
  yield { stage: 6, data0: s0, data1: n };
  const commitment = yield { stage: 7, data0: s1, data1: n };
  const nonce = sha1(new TextEncoder().encode('the nonce of the issuer'));
  const answer = yield { stage: 8, data0: encryptTo(ek, nonce), data1: NONE };
  const asked = sha1(commitment, encode(u32, count), sha1(chain[0]!.modulus));
  check(() => same(answer, sha1(asked, nonce)), 'it is not the TPM of that key');
  yield { stage: 9, data0: r0, data1: n };
  yield { stage: 10, data0: r1, data1: n };
  yield { stage: 11, data0: s0, data1: n };
  const masked = yield { stage: 12, data0: s1, data1: n };
  yield { stage: 13, data0: gamma, data1: w };
  const pseudonym = yield { stage: 14, data0: gamma, data1: NONE };
  const maskedPseudonym = yield { stage: 15, data0: gamma, data1: NONE };
  const hostChallenge = sha1(n, commitment, masked, pseudonym, maskedPseudonym);
  const nt = yield { stage: 16, data0: hostChallenge, data1: NONE };
  const low = [
    yield { stage: 17, data0: NONE, data1: NONE },
    yield { stage: 18, data0: NONE, data1: NONE },
    yield { stage: 19, data0: NONE, data1: NONE },
  ];
  const challenge = yield { stage: 20, data0: NONE, data1: NONE };
  check(() => same(challenge, sha1(hostChallenge, nt)), 'the challenge is another');
  const shown = [...low, yield { stage: 21, data0: NONE, data1: NONE }];
  const c = number(challenge);
  const u = number(commitment);
  check(() => issuer.holds(u, number(masked), c, shown), 'the secrets are not known');
  const [name, maskedName] = [number(pseudonym), number(maskedPseudonym)];
  check(() => issuer.holdsPseudonym(w, name, maskedName, c, shown), 'the pseudonym is another');
  const share = expand('v', SIZE.v0 + SIZE.v1 - 1);
  const a = checks ? issuer.credential(u, share) : 0n;
  const v0 = yield { stage: 22, data0: bytesOf(share % POWER_1, SIZE.v0), data1: NONE };
  const v1 = yield { stage: 23, data0: bytesOf(share / POWER_1, SIZE.v1), data1: NONE };
  const specific = yield { stage: 24, data0: NONE, data1: NONE };
  return { a, v0, v1, specific };
}

/** What is signed: a digest, or the identity key of this handle and modulus. */
export type Message = { digest: Uint8Array } | { handle: number; modulus: Uint8Array };

export interface SignOptions {
  readonly message?: Message;
  readonly w?: Uint8Array;
  readonly checks?: boolean;
}

/**
 * All of TPM_DAA_Sign: a verifier checks what the TPM shows against the host's credential.
 * @throws NotProven
 */
export function* daaSign(
  issuer: Issuer,
  member: Membership,
  { message = { digest: sha1(NONE) }, w = issuer.base('w'), checks = true }: SignOptions = {},
): Dialogue<{ pseudonym: bigint }> {
  const { n, r0, r1, s0, s1, gamma } = issuer.parameters;
  const check = (holds: () => boolean, what: string): void => {
    if (checks) mustHold(holds(), what);
  };
  yield { stage: 0, data0: issuer.settings, data1: NONE };
  yield { stage: 1, data0: member.specific, data1: NONE };
  yield { stage: 2, data0: r0, data1: n };
  yield { stage: 3, data0: r1, data1: n };
  yield { stage: 4, data0: s0, data1: n };
  const masked = yield { stage: 5, data0: s1, data1: n };
  yield { stage: 6, data0: gamma, data1: w };
  const pseudonym = yield { stage: 7, data0: gamma, data1: NONE };
  const maskedPseudonym = yield { stage: 8, data0: gamma, data1: NONE };
  const hostChallenge = sha1(n, masked, pseudonym, maskedPseudonym);
  const nt = yield { stage: 9, data0: hostChallenge, data1: NONE };
  const selector = 'digest' in message ? 1 : 0;
  const [given, covered] =
    'digest' in message
      ? [message.digest, message.digest]
      : [encode(u32, message.handle), message.modulus];
  const challenge = yield { stage: 10, data0: Uint8Array.of(selector), data1: given };
  const bound = sha1(sha1(hostChallenge, nt), Uint8Array.of(selector), covered);
  check(() => same(challenge, bound), 'it is not over the message');
  const low = [
    yield { stage: 11, data0: NONE, data1: NONE },
    yield { stage: 12, data0: NONE, data1: NONE },
    yield { stage: 13, data0: member.v0, data1: NONE },
  ];
  yield { stage: 14, data0: member.v0, data1: NONE };
  const shown = [...low, yield { stage: 15, data0: member.v1, data1: NONE }];
  const c = number(challenge);
  const held = issuer.commitmentOf(member.a);
  check(() => issuer.holds(held, number(masked), c, shown), 'the credential is not its own');
  const [name, maskedName] = [number(pseudonym), number(maskedPseudonym)];
  check(() => issuer.holdsPseudonym(w, name, maskedName, c, shown), 'the pseudonym is another');
  return { pseudonym: name };
}
