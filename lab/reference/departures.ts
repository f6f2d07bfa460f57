/**
 * Where this engine does not follow libtpms on purpose, as guests at random come upon it. Each is
 * in the table of docs/tpm12.md with its reason; most have a test of their own in interop.test.ts.
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
  readonly name: string;
  readonly why: string;
  readonly holds: (exchange: Answered) => boolean;
  /** Both answer the same, and only later it shows. */
  readonly silent?: true;
}

const USES_NV_SECRET: readonly number[] = [ORDINALS.NV_ReadValueAuth, ORDINALS.NV_WriteValueAuth];
const USES_COUNTER_SECRET: readonly number[] = [ORDINALS.IncrementCounter, ORDINALS.ReleaseCounter];
const CAP_MFR = 0x10;
/** Areas of TPM_SetCapability that hold flags (Part 2, §21.7). */
const FLAG_AREAS: readonly number[] = [1, 3, 5];

export const DEPARTURES: readonly Departure[] = [
  {
    name: 'an OSAP session to a new NV index opens any other new one',
    why: 'secrets are there to be told apart',
    holds: ({ ordinal, ours }) => USES_NV_SECRET.includes(ordinal) && ours === RESULT.AUTHFAIL,
  },
  {
    name: 'an OSAP session to a counter opens any other one',
    why: 'secrets are there to be told apart',
    holds: ({ ordinal, ours }) => USES_COUNTER_SECRET.includes(ordinal) && ours === RESULT.AUTHFAIL,
  },
  {
    name: 'TPM_NV_DefineSpace, refused half-way, puts the TPM out of service',
    why: 'no guest takes a TPM out of service',
    holds: ({ ordinal, theirs, ours }) =>
      ordinal === ORDINALS.NV_DefineSpace && theirs === RESULT.FAIL && ours !== RESULT.SUCCESS,
  },
  {
    name: 'TPM_CAP_MFR tells the number of the process',
    why: 'it is nobody else’s business',
    holds: ({ ordinal, request, ours }) =>
      ordinal === ORDINALS.GetCapability &&
      word(request, 10) === CAP_MFR &&
      ours === RESULT.BAD_MODE,
  },
  {
    name: 'TPM_LoadContext of a key whose handle is taken lets go who has it',
    why: 'a refused command changes nothing',
    silent: true,
    // After the header: the entity, whether the handle is kept, a size; then the blob's tag and type.
    holds: ({ ordinal, request, theirs }) =>
      ordinal === ORDINALS.LoadContext &&
      theirs === RESULT.BAD_HANDLE &&
      request[14] === 1 &&
      word(request, 21) === RESOURCE.KEY,
  },
  {
    name: 'a flag that TPM_SetCapability sets to 2 or more shows so',
    why: 'a flag is a bit',
    silent: true,
    holds: ({ ordinal, request, theirs }) =>
      ordinal === ORDINALS.SetCapability &&
      theirs === RESULT.SUCCESS &&
      FLAG_AREAS.includes(word(request, 10)) &&
      flagOf(request) > 1,
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
  return DEPARTURES.find(({ silent = false, holds }) => silent === same && holds(exchange))?.name;
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
  return same ? DEPARTURES[0]!.name : undefined;
}
