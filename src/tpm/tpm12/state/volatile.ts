/**
 * What a migration carries besides the stored blobs: everything that a running TPM knows. The
 * format is this engine's own (libtpms's holds structures of its build) and says so: it opens with
 * its kind and its revision, and with the digest of the `permall` that it belongs to, so that a
 * state of another TPM, or of another moment, does not pass. A SHA-256 closes it; like libtpms's
 * own trailer it shows errors, and who could change the state is kept out by the channel that
 * carries it.
 *
 * Rules for later revisions: a field once shipped keeps its place and its meaning; a change is a
 * new revision, and older ones go on being read.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  array,
  bool,
  bytes,
  type Codec,
  checked,
  concat,
  decode,
  encode,
  equal,
  list,
  Reader,
  struct,
  u8,
  u16,
  u32,
  u64,
  WireError,
} from '../../../wire/codec.js';
import { Sha1Stream, sha1Progress } from '../../crypto/sha1-stream.js';
import { StateError } from '../../engine.js';
import { LIMITS } from '../limits.js';
import { TpmFault } from '../results.js';
import { digest, nonce } from '../structures/basic.js';
import { keyHandleEntry } from '../structures/key.js';
import { transportInternal } from '../structures/transport-public.js';
import { authSession } from './auth-session.js';
import { daaSession } from './daa-session.js';
import { authSlots, daaSlots, keySlots, transportSlots } from './places.js';
import { nvVolatile, nvVolatileOf, setNvVolatile, stclearFlags } from './savestate.js';
import type { TestState, TpmState } from './state.js';

const KIND = new TextEncoder().encode('nvtpm-tpm12');

export const VOLATILE_REVISION = 1;

const DIGEST_BYTES = 32;

const BYTES_MAX = 65536;

const head = struct({ kind: bytes(KIND.length), revision: u16 });

/** Things by place: each that is there behind the number of its place. */
function byPlace<T>(item: Codec<T>, places: number): Codec<(T | undefined)[]> {
  const held = list(u8, struct({ place: checked(u8, place => place < places), item }), places);
  return {
    size: undefined,
    read(from) {
      const found = Array.from({ length: places }, (): T | undefined => undefined);
      // struct() loses that `item` is a T.
      for (const { place, item: one } of held.read(from)) found[place] = one as T;
      return found;
    },
    write: (to, all) =>
      held.write(
        to,
        all.flatMap((one, place) => (one === undefined ? [] : [{ place, item: one }])),
      ),
  };
}

// biome-ignore format: table
const stclearData = struct({
  contextNonceKey:          nonce,
  countID:                  u32,
  ownerReference:           u32,
  disableResetLock:         bool,
  pcrs:                     array(LIMITS.pcrs, digest),
  deferredPhysicalPresence: u32,
  authFailCount:            u32,
  authFailAge:              u32,
  authSessions:             byPlace(authSession, LIMITS.authSessions),
  transSessions:            byPlace(transportInternal, LIMITS.transportSessions),
  daaSessions:              byPlace(daaSession, LIMITS.daaSessions),
  contextNonceSession:      nonce,
  contextCount:             u32,
  contextList:              array(LIMITS.contexts, u32),
  auditDigest:              digest,
});

// biome-ignore format: table
const body = struct({
  permall:      bytes(DIGEST_BYTES),
  testState:    checked(u8, state => state >= 1 && state <= 3),
  stany:        struct({ postInitialise: bool, tosPresent: bool, stateSaved: bool, transportExclusive: u32 }),
  stclearFlags: stclearFlags,
  stclear:      stclearData,
  keys:         byPlace(keyHandleEntry, LIMITS.keyHandles),
  nv:           list(u32, nvVolatile, LIMITS.permanentBytes),
  ticks:        struct({ elapsed: u64, nonce }),
  hash:         list(u8, sha1Progress, 1),
  sha1Thread:   list(u8, sha1Progress, 1),
  sha1Transport: u32,
});

const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(data).digest());

const MICROSECONDS = 1_000_000;

