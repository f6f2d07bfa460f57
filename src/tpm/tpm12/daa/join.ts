/**
 * TPM_DAA_Join (TPM Main Part 3, §26.1): an issuer proves its parameters to the TPM, the TPM its
 * secrets to the issuer, and the issuer's answer is folded into what the TPM keeps.
 * @module
 */
import { concat, decode, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { toNumber } from '../../crypto/mod-exp.js';
import { pkcs1Verify } from '../../crypto/rsa.js';
import type { RsaPublicKey } from '../../crypto/rsa-keys.js';
import { decryptWith } from '../keys/use.js';
import { demand, refusedAs } from '../results.js';
import type { DaaSession } from '../state/daa-session.js';
import { DaaResource, DaaSize, daaIssuer, daaTpm } from '../structures/daa-issuer.js';
import { sealDaa } from './daa-blob.js';
import {
  addNonce,
  beginMasks,
  beginWithR0,
  cut,
  endWithS1,
  f0,
  f1,
  keep,
  keepHigh,
  kept,
  letGo,
  maskedPseudonym,
  NOTHING,
  padded,
  pseudonym,
  r0,
  r1,
  r2,
  r3,
  type Stage,
  type Step,
  show,
  showHigh,
  showLow,
  shown,
  takeBase,
  timesR1,
  timesS0,
} from './proof.js';

const countOf = (data: Uint8Array): number => refusedAs('DAA_INPUT_DATA0', () => decode(u32, data));

/** Opens a session for a chain of so many of the issuer's keys. */
const open: Stage = ({ session, data0 }) => {
  const count = countOf(data0);
  demand(count > 0, 'DAA_INPUT_DATA0');
  session.specific.count = count;
  return NOTHING;
};

const issuerKey = ({ session }: Step): RsaPublicKey => ({
  modulus: session.context.scratch.slice(),
  exponent: 65537,
});

function demandSigned(step: Step, signed: Uint8Array): void {
  demand(step.data1.length === DaaSize.issuerModulus, 'DAA_INPUT_DATA1');
  const sound = pkcs1Verify(issuerKey(step), sha1(signed), step.data1);
  demand(sound, 'DAA_ISSUER_VALIDITY');
}

/** Takes a key of the chain: the first as it is, each other signed by the one before. */
const takeIssuerKey: Stage = step => {
  const { call, session, data0 } = step;
  const { context, specific, join } = session;
  demand(data0.length === DaaSize.issuerModulus, 'DAA_INPUT_DATA0');
  if (context.scratchIsEmpty) {
    join.digestN0 = sha1(data0);
    specific.rekey = sha1(call.state.permanent.data.tpmDAASeed, join.digestN0);
  } else {
    demandSigned(step, data0);
  }
  context.scratchIsEmpty = false;
  context.scratch.set(data0);
  specific.count -= 1;
  return NOTHING;
};

/** Whether the next command is of this stage again: there is a command for each key of the chain. */
export const joinsOn = ({ context, specific }: DaaSession): boolean =>
  context.stage === 1 && specific.count > 0;

/** Takes the issuer's parameters, signed by the last key of the chain. */
const takeIssuer: Stage = step => {
  const { session, data0 } = step;
  session.issuer = refusedAs('DAA_INPUT_DATA0', () => decode(daaIssuer, data0));
  demandSigned(step, concat(session.join.digestN0, data0));
  session.specific.digestIssuer = sha1(data0);
  letGo(step);
  return NOTHING;
};

/** Takes the count that tells apart what f this TPM has for the issuer, and draws u0 and u1. */
const drawSecrets: Stage = ({ call, session, data0 }) => {
  session.specific.count = countOf(data0);
  session.join.u0 = call.tpm.entropy(session.join.u0.length);
  session.join.u1 = call.tpm.entropy(session.join.u1.length);
  return NOTHING;
};

const u0 = ({ session }: Step): bigint => toNumber(session.join.u0);

const u1 = ({ session }: Step): bigint => toNumber(session.join.u1);

/** Ends the product of the secrets, to which the issuer is to encrypt its nonce. */
const endCommitment: Stage = step => {
  const output = endWithS1(u1)(step);
  const { context, specific, join } = step.session;
  context.digest = sha1(output, encode(u32, specific.count), join.digestN0);
  return output;
};

/** Shows the issuer that this is the TPM of its Endorsement Key. */
const answerNonce: Stage = ({ call, session: { context }, data0 }) => {
  demand(data0.length === DaaSize.NE, 'DAA_INPUT_DATA0');
  const nonce = decryptWith(call.state.permanent.data.endorsementKey, data0);
  const output = sha1(context.digest, nonce);
  context.digest = new Uint8Array(context.digest.length);
  return output;
};

/** Keeps the upper part of s2, and shows the challenge. */
const keepHighOfS2: Stage = step => {
  keepHigh(r2, u0)(step);
  return step.session.context.digest.slice();
};

/** v0, out of the issuer's share and the TPM's; what is above it goes to v1. */
const makeV0: Stage = step => {
  const { call, session, data0 } = step;
  demand(data0.length === DaaSize.v0, 'DAA_INPUT_DATA0');
  const { low, high } = cut(toNumber(data0) + u0(step));
  session.specific.digestV0 = sha1(padded(low, DaaSize.v0)!);
  keep(step, high);
  return sealDaa(call.state.permanent.data, DaaResource.V0, shown(low));
};

/** v1 as well. Of one that takes more bytes than it has libtpms fails, out of the host's sight. */
const makeV1: Stage = step => {
  const { call, session, data0 } = step;
  demand(data0.length === DaaSize.v1, 'DAA_INPUT_DATA0');
  const value = toNumber(data0) + u1(step) + kept(step);
  const bytes = padded(value, DaaSize.v1);
  demand(bytes !== undefined, 'DAA_INPUT_DATA0');
  session.specific.digestV1 = sha1(bytes);
  letGo(step);
  return sealDaa(call.state.permanent.data, DaaResource.V1, shown(value));
};

/** Gives the host what the TPM wants back to sign. */
const finish: Stage = ({ call, session }) =>
  sealDaa(call.state.permanent.data, DaaResource.TPM, encode(daaTpm, session.specific));

/** What is done at each stage. */
// biome-ignore format: table
export const JOIN_STAGES: readonly Stage[] = [
  /*  0 */ open,
  /*  1 */ takeIssuerKey,
  /*  2 */ takeIssuer,
  /*  3 */ drawSecrets,
  /*  4 */ beginWithR0(f0),
  /*  5 */ timesR1(f1),
  /*  6 */ timesS0(u0),
  /*  7 */ endCommitment,
  /*  8 */ answerNonce,
  /*  9 */ beginMasks,
  /* 10 */ timesR1(r1),
  /* 11 */ timesS0(r2),
  /* 12 */ endWithS1(r3),
  /* 13 */ takeBase,
  /* 14 */ pseudonym,
  /* 15 */ maskedPseudonym,
  /* 16 */ addNonce,
  /* 17 */ show(r0, f0),
  /* 18 */ show(r1, f1),
  /* 19 */ showLow(r2, u0, 'full length'),
  /* 20 */ keepHighOfS2,
  /* 21 */ showHigh(r3, u1),
  /* 22 */ makeV0,
  /* 23 */ makeV1,
  /* 24 */ finish,
];
