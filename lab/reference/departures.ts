/**
 * Where this engine departs from libtpms 0.9.2 on purpose. The table of docs/tpm12.md is generated from
 * this; random guests recognise those that have `holds`.
 */

import { isDeepStrictEqual } from 'node:util';
import { ENTITY, ORDINALS, RESOURCE, RESULT } from '../../src/guest/index.js';
import { decodeSaved } from '../../src/tpm/tpm12/state/savestate.js';
import { equal } from '../../src/wire/codec.js';
import { word } from '../files.js';

/** What was asked, and what both answered. */
interface Answered {
  readonly ordinal: number;
  readonly request: Uint8Array;
  readonly theirs: number;
  readonly ours: number;
}

export interface Departure {
  /** What a guest does. */
  readonly on: string;
  readonly libtpms: string;
  readonly here: string;
  readonly why: string;
  /** Whether test/tpm/interop.test.ts shows it on both. */
  readonly shown?: true;
  /** How the two responses tell that it was met; absent where random guests keep away from it. */
  readonly holds?: (exchange: Answered) => boolean;
  /** Both responses are the same, and the difference shows later. */
  readonly silent?: true;
}

const USES_NV_SECRET: readonly number[] = [ORDINALS.NV_ReadValueAuth, ORDINALS.NV_WriteValueAuth];
const USES_COUNTER_SECRET: readonly number[] = [ORDINALS.IncrementCounter, ORDINALS.ReleaseCounter];
const CAP_MFR = 0x10;
/** Areas of TPM_SetCapability that hold flags (Part 2, §21.7). */
const FLAG_AREAS: readonly number[] = [1, 3, 5];

const NV_BINDING = 'an OSAP session to an NV index that was defined since power on';

