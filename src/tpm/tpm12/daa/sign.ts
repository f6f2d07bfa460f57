/**
 * TPM_DAA_Sign (TPM Main Part 3, §26.2): the TPM proves that an issuer let it join, over a message or
 * an identity key, and does not tell which TPM it is.
 * @module
 */
import { decode, equal, u8, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { toNumber } from '../../crypto/mod-exp.js';
import { findKey } from '../keys/loaded.js';
import { demand, refusedAs } from '../results.js';
import { DaaResource, DaaSize, daaIssuer, daaTpm } from '../structures/daa-issuer.js';
import { KeyUsage } from '../structures/key.js';
import { load } from '../structures/parsing.js';
import { openDaa } from './daa-blob.js';
import {
  addNonce,
  beginMasks,
  endWithS1,
  f0,
  f1,
  keepHigh,
  maskedPseudonym,
  NOTHING,
  padded,
  pseudonym,
  r0,
  r1,
  r2,
  r4,
  type Stage,
  type Step,
  show,
  showHigh,
  showLow,
  takeBase,
  timesR1,
  timesS0,
} from './proof.js';

/** Opens a session with the parameters of an issuer, which nothing proves yet. */
const open: Stage = ({ session, data0 }) => {
  session.issuer = refusedAs('DAA_INPUT_DATA0', () => decode(daaIssuer, data0));
  return NOTHING;
};

/** Takes back what the TPM gave away when it joined. It names the issuer. */
const takeSpecific: Stage = ({ call, session, data0 }) => {
  const { data } = call.state.permanent;
  session.specific = refusedAs('DAA_INPUT_DATA0', () =>
    load(daaTpm, openDaa(data, DaaResource.TPM, data0)),
  );
  return NOTHING;
};

/** What the signature is over, by the first input: a digest that comes second, or a key. */
const SELECTED: Readonly<Record<number, (step: Step) => Uint8Array>> = {
  0: identityModulus,
  1: ({ data1 }) => {
    demand(data1.length === 20, 'DAA_INPUT_DATA1');
    return data1;
  },
};

function identityModulus({ call, data1 }: Step): Uint8Array {
  return refusedAs('DAA_INPUT_DATA1', () => {
    const { key } = findKey(call, decode(u32, data1), { readOnly: true });
    demand(key.keyUsage === KeyUsage.IDENTITY, 'DAA_INPUT_DATA1');
    return key.pubKey;
  });
}

/** Binds the challenge to what is signed. */
const takeMessage: Stage = step => {
  const { context } = step.session;
  const selector = refusedAs('DAA_INPUT_DATA0', () => decode(u8, step.data0));
  const select = SELECTED[selector];
  demand(select !== undefined, 'DAA_INPUT_DATA0');
  context.digest = sha1(context.digest, Uint8Array.of(selector), select(step));
  return context.digest.slice();
};

/** A private number out of its blob. It comes with the command that needs it. */
const privateNumber =
  (type: 'V0' | 'V1', digest: 'digestV0' | 'digestV1', length: number) =>
  ({ call, session, data0 }: Step): bigint =>
    refusedAs('DAA_INPUT_DATA0', () => {
      const bytes = openDaa(call.state.permanent.data, DaaResource[type], data0);
      const value = toNumber(bytes);
      const whole = padded(value, length);
      const known = whole !== undefined && equal(sha1(whole), session.specific[digest]);
      demand(known, 'DAA_INPUT_DATA0');
      return value;
    });

const v0 = privateNumber('V0', 'digestV0', DaaSize.v0);

const v1 = privateNumber('V1', 'digestV1', DaaSize.v1);

/** What is done at each stage. */
// biome-ignore format: table
export const SIGN_STAGES: readonly Stage[] = [
  /*  0 */ open,
  /*  1 */ takeSpecific,
  /*  2 */ beginMasks,
  /*  3 */ timesR1(r1),
  /*  4 */ timesS0(r2),
  /*  5 */ endWithS1(r4),
  /*  6 */ takeBase,
  /*  7 */ pseudonym,
  /*  8 */ maskedPseudonym,
  /*  9 */ addNonce,
  /* 10 */ takeMessage,
  /* 11 */ show(r0, f0),
  /* 12 */ show(r1, f1),
  /* 13 */ showLow(r2, v0, 'bare'),
  /* 14 */ keepHigh(r2, v0),
  /* 15 */ showHigh(r4, v1),
];
