/**
 * Transport sessions (TPM Main Part 3, §24): TPM_EstablishTransport, TPM_ExecuteTransport,
 * TPM_ReleaseTransportSigned.
 * @module
 */
import { concat, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { HEADER_BYTES } from '../../kernel/frame.js';
import { crypt, demandScheme, has, logInto, logOutOf } from '../auth/transport-session.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, entityOfKey, findKey } from '../keys/loaded.js';
import { decryptWith, signWith } from '../keys/use.js';
import { ORDINALS } from '../ordinals.js';
import { demand } from '../results.js';
import { noBytes20, nonce } from '../structures/basic.js';
import { encodeSignInfo } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import { currentTicks, tickCount } from '../structures/current-ticks.js';
import { AuthDataUsage, KeyUsage, type KeyWithSecret } from '../structures/key.js';
import { SigScheme } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import {
  Attribute,
  type TransportPublic,
  type TransportSession,
  transportAuth,
  transportPublic,
} from '../structures/transport-public.js';
import { Handle } from '../structures/types.js';
import { ticksNow } from '../ticks.js';
import { commandPart, keyCountOf, keysHash, responsePart, withPart } from '../wrapping.js';

const SUCCESS = encode(u32, 0);

const ENCRYPTING: readonly number[] = [KeyUsage.STORAGE, KeyUsage.LEGACY];

/** Opens a transport session, under a secret that came encrypted to a key, or in clear. */
export const establishTransport = command({
  ordinal: 'EstablishTransport',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 21 },
  transport: { refused: true },
  handles: { encHandle: 'key' },
  input: { transPublic: transportPublic, secret: sizedBuffer },
  outHandles: { transHandle: 'transport' },
  output: { locality: u32, currentTicks, transNonceEven: nonce },
  run(call, { encHandle, transPublic, secret: sent }) {
    const authData = secretOf(call, encHandle, transPublic, sent);
    const { state, tpm, locality } = call;
    const encrypts = transPublic.transAttributes % 2 === Attribute.ENCRYPT;
    if (encrypts) demandScheme(transPublic, state.permanent.flags.FIPS);
    const transNonceEven = tpm.entropy(20);
    const session = {
      authData,
      transPublic,
      transHandle: 0,
      transNonceEven,
      transDigest: noBytes20(),
    };
    const ticks = ticksNow(tpm);
    if (has(session, 'LOG')) {
      const ordinal = encode(u32, ORDINALS.EstablishTransport);
      const asked = concat(encode(transportPublic, transPublic), encode(sizedBuffer, sent));
      logInto(session, sha1(ordinal, asked), noBytes20());
      const answered = concat(encode(u32, locality), encode(currentTicks, ticks), transNonceEven);
      const parameters = sha1(SUCCESS, ordinal, answered);
      logOutOf(session, { currentTicks: ticks, parameters, locality });
    }
    const transHandle = state.stclear.transSessions.add(session, tpm.entropy).transHandle;
    if (has(session, 'EXCLUSIVE')) state.stany.transportExclusive = transHandle;
    return { transHandle, locality, currentTicks: ticks, transNonceEven };
  },
});

function secretOf(
  call: Call,
  encHandle: number,
  { transAttributes }: TransportPublic,
  sent: Uint8Array,
): Uint8Array {
  if (encHandle === Handle.TRANSPORT) {
    demand(!call.isAuthorised, 'BADTAG');
    demand(transAttributes % 2 !== Attribute.ENCRYPT, 'BAD_SCHEME');
    demand(sent.length === 20, 'BAD_PARAM_SIZE');
    return sent;
  }
  const { key } = findKey(call, encHandle);
  demand(ENCRYPTING.includes(key.keyUsage), 'INVALID_KEYUSAGE');
  authoriseKey(call, key);
  return load(transportAuth, decryptWith(key, sent)).authData;
}