export const DEPARTURES: readonly Departure[] = [
  {
    on: 'an offset into an NV index that wraps around 2^32',
    libtpms: 'reads or writes past its memory',
    here: 'TPM_NOSPACE',
    why: 'a guest must not crash the host',
    shown: true,
  },
  {
    on: NV_BINDING,
    libtpms: 'opens every other such index; a saved state records none that it is bound to',
    here: 'opens that one',
    why: 'secrets must be told apart',
    shown: true,
    holds: ({ ordinal, ours }) => USES_NV_SECRET.includes(ordinal) && ours === RESULT.AUTHFAIL,
  },
  {
    on: 'an OSAP session to a counter, over TPM_SaveState and a restart',
    libtpms: 'is refused; one opened after it opens every other counter',
    here: 'opens that one',
    why: 'secrets must be told apart',
    shown: true,
    holds: ({ ordinal, ours }) => USES_COUNTER_SECRET.includes(ordinal) && ours === RESULT.AUTHFAIL,
  },
  {
    on: 'TPM_NV_DefineSpace of an existing index, refused half-way',
    libtpms: 'TPM_FAIL, and failure mode',
    here: 'rolled back, with the reason',
    why: 'a guest must not take a TPM out of service',
    shown: true,
    holds: ({ ordinal, theirs, ours }) =>
      ordinal === ORDINALS.NV_DefineSpace && theirs === RESULT.FAIL && ours !== RESULT.SUCCESS,
  },
  {
    on: 'a signature by a key whose modulus has another length than its parameters say',
    libtpms: 'TPM_FAIL, and failure mode',
    here: 'TPM_BAD_KEY_PROPERTY',
    why: 'a guest must not take a TPM out of service',
    shown: true,
  },
  {
    on: 'TPM_CreateMigrationBlob of a key with a private part of under 16 bytes',
    libtpms: 'reads out of bounds',
    here: 'TPM_BAD_KEY_PROPERTY',
    why: 'a guest must not crash the host',
  },
  {
    on: 'TPM_DSAP with a blob in a session of the AES scheme',
    libtpms: 'follows an uninitialised pointer',
    here: 'works',
    why: 'a guest must not crash the host',
  },
  {
    on: 'TPM_Delegate_LoadOwnerDelegation with an authorisation where there is no owner',
    libtpms: 'follows an uninitialised pointer',
    here: 'TPM_AUTHFAIL',
    why: 'a guest must not crash the host',
  },
  {
    on: 'TPM_LoadKeyContext or TPM_LoadAuthContext of a context on a new TPM, before its first restart',
    libtpms: 'swtpm dies',
    here: 'TPM_DECRYPT_ERROR',
    why: 'a guest must not crash the host',
  },
  {
    on: 'TPM_Delegate_UpdateVerification of a row past the last',
    libtpms: 'follows an uninitialised pointer',
    here: 'TPM_BADINDEX',
    why: 'a guest must not crash the host',
  },
  {
    on: 'TPM_LoadContext of a key under its old handle, which is taken',
    libtpms: 'refused, and the key that has the handle is evicted',
    here: 'refused',
    why: 'a refused command changes nothing',
    shown: true,
    silent: true,
    // After the header: the entity, whether the handle is kept, a size; then the blob's tag and type.
    holds: ({ ordinal, request, theirs }) =>
      ordinal === ORDINALS.LoadContext &&
      theirs === RESULT.BAD_HANDLE &&
      request[14] === 1 &&
      word(request, 21) === RESOURCE.KEY,
  },
  {
    on: 'TPM_SetCapability of a flag with a value of 2',
    libtpms: 'shows 2 until the next restart',
    here: 'shows 1',
    why: 'a flag is a bit',
    shown: true,
    silent: true,
    holds: ({ ordinal, request, theirs }) =>
      ordinal === ORDINALS.SetCapability &&
      theirs === RESULT.SUCCESS &&
      FLAG_AREAS.includes(word(request, 10)) &&
      flagOf(request) > 1,
  },
  {
    on: 'TPM_CAP_MFR',
    libtpms: 'reports the number of the process',
    here: 'TPM_BAD_MODE',
    why: 'a guest must not learn of the host',
    shown: true,
    holds: ({ ordinal, request, ours }) =>
      ordinal === ORDINALS.GetCapability &&
      word(request, 10) === CAP_MFR &&
      ours === RESULT.BAD_MODE,
  },
  {
    on: 'TPM_DAA_Join, stages 22 and 23: a share that makes v0 zero, or v1 longer than 192 bytes',
    libtpms: 'TPM_FAIL, and failure mode',
    here: 'TPM_DAA_INPUT_DATA0',
    why: 'a guest must not take a TPM out of service',
    shown: true,
  },
  {
    on: 'an SRK of more than 4096 bits',
    libtpms: 'is computed for as long as it takes',
    here: 'TPM_BAD_KEY_PROPERTY',
    why: 'a guest must not stop the host',
  },
  {
    on: 'a loaded key whose numbers are past 4096 bits, or an exponent past 2^53',
    libtpms: 'is loaded',
    here: 'TPM_BAD_PARAMETER',
    why: 'a guest must not stop the host',
  },
];

/** The value of TPM_SetCapability: it follows the area, the sub-capability and its own count. */
const flagOf = (request: Uint8Array): number => request[18 + word(request, 14) + 4] ?? 0;

/** The name of the departure that both answers show; undefined: none does. */
export function departureOf(
  request: Uint8Array,
  theirs: Uint8Array,
  ours: Uint8Array,
): string | undefined {
  const exchange = {
    ordinal: word(request, 6),
    request,
    theirs: word(theirs, 6),
    ours: word(ours, 6),
  };
  const same = equal(theirs, ours);
  return DEPARTURES.find(
    ({ silent = false, holds }) => silent === same && holds?.(exchange) === true,
  )?.on;
}

const BOUND_LOOSELY: readonly number[] = [ENTITY.NV, ENTITY.COUNTER];

/** A saved state without what sessions to NV indices and counters are bound to. */
function withoutBindings(savestate: Uint8Array): unknown {
  const saved = decodeSaved(savestate);
  const authSessions = saved.data.authSessions.map(session =>
    BOUND_LOOSELY.includes(session.entityType) ? { ...session, entityDigest: undefined } : session,
  );
  return { ...saved, data: { ...saved.data, authSessions } };
}

/** The departure that explains why two saved states are not the same; undefined: none does. */
export function departureOfSaved(theirs: Uint8Array, ours: Uint8Array): string | undefined {
  if (theirs.length === 0 || ours.length === 0) return undefined;
  const same = isDeepStrictEqual(withoutBindings(theirs), withoutBindings(ours));
  return same ? NV_BINDING : undefined;
}
