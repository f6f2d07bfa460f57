/**
 * Families of delegations (TPM Main Part 3, §19.1).
 * @module
 */
import { encode, u32 } from '../../../wire/codec.js';
import { findFamily } from '../auth/delegates.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { demandFamily, endBoundSessions, type Family, isDelegated } from '../delegating.js';
import { countNoOwnerWrite } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { sizedBuffer } from '../structures/codecs.js';
import { FamilyFlag } from '../structures/delegate-public.js';

const Operation = { CREATE: 1, ENABLE: 2, ADMIN: 3, INVALIDATE: 4 } as const;

/** Makes a family of delegations, enables it, locks it, or ends it. */
export const delegateManage = command({
  ordinal: 'Delegate_Manage',
  auth: 'optional',
  when: 'operational',
  delegable: { owner: 2 },
  input: { familyID: u32, opCode: u32, opData: sizedBuffer },
  output: { retData: sizedBuffer },
  run(call, { familyID, opCode, opData }) {
    const { data } = call.state.permanent;
    const makes = opCode === Operation.CREATE;
    const family = makes ? undefined : findFamily(call, familyID);
    let writes = data.noOwnerNVWrite;
    const { auth } = call;
    if (auth !== undefined) {
      auth.authorise(call.owner);
      if (isDelegated(call, auth) && !makes) demandFamily(auth, familyID);
    } else {
      demand(!data.ownerInstalled, 'AUTHFAIL');
      demand(((family?.flags ?? 0) & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = countNoOwnerWrite(call);
    }
    endBoundSessions(call);
    const retData = operate(call, family, opCode, opData);
    data.noOwnerNVWrite = writes;
    call.altered = true;
    return { retData };
  },
});

function operate(
  call: Call,
  family: Family | undefined,
  opCode: number,
  opData: Uint8Array,
): Uint8Array {
  const flag = (): boolean => {
    demand(opData.length === 1, 'BAD_PARAM_SIZE');
    return opData[0] !== 0;
  };
  // Only TPM_FAMILY_CREATE comes without a family.
  if (family === undefined) return createFamily(call, opData);
  switch (opCode) {
    case Operation.ENABLE:
      setFlag(family, FamilyFlag.ENABLED, flag());
      break;
    case Operation.ADMIN:
      setFlag(family, FamilyFlag.ADMIN_LOCK, flag());
      break;
    case Operation.INVALIDATE:
      Object.assign(family, {
        label: 0,
        familyID: 0,
        verificationCount: 0,
        flags: 0,
        valid: false,
      });
      break;
    default:
      throw new TpmFault('BAD_PARAMETER');
  }
  return new Uint8Array();
}

function setFlag(family: Family, flag: number, value: boolean): void {
  family.flags = ((family.flags & ~flag) | (value ? flag : 0)) >>> 0;
}

function createFamily({ state }: Call, opData: Uint8Array): Uint8Array {
  const { data } = state.permanent;
  const row = data.familyTable.find(({ valid }) => !valid);
  demand(row !== undefined, 'RESOURCES');
  demand(opData.length === 1, 'BAD_PARAM_SIZE');
  data.lastFamilyID = (data.lastFamilyID + 1) % 2 ** 32;
  const familyID = data.lastFamilyID;
  Object.assign(row, { label: opData[0], familyID, verificationCount: 1, valid: true });
  setFlag(row, FamilyFlag.ENABLED, false);
  setFlag(row, FamilyFlag.ADMIN_LOCK, false);
  return encode(u32, familyID);
}