const seconds = (clock: number): number => Math.floor(clock / MICROSECONDS) % 2 ** 32;

/** What a running TPM knows, for the `permall` that it last stored. `now` is its clock. */
export function encodeVolatile(state: TpmState, permall: Uint8Array, now: number): Uint8Array {
  const { stclear } = state;
  const content = concat(
    encode(head, { kind: KIND, revision: VOLATILE_REVISION }),
    encode(body, {
      permall: sha256(permall),
      testState: state.testState,
      stany: state.stany,
      stclearFlags: { flags: state.stclearFlags },
      stclear: {
        ...stclear,
        authSessions: [...stclear.authSessions.places],
        transSessions: [...stclear.transSessions.places],
        daaSessions: [...stclear.daaSessions.places],
        authFailAge: stclear.authFailCount === 0 ? 0 : age(seconds(now), stclear.authFailTime),
      },
      keys: [...state.keys.places],
      nv: nvVolatileOf(state.permanent),
      ticks: { elapsed: now - state.ticks.startedAt, nonce: state.ticks.nonce },
      hash: progressOf(state.hash),
      sha1Thread: progressOf(state.sha1Thread),
      sha1Transport: state.sha1Transport,
    }),
  );
  return concat(content, sha256(content));
}

const progressOf = (stream: Sha1Stream | undefined) =>
  stream === undefined ? [] : [stream.progress()];

const age = (now: number, then: number): number => (now - then + 2 ** 32) % 2 ** 32;

/**
 * Resumes a TPM in `state`, which was just powered on with `permall`.
 * @throws StateError where the volatile state is not this engine's, damaged, or not of this `permall`
 */
export function restoreVolatile(
  state: TpmState,
  permall: Uint8Array,
  blob: Uint8Array,
  now: number,
): void {
  const held = parse(blob);
  if (!equal(held.permall, sha256(permall))) throw refuse('it belongs to another permall');
  setNvVolatile('volatilestate', state.permanent, held.nv);
  const { authFailAge, ...stclear } = held.stclear;
  Object.assign(state, {
    // `body` takes 1 to 3 only.
    testState: held.testState as TestState,
    stany: held.stany,
    stclearFlags: held.stclearFlags.flags,
    stclear: {
      ...stclear,
      authSessions: authSlots(stclear.authSessions),
      transSessions: transportSlots(stclear.transSessions),
      daaSessions: daaSlots(stclear.daaSessions),
      authFailTime: age(seconds(now), authFailAge),
    },
    keys: keySlots(held.keys),
    ticks: { startedAt: now - held.ticks.elapsed, nonce: held.ticks.nonce },
    hash: held.hash.map(progress => Sha1Stream.resume(progress))[0],
    sha1Transport: held.sha1Transport,
    sha1Thread: held.sha1Thread.map(progress => Sha1Stream.resume(progress))[0],
  } satisfies Partial<TpmState>);
}

function parse(blob: Uint8Array) {
  const headBytes = KIND.length + 2;
  if (blob.length > BYTES_MAX) throw refuse(`${blob.length} bytes are more than ${BYTES_MAX}`);
  if (blob.length < headBytes + DIGEST_BYTES) throw refuse(`${blob.length} bytes are too few`);
  const { kind, revision } = head.read(new Reader(blob));
  if (!equal(kind, KIND)) throw refuse('another engine wrote it');
  if (revision !== VOLATILE_REVISION) {
    const why = `it has revision ${revision}, and this program knows ${VOLATILE_REVISION}`;
    throw new StateError('REVISION', 'volatilestate', why);
  }
  const content = blob.subarray(0, -DIGEST_BYTES);
  if (!equal(sha256(content), blob.subarray(-DIGEST_BYTES))) {
    throw refuse('its digest does not match');
  }
  try {
    return decode(body, content.subarray(headBytes));
  } catch (error) {
    if (error instanceof WireError || error instanceof TpmFault) throw refuse(error.message, error);
    throw error;
  }
}

const refuse = (why: string, cause?: unknown): StateError =>
  new StateError('MALFORMED', 'volatilestate', why, cause);
