/**
 * The permanent state of a new TPM, as libtpms is built.
 * @module
 */
import type { Of } from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { noBytes20 } from '../structures/basic.js';
import { noDelegatePublic } from '../structures/delegate-public.js';
import { noKey } from '../structures/key.js';
import {
  type counter,
  type delegateRow,
  type familyRow,
  PERMANENT_FLAGS,
  type Permanent,
  type PermanentFlag,
  type SymmetricKey,
} from './permanent.js';

/** No AES key yet. */
export const noSymmetricKey = (): SymmetricKey => ({
  valid: false,
  fill: 0,
  key: new Uint8Array(16),
});

/** A counter that is not in use. */
const noCounter = (): Of<typeof counter> => ({
  value: { label: new Uint8Array(4), counter: 0 },
  authData: noBytes20(),
  valid: false,
});

export const noFamilies = (): Of<typeof familyRow>[] =>
  Array.from({ length: LIMITS.familyRows }, () => ({
    label: 0,
    familyID: 0,
    verificationCount: 0,
    flags: 0,
    valid: false,
  }));

export const noDelegates = (): Of<typeof delegateRow>[] =>
  Array.from({ length: LIMITS.delegateRows }, () => ({
    pub: noDelegatePublic(),
    authValue: noBytes20(),
    valid: false,
  }));

/** What a new TPM ships with: enabled and activated, as libtpms is built. */
const SHIPPED: readonly PermanentFlag[] = [
  'ownership',
  'readPubek',
  'allowMaintenance',
  'enableRevokeEK',
];

/** The permanent state of a new TPM, which audits the ordinals of this map. */
export function freshPermanent(ordinalAuditStatus: Uint8Array): Permanent {
  return {
    format: 1,
    data: freshData(ordinalAuditStatus),
    flagsVersion: 2,
    flags: Object.fromEntries(
      PERMANENT_FLAGS.map(flag => [flag, SHIPPED.includes(flag)]),
    ) as Permanent['flags'],
    evictVersion: 1,
    evictKeys: [],
    nv: [],
  };
}

function freshData(ordinalAuditStatus: Uint8Array): Permanent['data'] {
  const none = noKey();
  return {
    tpmProof: noBytes20(),
    ekReset: noBytes20(),
    ownerAuth: noBytes20(),
    operatorAuth: noBytes20(),
    authDIR: noBytes20(),
    manuMaintPubPresent: 1,
    manuMaintPub: { algorithmParms: none.algorithmParms, pubKey: none.pubKey },
    endorsementKey: noKey(),
    srk: noKey(),
    contextKey: noSymmetricKey(),
    delegateKey: noSymmetricKey(),
    auditMonotonicCounter: noCounter(),
    counters: Array.from({ length: LIMITS.counters }, noCounter),
    ordinalAuditStatus,
    familyTable: noFamilies(),
    delegateTable: noDelegates(),
    lastFamilyID: 0,
    noOwnerNVWrite: 0,
    restrictDelegate: 0,
    tpmDAASeed: noBytes20(),
    ownerInstalled: false,
    tscOrdinalAuditStatus: 0,
    allowLoadMaintPub: true,
    daaProof: noBytes20(),
    daaBlobKey: noSymmetricKey(),
  };
}
