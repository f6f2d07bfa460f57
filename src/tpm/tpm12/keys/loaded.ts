/**
 * The keys that are loaded (TPM Main Part 1, §4.2; Part 3, §10): 20 places, in which the keys that
 * the owner keeps over power cycles lie too. A key that goes leaves a place that the next one takes:
 * the order is what TPM_GetCapability shows, and what TPM_SaveState saves.
 * @module
 */
import type { Slots } from '../../kernel/slots.js';
import type { Entity } from '../auth/guest-auth.js';
import { terminateEntity } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { demand } from '../results.js';
import { compositeDigest, mayFrom } from '../state/pcr.js';
import type { TpmState } from '../state/state.js';
import {
  AuthDataUsage,
  hasFlag,
  type KeptKey,
  KeyUsage,
  type LoadedKey,
} from '../structures/key.js';
import { ALL_LOCALITIES, selectsAny } from '../structures/pcr-info.js';
import { EntityType, Handle } from '../structures/types.js';

/** @throws TpmFault INVALID_KEYHANDLE where no key has the handle */
export function findLoaded(keys: Slots<LoadedKey>, handle: number): LoadedKey {
  const found = keys.find(handle);
  demand(found !== undefined, 'INVALID_KEYHANDLE');
  return found;
}

/** Evicts a key, and ends every OSAP session that is bound to it. */
export function dropKey({ keys, stclear }: TpmState, { handle, key }: LoadedKey): void {
  const digest = key.secret?.pubDataDigest;
  if (digest !== undefined) {
    terminateEntity(stclear.authSessions, EntityType.KEYHANDLE, digest);
  }
  keys.remove(handle);
}

interface Search {
  /** Only the public part will be read: a key may let its PCRs be ignored then. */
  readonly readOnly?: boolean;
  readonly ignorePcrs?: boolean;
  /** Only the public part of the Endorsement Key is ever asked for. */
  readonly allowEk?: boolean;
}

/**
 * The key of a handle: the SRK, or a loaded one, whose PCRs and locality are as it wants them.
 * @throws TpmFault KEYNOTFOUND, INVALID_RESOURCE, INVALID_KEYHANDLE, WRONGPCRVAL
 */
export function findKey(
  call: Call,
  handle: number,
  { readOnly = false, ignorePcrs = false, allowEk = false }: Search = {},
): { key: KeptKey; parentPCRStatus: boolean } {
  if (allowEk && handle === Handle.EK) return endorsementKey(call.state);
  const found = lookUp(call.state, handle);
  const ignored = readOnly && hasFlag(found.key, 'PCRIGNOREDONREAD');
  if (!ignorePcrs && !ignored) demandKeyPcrs(call, found.key);
  return found;
}

function endorsementKey({ permanent }: TpmState) {
  const { endorsementKey: ek } = permanent.data;
  demand(ek.keyUsage !== KeyUsage.NONE, 'KEYNOTFOUND');
  return { key: { ...ek, secret: undefined }, parentPCRStatus: false };
}

function lookUp({ permanent, keys }: TpmState, handle: number) {
  const { ownerInstalled, srk } = permanent.data;
  if (handle === Handle.SRK) {
    demand(ownerInstalled, 'KEYNOTFOUND');
    return { key: srk, parentPCRStatus: false };
  }
  demand(handle !== Handle.EK, 'KEYNOTFOUND');
  // What else lies between SRK and EK is no key.
  demand(!(handle > Handle.SRK && handle < Handle.EK), 'INVALID_RESOURCE');
  return findLoaded(keys, handle);
}

/** Whether a key is bound to the values of any PCR, from byte `from` of its selection on. */
export function usesPcrs({ pcrs11, pcrs12 }: KeptKey, from = 0): boolean {
  const selection = pcrs11?.pcrSelection ?? pcrs12?.releasePCRSelection;
  return selection !== undefined && selectsAny(selection.subarray(from));
}

/** The localities from which a key may be used. */
export const localitiesOf = ({ pcrs12 }: KeptKey): number =>
  pcrs12?.localityAtRelease ?? ALL_LOCALITIES;

function demandKeyPcrs({ state, locality }: Call, key: KeptKey): void {
  const { pcrs11, pcrs12 } = key;
  if (usesPcrs(key)) {
    const selection = pcrs11?.pcrSelection ?? pcrs12!.releasePCRSelection;
    const found = compositeDigest(state.stclear.pcrs, selection);
    const wanted = (pcrs11 ?? pcrs12!).digestAtRelease;
    demand(Buffer.compare(found, wanted) === 0, 'WRONGPCRVAL');
  }
  demand(mayFrom(localitiesOf(key), locality), 'WRONGPCRVAL');
}

/** A key, as an authorisation is for it. */
export const entityOfKey = (key: KeptKey): Entity => ({
  key,
  secret: key.secret!.usageAuth,
  digest: key.secret!.pubDataDigest,
});

/** Demands the authorisation of a key, or that the key needs none where there came none. */
export function authoriseKey(call: Call, key: KeptKey): void {
  if (call.auth !== undefined) call.auth.authorise(entityOfKey(key));
  else demand(key.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
}
