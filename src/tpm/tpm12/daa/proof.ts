/**
 * The arithmetic of DAA (TPM Main Part 3, §26): the stages that TPM_DAA_Join and TPM_DAA_Sign have in
 * common, and what both compute with. A TPM proves that it knows secrets, f and others, behind powers
 * of an issuer's parameters, and shows of each secret only `mask + challenge * secret`.
 *
 * Every number comes from the guest. Their sizes are bounded by the command that they came in, and
 * exponents have at most 219 bytes; what cannot be computed is TPM_DAA_WRONG_W, as in libtpms.
 * @module
 */
import { concat, encode, equal, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { modExp, toBytes, toNumber } from '../../crypto/mod-exp.js';
import { mgf1 } from '../../crypto/oaep.js';
import type { Call } from '../call.js';
import { demand } from '../results.js';
import type { DaaSession } from '../state/daa-session.js';
import { DaaSize } from '../structures/daa-issuer.js';

/** A stage at work: its session, and the two inputs of every stage. */
export interface Step {
  readonly call: Call;
  readonly session: DaaSession;
  readonly data0: Uint8Array;
  readonly data1: Uint8Array;
}

/** What a stage does; it gives the output, which may be nothing. */
export type Stage = (step: Step) => Uint8Array;

export const NOTHING = new Uint8Array();

/** A number that a stage computes with: a secret, or what masks it. */
type Quantity = (step: Step) => bigint;

/** Part 2 §22.2 DAA_power0 and DAA_power1: where f and the larger secrets are cut in two. */
const [POWER_0, POWER_1] = [104n, 1024n];

const lowBits = (value: bigint, power: bigint): bigint => value % 2n ** power;

/** Part 2 §22.1: bytes of each mask. */
const MASK_BYTES = { r0: 43, r1: 43, r2: 128, r3: 168, r4: 219 } as const;

/** A mask: drawn out of the seed of the session, the same in every stage that needs it. */
const mask =
  (name: keyof typeof MASK_BYTES): Quantity =>
  ({ session: { context } }) =>
    toNumber(mgf1(concat(new TextEncoder().encode(name), context.contextSeed), MASK_BYTES[name]));

export const r0 = mask('r0');

export const r1 = mask('r1');

export const r2 = mask('r2');

export const r3 = mask('r3');

export const r4 = mask('r4');

/** The secret f, which is this TPM's for an issuer and a count, and its two parts. */
const f: Quantity = ({ session: { specific, issuer } }) => {
  const head = concat(specific.rekey, encode(u32, specific.count));
  const digests = concat(sha1(head, Uint8Array.of(0)), sha1(head, Uint8Array.of(1)));
  return remainder(toNumber(digests), toNumber(issuer.genericQ));
};

export const f0: Quantity = step => lowBits(f(step), POWER_0);

export const f1: Quantity = step => f(step) >> POWER_0;

function remainder(value: bigint, modulus: bigint): bigint {
  demand(modulus > 0n, 'DAA_WRONG_W');
  return value % modulus;
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  demand(modulus % 2n === 1n, 'DAA_WRONG_W');
  return modExp(base, exponent, modulus);
}

/** A number at a length; undefined where it takes more. */
export function padded(value: bigint, length: number): Uint8Array | undefined {
  const bytes = toBytes(value);
  return bytes.length > length ? undefined : concat(new Uint8Array(length - bytes.length), bytes);
}

/** A number as a guest gets it. Of one of no bytes libtpms cannot make a buffer, and fails. */
export function shown(value: bigint): Uint8Array {
  demand(value > 0n, 'DAA_INPUT_DATA0');
  return toBytes(value);
}

/** @throws TpmFault SIZE for a number that the scratch has no room for */
export function keep({ session: { context } }: Step, value: bigint): void {
  const bytes = padded(value, context.scratch.length);
  demand(bytes !== undefined, 'SIZE');
  context.scratch.set(bytes);
}

export const kept: Quantity = ({ session }) => toNumber(session.context.scratch);

/** From here on the scratch counts as empty. Its bytes stay, and travel, as those of libtpms do. */
export function letGo({ session: { context } }: Step): void {
  context.scratchIsEmpty = true;
}

function demandDigest(
  data: Uint8Array,
  expected: Uint8Array,
  otherwise: 'DAA_INPUT_DATA0' | 'DAA_INPUT_DATA1',
): bigint {
  demand(equal(sha1(data), expected), otherwise);
  return toNumber(data);
}

type Parameter = 'digestR0' | 'digestR1' | 'digestS0' | 'digestS1';

/** Raises a parameter of the issuer, which comes with n, and multiplies the scratch with it. */
const multiply =
  (parameter: Parameter, exponent: Quantity, before: Quantity = kept): Stage =>
  step => {
    const { issuer } = step.session;
    const base = demandDigest(step.data0, issuer[parameter], 'DAA_INPUT_DATA0');
    const n = demandDigest(step.data1, issuer.digestN, 'DAA_INPUT_DATA1');
    const factor = power(base, exponent(step), n);
    keep(step, (before(step) * factor) % n);
    return NOTHING;
  };

/** The first factor of a product: R0 to a power. */
export const beginWithR0 = (exponent: Quantity): Stage => multiply('digestR0', exponent, () => 1n);

export const timesR1 = (exponent: Quantity): Stage => multiply('digestR1', exponent);

export const timesS0 = (exponent: Quantity): Stage => multiply('digestS0', exponent);

/** The last factor, S1 to a power. The guest gets the product. */
export const endWithS1 =
  (exponent: Quantity): Stage =>
  step => {
    multiply('digestS1', exponent)(step);
    letGo(step);
    return step.session.context.scratch.slice();
  };

/** Draws the seed of all masks, and begins the product that masks the one of the secrets. */
export const beginMasks = beginWithR0(step => {
  step.session.context.contextSeed = step.call.tpm.entropy(20);
  return r0(step);
});

const demandGamma = ({ data0, session }: Step): bigint =>
  demandDigest(data0, session.issuer.digestGamma, 'DAA_INPUT_DATA0');

/** Takes the base of pseudonyms, w, which must be of order q modulo gamma. */
export const takeBase: Stage = step => {
  const gamma = demandGamma(step);
  demand(step.data1.length === DaaSize.w, 'DAA_INPUT_DATA1');
  const w = toNumber(step.data1);
  const q = toNumber(step.session.issuer.genericQ);
  demand(power(w, q, gamma) === 1n, 'DAA_WRONG_W');
  keep(step, w);
  return NOTHING;
};

/** The pseudonym: w to the power of f. */
export const pseudonym: Stage = step => {
  const gamma = demandGamma(step);
  return shown(power(kept(step), f(step), gamma));
};

/** The same for what masks f. */
export const maskedPseudonym: Stage = step => {
  const gamma = demandGamma(step);
  const q = toNumber(step.session.issuer.genericQ);
  const r = remainder(r0(step) + r1(step) * 2n ** POWER_0, q);
  const result = power(kept(step), r, gamma);
  letGo(step);
  return shown(result);
};

/** Adds a nonce of its own to the challenge, so that the guest cannot have chosen it. */
export const addNonce: Stage = ({ call, session: { context }, data0 }) => {
  demand(data0.length === context.digest.length, 'DAA_INPUT_DATA0');
  const nonce = call.tpm.entropy(DaaSize.NT);
  context.digest = sha1(data0, nonce);
  return nonce;
};

/** mask + challenge * secret: what shows that the TPM knows the secret, and not the secret. */
const proofOf =
  (hiding: Quantity, secret: Quantity): Quantity =>
  step =>
    hiding(step) + toNumber(step.session.context.digest) * secret(step);

export const show =
  (hiding: Quantity, secret: Quantity): Stage =>
  step =>
    shown(proofOf(hiding, secret)(step));

/** The lower part of such a number, at full length or as it is. */
export const showLow =
  (hiding: Quantity, secret: Quantity, form: 'full length' | 'bare'): Stage =>
  step => {
    const low = lowBits(proofOf(hiding, secret)(step), POWER_1);
    return form === 'bare' ? shown(low) : padded(low, Number(POWER_1) / 8)!;
  };

/** Keeps what is left of it above. */
export const keepHigh =
  (hiding: Quantity, secret: Quantity): Stage =>
  step => {
    keep(step, proofOf(hiding, secret)(step) >> POWER_1);
    return NOTHING;
  };

/** The upper part, with what was kept. */
export const showHigh =
  (hiding: Quantity, secret: Quantity): Stage =>
  step => {
    const value = proofOf(hiding, secret)(step) + kept(step);
    letGo(step);
    return shown(value);
  };

/** A number cut in two: what `low` bits hold, and the rest. */
export const cut = (value: bigint): { low: bigint; high: bigint } => ({
  low: lowBits(value, POWER_1),
  high: value >> POWER_1,
});