/** Runs a command that came through a session. */
export const executeTransport = command({
  ordinal: 'ExecuteTransport',
  auth: 'none',
  when: 'owned',
  sha1: 'carries',
  transport: { refused: true, authorises: true },
  input: { wrappedCmd: sizedBuffer },
  output: { currentTicks: tickCount, locality: u32, wrappedRsp: sizedBuffer },
  run(call, { wrappedCmd }) {
    const { tpm, locality } = call;
    const auth = call.usedTransport;
    const held = auth.session;
    const part = commandPart(call, wrappedCmd);
    const { ordinal, facts } = part;
    const clear = withPart(wrappedCmd, part, data => crypt(held, auth.nonceOdd, 'in', data));
    const keyCount = keyCountOf(facts, clear);
    const inDigest = sha1(encode(u32, ordinal), clear.slice(part.start, part.end));
    const size = encode(u32, wrappedCmd.length);
    auth.check(sha1(encode(u32, ORDINALS.ExecuteTransport), size, inDigest));
    demand(!facts.refused, 'NO_WRAP_TRANSPORT');
    if (has(held, 'LOG')) logInto(held, inDigest, keysHash(call, keyCount, clear));
    const response = tpm.runWrapped(clear, locality, held);
    const ticks = ticksNow(tpm);
    const out = responsePart(facts, response);
    const result = response.slice(6, HEADER_BYTES);
    const data = response.slice(out.start, out.end);
    const outDigest = sha1(result, encode(u32, ordinal), data);
    held.transNonceEven = tpm.entropy(20);
    auth.nonceIsDrawn = true;
    const count = encode(tickCount, ticks.currentTicks);
    const tail = concat(encode(u32, locality), encode(u32, response.length), outDigest);
    call.outParamDigest = sha1(SUCCESS, encode(u32, ORDINALS.ExecuteTransport), count, tail);
    call.auditDigests = { input: inDigest, output: outDigest };
    if (has(held, 'LOG')) logOutOf(held, { currentTicks: ticks, parameters: outDigest, locality });
    const wrappedRsp = withPart(response, out, clearData =>
      crypt(held, auth.nonceOdd, 'out', clearData),
    );
    // The command may have ended the very session that it came through.
    if (!call.state.stclear.transSessions.has(held)) auth.end();
    return { currentTicks: ticks.currentTicks, locality, wrappedRsp };
  },
});

const SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];

/** Ends a session, and signs its log. */
export const releaseTransportSigned = command({
  ordinal: 'ReleaseTransportSigned',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 20 },
  transport: { refused: true, authorises: true, handleBytes: 0 },
  malformed: 'ends the first session',
  handles: { keyHandle: 'key' },
  input: { antiReplay: nonce },
  output: { locality: u32, currentTicks, signature: sizedBuffer },
  run(call, { keyHandle, antiReplay }) {
    const { tpm, locality } = call;
    const auth = call.usedTransport;
    const { key } = findKey(call, keyHandle);
    authoriseSigner(call, key);
    auth.check(call.inParamDigest);
    const held: TransportSession = auth.session;
    demand(has(held, 'LOG'), 'BAD_MODE');
    const ticks = ticksNow(tpm);
    logOutOf(held, { currentTicks: ticks, parameters: call.inParamDigest, locality });
    const message = sha1(encodeSignInfo('TRAN', antiReplay, held.transDigest));
    const signature = signWith(key, message);
    auth.end();
    return { locality, currentTicks: ticks, signature };
  },
});

function authoriseSigner(call: Call, key: KeyWithSecret): void {
  demand(SCHEMES.includes(key.algorithmParms.sigScheme), 'INAPPROPRIATE_SIG');
  if (call.auth === undefined) demand(key.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
  else call.auth.openSession(entityOfKey(key));
  demand(key.keyUsage === KeyUsage.SIGNING, 'INVALID_KEYUSAGE');
  call.auth?.check();
}
