/** What there is in a state: a count of each kind of thing, to see that lives make all of them. */

import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { restoreSaved } from '../../src/tpm/tpm12/state/savestate.js';
import { poweredOn, type TpmState } from '../../src/tpm/tpm12/state/state.js';
import { KeyFlag, Payload } from '../../src/tpm/tpm12/structures/key.js';
import { Protocol } from '../../src/tpm/tpm12/structures/types.js';
import { equal } from '../../src/wire/codec.js';
import type { States } from './subject.js';

const held = <T>(list: readonly (T | undefined)[]): T[] => list.filter(one => one !== undefined);

const count = <T>(list: readonly T[], is: (one: T) => boolean): number => list.filter(is).length;

function permanentContents({ permanent: { data, flags, evictKeys, nv } }: TpmState) {
  const audited = !equal(data.ordinalAuditStatus, COMMANDS.auditedFromStart());
  return {
    'an Endorsement Key': Number(data.endorsementKey.secret !== undefined),
    'a revocable one': Number(flags.enableRevokeEK && flags.CEKPUsed),
    'an owner': Number(data.ownerInstalled),
    'an operator': Number(flags.operator),
    'owner-evict keys': evictKeys.length,
    'NV indices': held(nv).length,
    'NV indices with PCRs': count(held(nv), ({ publicInfo }) =>
      [publicInfo.pcrInfoRead, publicInfo.pcrInfoWrite].some(info =>
        info.pcrSelection.some(Boolean),
      ),
    ),
    'NV indices of over 4 KiB': count(held(nv), ({ data: bytes }) => bytes.length > 4096),
    counters: count(data.counters, ({ valid }) => valid),
    families: count(data.familyTable, ({ valid }) => valid),
    'delegation rows': count(data.delegateTable, ({ valid }) => valid),
    'an audit of its own': Number(audited || data.tscOrdinalAuditStatus !== 0),
    'audits counted': Number(data.auditMonotonicCounter.value.counter > 0),
    'DIR written': Number(data.authDIR.some(Boolean)),
    'restrictions of delegation': Number(data.restrictDelegate !== 0),
    'writes without an owner': Number(data.noOwnerNVWrite !== 0),
    'NV locked': Number(flags.nvLocked),
    disabled: Number(flags.disable),
    'to be deactivated': Number(flags.deactivated),
    established: Number(flags.tpmEstablished),
  };
}

function savedContents({ stclear, stclearFlags, keys }: TpmState) {
  const loaded = keys.all;
  const sessions = stclear.authSessions.all;
  return {
    'loaded keys': loaded.length,
    'keys of TPM 1.2': count(loaded, ({ key }) => key.head[0] === 0),
    'keys with PCRs': count(loaded, ({ key }) => (key.pcrs11 ?? key.pcrs12) !== undefined),
    'keys under a key with PCRs': count(loaded, one => one.parentPCRStatus),
    'certified migratable keys': count(
      loaded,
      ({ key }) => key.secret?.payload === Payload.MIGRATE_RESTRICTED,
    ),
    'migratable keys': count(loaded, ({ key }) => (key.keyFlags & KeyFlag.MIGRATABLE) !== 0),
    'OIAP sessions': count(sessions, ({ protocol }) => protocol === Protocol.OIAP),
    'OSAP sessions': count(sessions, ({ protocol }) => protocol === Protocol.OSAP),
    'DSAP sessions': count(sessions, ({ protocol }) => protocol === Protocol.DSAP),
    'sessions with AES': count(sessions, ({ adipEncScheme }) => adipEncScheme !== 0),
    'transport sessions': stclear.transSessions.all.length,
    'contexts outside': count(stclear.contextList, one => one !== 0),
    'a counter chosen': Number(stclear.countID !== 0xffff_ffff),
    'an owner pointer': Number(stclear.ownerReference < 4),
    'a lockout': Number(stclear.authFailCount > 5),
    'failures counted': Number(stclear.authFailCount > 0),
    'an audit digest': Number(stclear.auditDigest.some(Boolean)),
    'deferred presence': Number(stclear.deferredPhysicalPresence !== 0),
    'a reset lock disabled': Number(stclear.disableResetLock),
    deactivated: Number(stclearFlags.deactivated),
    present: Number(stclearFlags.physicalPresence),
    'presence locked': Number(stclearFlags.physicalPresenceLock),
    'NV locked for all': Number(stclearFlags.bGlobalLock),
  };
}

/** Adds up what there is in `states`: in how many states, and how many in all. */
export function addContents(
  sums: Map<string, { states: number; things: number }>,
  { permall, savestate }: States,
): void {
  const state = poweredOn(decodePermall(permall!), { startedAt: 0, nonce: new Uint8Array(20) });
  if (savestate !== undefined) restoreSaved(state, savestate);
  const found = {
    'permall alone': Number(savestate === undefined),
    ...permanentContents(state),
    ...(savestate === undefined ? {} : savedContents(state)),
  };
  for (const [what, things] of Object.entries(found)) {
    const sum = sums.get(what) ?? { states: 0, things: 0 };
    sums.set(what, { states: sum.states + Number(things > 0), things: sum.things + things });
  }
}
