/**
 * TPM_SetCapability (TPM Main Part 3, §7.3; what may be set is in Part 2, §7): a table of what each
 * flag or value asks of who sets it.
 * @module
 */
import { decode, u32 } from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { renewDaaSecrets } from '../clearing.js';
import { command } from '../command.js';
import { demand, TpmFault } from '../results.js';
import { mayFrom } from '../state/pcr.js';
import { PERMANENT_FLAGS, type PermanentFlag } from '../state/permanent.js';
import { sizedBuffer } from '../structures/codecs.js';

interface Rule {
  /** Who may: the owner, somebody who stands before the machine, either, or nobody in particular. */
  readonly who?: 'owner' | 'presence' | 'either';
  /** From which localities, as a set; everywhere where it is not said. */
  readonly localities?: number;
  /** There must be no owner. */
  readonly unowned?: boolean;
  /** The only value that may be set. */
  readonly only?: boolean;
  readonly enabled?: boolean;
  readonly activated?: boolean;
}

const LOCALITIES_3_AND_4 = 0b11000;

// biome-ignore format: table
const FLAG_RULES: Partial<Record<PermanentFlag, Rule>> = {
  disable:                { who: 'either' },
  ownership:              { who: 'presence', unowned: true, enabled: true, activated: true },
  deactivated:            { who: 'presence', enabled: true },
  readPubek:              { who: 'owner', enabled: true, activated: true },
  disableOwnerClear:      { who: 'owner', only: true, enabled: true, activated: true },
  allowMaintenance:       { who: 'owner', only: false, enabled: true, activated: true },
  readSRKPub:             { who: 'owner', enabled: true, activated: true },
  tpmEstablished:         { localities: LOCALITIES_3_AND_4, only: false },
  disableFullDALogicInfo: { who: 'owner' },
};

/** In the order in which libtpms asks; where it has an order of its own, it does not show. */
function demandRule(call: Call, value: boolean, rule: Rule): void {
  const { permanent, stclearFlags } = call.state;
  if (rule.unowned) demand(!permanent.data.ownerInstalled, 'OWNER_SET');
  if (rule.localities !== undefined) {
    demand(mayFrom(rule.localities, call.locality), 'BAD_LOCALITY');
  }
  const who = rule.who ?? 'anybody';
  const may = {
    anybody: true,
    owner: call.isAuthorised,
    presence: call.physicallyPresent,
    either: call.isAuthorised || call.physicallyPresent,
  };
  demand(may[who], 'AUTHFAIL');
  if (rule.only !== undefined && rule.localities === undefined) {
    demand(value === rule.only, 'BAD_PARAMETER');
  }
  if (rule.enabled) demand(!permanent.flags.disable, 'DISABLED');
  if (rule.activated) demand(!stclearFlags.deactivated, 'DEACTIVATED');
  if (rule.only !== undefined) demand(value === rule.only, 'BAD_PARAMETER');
}

/** Part 2 §21.7: what capArea says, with the kind of value that it takes. */
const Area = {
  PERM_FLAGS: 1,
  PERM_DATA: 2,
  STCLEAR_FLAGS: 3,
  STCLEAR_DATA: 4,
  STANY_FLAGS: 5,
  STANY_DATA: 6,
  VENDOR: 7,
} as const;

const Data = { RESTRICTDELEGATE: 23, DAAPROOF: 25 } as const;

const SF_DISABLE_FORCE_CLEAR = 2;

const AF_TOS_PRESENT = 4;

const SD_DEFERRED_PRESENCE = 6;

function flagOf(value: Uint8Array): boolean {
  demand(value.length === 1, 'BAD_PARAMETER');
  return value[0] !== 0;
}

function wordOf(value: Uint8Array): number {
  demand(value.length === 4, 'BAD_PARAMETER');
  return decode(u32, value);
}

function setPermanentFlag(call: Call, subCap: number, value: boolean): void {
  const flag = PERMANENT_FLAGS[subCap - 1];
  demand(flag !== undefined, 'BAD_PARAMETER');
  const rule = FLAG_RULES[flag];
  demand(rule !== undefined, 'BAD_PARAMETER');
  demandRule(call, value, rule);
  call.setFlag(flag, value);
}

function setPermanentData(call: Call, subCap: number, value: Uint8Array): void {
  const { data } = call.state.permanent;
  if (subCap === Data.DAAPROOF) {
    renewDaaSecrets(call);
    call.altered = true;
    return;
  }
  const word = wordOf(value);
  demand(subCap === Data.RESTRICTDELEGATE, 'BAD_PARAMETER');
  demandRule(call, true, { who: 'owner', enabled: true, activated: true });
  if (data.restrictDelegate !== word) call.altered = true;
  data.restrictDelegate = word;
}

function setStclearFlag(call: Call, subCap: number, value: boolean): void {
  demand(subCap === SF_DISABLE_FORCE_CLEAR, 'BAD_PARAMETER');
  demandRule(call, value, { enabled: true, activated: true, only: true, localities: ANYWHERE });
  call.state.stclearFlags.disableForceClear = true;
}

const ANYWHERE = 0b11111;

function setStclearData(call: Call, subCap: number, value: number): void {
  const { stclear } = call.state;
  demand(subCap === SD_DEFERRED_PRESENCE, 'BAD_PARAMETER');
  const more = (~stclear.deferredPhysicalPresence & value) !== 0;
  demand(!more || call.physicallyPresent, 'BAD_PRESENCE');
  stclear.deferredPhysicalPresence = value;
}

function setStanyFlag(call: Call, subCap: number, value: boolean): void {
  demand(subCap === AF_TOS_PRESENT, 'BAD_PARAMETER');
  const rule = { localities: LOCALITIES_3_AND_4, enabled: true, activated: true, only: false };
  demandRule(call, value, rule);
  call.state.stany.tosPresent = false;
}

type Setter = (call: Call, subCap: number, value: Uint8Array) => void;

const refuse: Setter = () => {
  throw new TpmFault('BAD_PARAMETER');
};

// biome-ignore format: table
const SETTERS: Readonly<Record<number, Setter>> = {
  [Area.PERM_FLAGS]:    (call, subCap, value) => setPermanentFlag(call, subCap, flagOf(value)),
  [Area.PERM_DATA]:     setPermanentData,
  [Area.STCLEAR_FLAGS]: (call, subCap, value) => setStclearFlag(call, subCap, flagOf(value)),
  [Area.STCLEAR_DATA]:  (call, subCap, value) => setStclearData(call, subCap, wordOf(value)),
  [Area.STANY_FLAGS]:   (call, subCap, value) => setStanyFlag(call, subCap, flagOf(value)),
  [Area.STANY_DATA]:    refuse,
  [Area.VENDOR]:        refuse,
};

/** Sets what may be set. */
export const setCapability = command({
  ordinal: 'SetCapability',
  auth: 'optional',
  when: 'working',
  delegable: { owner: 12 },
  input: { capArea: u32, subCap: sizedBuffer, setValue: sizedBuffer },
  run(call, { capArea, subCap, setValue }) {
    call.auth?.authorise(call.owner);
    const setter = SETTERS[capArea];
    demand(setter !== undefined, 'BAD_MODE');
    // A sub-capability of any other size than 4 counts as 0, which is none.
    setter(call, subCap.length === 4 ? decode(u32, subCap) : 0, setValue);
    return {};
  },
});
