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
import { demandReleased, releaseOf } from '../state/pcr.js';
import type { TpmState } from '../state/state.js';
import {
  AuthDataUsage,
  hasFlag,
  hasSecret,
  type KeptKey,
  KeyUsage,
  type KeyWithSecret,
  type LoadedKey,
  type PublicPart,
} from '../structures/key.js';
import { type PcrInfos, selectsAny } from '../structures/pcr-info.js';
import { EntityType, Handle } from '../structures/types.js';

/** @throws TpmFault INVALID_KEYHANDLE where no key has the handle */
export function findLoaded(keys: Slots<LoadedKey>, handle: number): LoadedKey {
  const found = keys.find(handle);
  demand(found !== undefined, 'INVALID_KEYHANDLE');
  return found;
}

/** Evicts a key, and ends every OSAP session that is bound to it. */
export function dropKey({ keys, stclear }: TpmState, { handle, key }: LoadedKey): void {
  terminateEntity(stclear.authSessions, EntityType.KEYHANDLE, key.secret.pubDataDigest);
  keys.remove(handle);
}

interface Search {
  /** Only the public part will be read: a key may let its PCRs be ignored then. */
  readonly readOnly?: boolean;
  readonly ignorePcrs?: boolean;
}

/**
 * The key of a handle: the SRK, or a loaded one, whose PCRs and locality are as it wants them.
 * @throws TpmFault KEYNOTFOUND, INVALID_RESOURCE, INVALID_KEYHANDLE, WRONGPCRVAL
 */
export function findKey(
  call: Call,
  handle: number,
  { readOnly = false, ignorePcrs = false }: Search = {},
): { key: KeyWithSecret; parentPCRStatus: boolean } {
  const found = lookUp(call.state, handle);
  const ignored = readOnly && hasFlag(found.key, 'PCRIGNOREDONREAD');
  if (!ignorePcrs && !ignored) demandKeyPcrs(call, found.key);
  return found;
}

/** The public part of a key, the Endorsement Key's included. @throws TpmFault as findKey */
export function findPublicKey(call: Call, handle: number): PublicPart {
  if (handle !== Handle.EK) return findKey(call, handle, { readOnly: true }).key;
  const { endorsementKey } = call.state.permanent.data;
  demand(endorsementKey.keyUsage !== KeyUsage.NONE, 'KEYNOTFOUND');
  return endorsementKey;
}

/** The SRK. @throws TpmFault `otherwise` where there is no owner, and so none */
export function findSrk(
  { permanent: { data } }: TpmState,
  otherwise: 'KEYNOTFOUND' | 'NOSRK' | 'RESOURCEMISSING' = 'NOSRK',
): KeyWithSecret {
  demand(data.ownerInstalled && hasSecret(data.srk), otherwise);
  return data.srk;
}

function lookUp(state: TpmState, handle: number) {
  if (handle === Handle.SRK) return { key: findSrk(state, 'KEYNOTFOUND'), parentPCRStatus: false };
  demand(handle !== Handle.EK, 'KEYNOTFOUND');
  // What else lies between SRK and EK is no key.
  demand(!(handle > Handle.SRK && handle < Handle.EK), 'INVALID_RESOURCE');
  return findLoaded(state.keys, handle);
}

/** Whether a key is bound to the values of any PCR, from byte `from` of its selection on. */
export function usesPcrs(key: PcrInfos, from = 0): boolean {
  const { selection } = releaseOf(key);
  return selection !== undefined && selectsAny(selection.subarray(from));
}

/** The localities from which a key may be used. */
export const localitiesOf = (key: PcrInfos): number => releaseOf(key).localities;

function demandKeyPcrs({ state, locality }: Call, key: KeptKey): void {
  demandReleased(state.stclear.pcrs, locality, releaseOf(key), 'WRONGPCRVAL');
}

/** A key, as an authorisation is for it. */
export const entityOfKey = (key: KeyWithSecret): Entity => ({
  key,
  secret: key.secret.usageAuth,
  digest: key.secret.pubDataDigest,
});

/** Demands the authorisation of a key, or that the key needs none where there came none. */
export function authoriseKey(call: Call, key: KeyWithSecret): void {
  if (call.auth !== undefined) call.auth.authorise(entityOfKey(key));
  else demand(key.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
}
