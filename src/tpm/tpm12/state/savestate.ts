/**
 * `savestate`: what TPM_SaveState keeps for TPM_Startup(ST_STATE), in libtpms's own byte format
 * (TPM Main Part 3, §3.3): TPM_STCLEAR_DATA with the PCRs that no locality resets,
 * TPM_STCLEAR_FLAGS, the loaded keys, the volatile flags of the NV indices, and a SHA-1 behind.
 * @module
 */
import {
  array,
  bool,
  checked,
  encode,
  list,
  type Of,
  struct,
  u16,
  u32,
} from '../../../wire/codec.js';
import { StateError } from '../../engine.js';
import { LIMITS } from '../limits.js';
import { digest, nonce } from '../structures/basic.js';
import { flagBytes, structure } from '../structures/codecs.js';
import { loadedKeys } from '../structures/key.js';
import { transportInternal } from '../structures/transport-public.js';
import { authSession } from './auth-session.js';
import { decodeBlob, withDigest } from './blobs.js';
import { daaSession } from './daa-session.js';
import { STATIC_PCRS } from './pcr.js';
import type { Permanent } from './permanent.js';
import { authSlots, daaSlots, isOwnerEvict, keySlots, transportSlots } from './places.js';
import { STCLEAR_FLAGS, type TpmState } from './state.js';

const version1 = checked(u16, found => found === 1);

// biome-ignore format: table
const stclearData = structure(0x0024, {
  contextNonceKey:          nonce,
  countID:                  u32,
  ownerReference:           u32,
  disableResetLock:         bool,
  pcrs:                     array(STATIC_PCRS.length, digest),
  deferredPhysicalPresence: u32,
  authFailCount:            u32,
  authFailTime:             u32,
  authSessions:             list(u32, authSession, LIMITS.authSessions),
  transSessions:            list(u32, transportInternal, LIMITS.transportSessions),
  daaSessions:              list(u32, daaSession, LIMITS.daaSessions),
  contextNonceSession:      nonce,
  contextCount:             u32,
  contextList:              array(LIMITS.contexts, u32),
  auditDigest:              digest,
});

/** Part 2 §7.2 TPM_STCLEAR_FLAGS, as it also stands on the bus. */
const flags = flagBytes(STCLEAR_FLAGS);

const FLAGS_TAG = 0x0020;

export const stclearFlags = structure(FLAGS_TAG, { flags });

/** What an NV index remembers until the next TPM_Startup(ST_CLEAR). */
export const nvVolatile = struct({ readSTClear: bool, writeSTClear: bool });

// biome-ignore format: table
const saved = struct({
  data:      stclearData,
  flags:     stclearFlags,
  keyFormat: version1,
  keys:      loadedKeys(u32, LIMITS.keyHandles),
  nvFormat:  version1,
  nv:        list(u32, nvVolatile, LIMITS.permanentBytes),
});

/** The bytes of `savestate` for a state. */
export function encodeSaved({ stclear, stclearFlags: held, keys, permanent }: TpmState) {
  return withDigest(
    encode(saved, {
      data: {
        ...stclear,
        pcrs: STATIC_PCRS.map(pcr => stclear.pcrs[pcr]!),
        authSessions: stclear.authSessions.all,
        transSessions: stclear.transSessions.all,
        daaSessions: stclear.daaSessions.all,
      },
      flags: { flags: held },
      keyFormat: 1,
      keys: keys.all.filter(key => !isOwnerEvict(key)),
      nvFormat: 1,
      nv: nvVolatileOf(permanent),
    }),
  );
}

/** @throws StateError where the blob is damaged */
export const decodeSaved = (blob: Uint8Array): Of<typeof saved> =>
  decodeBlob('savestate', saved, blob, LIMITS.savedBytes);

/**
 * Takes over what `savestate` holds.
 * @throws StateError where it is damaged, or is not of this permanent state
 */
export function restoreSaved(state: TpmState, blob: Uint8Array): void {
  const { data, flags: held, keys, nv } = decodeSaved(blob);
  setNvVolatile('savestate', state.permanent, nv);
  state.stclear = {
    ...data,
    pcrs: state.stclear.pcrs.map((now, pcr) => {
      const place = STATIC_PCRS.indexOf(pcr);
      return place < 0 ? now : data.pcrs[place]!;
    }),
    authSessions: authSlots(data.authSessions),
    transSessions: transportSlots(data.transSessions),
    daaSessions: daaSlots(data.daaSessions),
  };
  state.stclearFlags = held.flags;
  state.keys = keySlots([...state.permanent.evictKeys, ...keys]);
}

/** The volatile flags of the NV indices, in the order of the area. */
export const nvVolatileOf = ({ nv }: Permanent): Of<typeof nvVolatile>[] =>
  nv
    .filter(entry => entry !== undefined)
    .map(({ publicInfo: { readSTClear, writeSTClear } }) => ({ readSTClear, writeSTClear }));

/** Sets the volatile flags of the NV indices. There must be as many as indices. */
export function setNvVolatile(
  blob: 'savestate' | 'volatilestate',
  { nv }: Permanent,
  held: readonly Of<typeof nvVolatile>[],
): void {
  const entries = nv.filter(entry => entry !== undefined);
  if (held.length !== entries.length) {
    const why = `it speaks of ${held.length} NV indices, and there are ${entries.length}`;
    throw new StateError('MALFORMED', blob, why);
  }
  entries.forEach(({ publicInfo }, at) => {
    Object.assign(publicInfo, held[at]);
  });
}
