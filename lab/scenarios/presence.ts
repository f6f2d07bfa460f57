/**
 * Physical presence, and the switches that need it: TSC_PhysicalPresence, TPM_PhysicalEnable,
 * TPM_PhysicalDisable, TPM_PhysicalSetDeactivated (TPM Main Part 3 §5).
 * @module
 */
import { commands, NV_PER, nvPublic, PRESENCE, STARTUP } from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario } from '../recorder/recorder.js';
import { bePresent, oneOfEach, readFlags, restart, start } from './common.js';
import { lock } from './nv-common.js';

const { LOCK, PRESENT, NOTPRESENT, CMD_ENABLE, HW_ENABLE, LIFETIME_LOCK, CMD_DISABLE, HW_DISABLE } =
  PRESENCE;

// biome-ignore format: table
const BITS: Readonly<Record<string, number>> = {
  'nothing':                     0,
  'lock':                        LOCK,
  'present':                     PRESENT,
  'not present':                 NOTPRESENT,
  'present and not present':     PRESENT | NOTPRESENT,
  'present and lock':            PRESENT | LOCK,
  'not present and lock':        NOTPRESENT | LOCK,
  'allow command':               CMD_ENABLE,
  'allow hardware':              HW_ENABLE,
  'forbid command':              CMD_DISABLE,
  'forbid hardware':             HW_DISABLE,
  'allow and forbid command':    CMD_ENABLE | CMD_DISABLE,
  'allow and forbid hardware':   HW_ENABLE | HW_DISABLE,
  'allow command, present':      CMD_ENABLE | PRESENT,
  'forbid command, present':     CMD_DISABLE | PRESENT,
  'allow both':                  CMD_ENABLE | HW_ENABLE,
  'reserved bit 0':              0x0001,
  'reserved bit 15':             0x8000,
  'reserved bit 10, present':    0x0408,
};

function everyBit(tpm: Recorder, when: string, leaveOut: readonly string[] = []): void {
  for (const [what, bits] of Object.entries(BITS)) {
    if (leaveOut.includes(what)) continue;
    tpm.do(`${when}: ${what}`, commands.physicalPresence(bits));
    tpm.do(`${when}: after ${what}, TPM_PhysicalEnable`, commands.physicalEnable());
  }
}
const LOCKING = ['lock', 'present and lock', 'not present and lock'];

export const PRESENCES = [
  scenario(
    'presence',
    'nothing',
    'TSC_PhysicalPresence: every bit, before and after its locks.',
    tpm => {
      start(tpm);
      everyBit(tpm, 'as made');
      readFlags(tpm, 'as made');
      tpm.do('allow command', commands.physicalPresence(CMD_ENABLE));
      everyBit(tpm, 'allowed', LOCKING);
      tpm.do('allow command', commands.physicalPresence(CMD_ENABLE));
      tpm.do('present', commands.physicalPresence(PRESENT));
      readFlags(tpm, 'present');
      tpm.do('not present and lock', commands.physicalPresence(NOTPRESENT | LOCK));
      readFlags(tpm, 'locked');
      everyBit(tpm, 'locked');
      restart(tpm);
      readFlags(tpm, 'after a power cut');
      everyBit(tpm, 'after a power cut', LOCKING);
    },
  ),

  scenario('presence-lifetime', 'nothing', 'The lifetime lock of physical presence.', tpm => {
    start(tpm);
    tpm.do('allow command', commands.physicalPresence(CMD_ENABLE));
    tpm.do(
      'lifetime lock and allow hardware',
      commands.physicalPresence(LIFETIME_LOCK | HW_ENABLE),
    );
    readFlags(tpm, 'after it');
    tpm.do('lifetime lock', commands.physicalPresence(LIFETIME_LOCK));
    tpm.do('lifetime lock again', commands.physicalPresence(LIFETIME_LOCK));
    readFlags(tpm, 'locked for life');
    everyBit(tpm, 'locked for life', LOCKING);
    restart(tpm);
    everyBit(tpm, 'after a power cut');
    readFlags(tpm, 'after a power cut');
  }),

  scenario('presence-hardware', 'nothing', 'Presence by hardware only, for life.', tpm => {
    start(tpm);
    tpm.do('forbid command, allow hardware', commands.physicalPresence(CMD_DISABLE | HW_ENABLE));
    tpm.do('lifetime lock', commands.physicalPresence(LIFETIME_LOCK));
    everyBit(tpm, 'locked for life');
    readFlags(tpm, 'locked for life');
  }),

  scenario('presence-save-state', 'nothing', 'Physical presence across TPM_SaveState.', tpm => {
    start(tpm);
    bePresent(tpm);
    tpm.do('TPM_SaveState', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE)', commands.startup(STARTUP.STATE));
    readFlags(tpm, 'resumed');
    tpm.do('present and lock', commands.physicalPresence(PRESENT | LOCK));
    tpm.do('lock', commands.physicalPresence(LOCK));
    tpm.do('TPM_SaveState', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE)', commands.startup(STARTUP.STATE));
    readFlags(tpm, 'resumed again');
    tpm.do('present', commands.physicalPresence(PRESENT));
  }),

  scenario('disable', 'owned', 'TPM_PhysicalDisable, and what it forbids.', tpm => {
    start(tpm);
    disable(tpm);
  }),

  scenario('disable-locked', 'owned', 'The same after the NV lock.', tpm => {
    start(tpm);
    lock(tpm);
    disable(tpm);
  }),

  scenario('deactivate', 'owned', 'TPM_PhysicalSetDeactivated, and what it forbids.', tpm => {
    start(tpm);
    deactivate(tpm);
  }),

  scenario('deactivate-locked', 'owned', 'The same after the NV lock.', tpm => {
    start(tpm);
    lock(tpm);
    deactivate(tpm);
  }),
];

/** What an owner would do, to see what is refused. */
function asOwner(tpm: Recorder, when: string): void {
  tpm.auth(`${when}: TPM_OwnerReadInternalPub`, commands.ownerReadInternalPub(0x4000_0006), OWNER);
  const data = Uint8Array.of(1, 2, 3, 4);
  tpm.auth(`${when}: TPM_NV_WriteValue`, commands.nvWriteValue(0x1100, 0, data), OWNER);
  tpm.auth(`${when}: TPM_NV_ReadValue`, commands.nvReadValue(0x1100, 0, 4), OWNER);
  tpm.do(`${when}: TPM_NV_ReadValue by all`, commands.nvReadValue(0x1101, 0, 4));
  tpm.define(`${when}: TPM_NV_DefineSpace`, nvPublic(0x1102, 4, NV_PER.OWNERWRITE));
  tpm.osap(`${when}: TPM_OSAP`, 4, 0x4000_0000, new Uint8Array(20));
  tpm.auth(`${when}: TPM_GetCapabilityOwner`, commands.getCapabilityOwner(), OWNER);
}

/** TPM_PhysicalDisable, and what it forbids. */
function disable(tpm: Recorder): void {
  tpm.define('an index of the owner', nvPublic(0x1100, 4, NV_PER.OWNERREAD | NV_PER.OWNERWRITE));
  tpm.define('an index that all may read', nvPublic(0x1101, 4, NV_PER.OWNERWRITE));
  tpm.do('TPM_PhysicalDisable without presence', commands.physicalDisable());
  bePresent(tpm);
  tpm.do('TPM_PhysicalDisable', commands.physicalDisable());
  tpm.do('TPM_PhysicalDisable again', commands.physicalDisable());
  readFlags(tpm, 'disabled');
  asOwner(tpm, 'disabled');
  restart(tpm);
  readFlags(tpm, 'disabled, after a power cut');
  oneOfEach(tpm, 'disabled');
  asOwner(tpm, 'disabled, after a power cut');
  tpm.do('disabled: TPM_SaveState', commands.saveState());
  bePresent(tpm);
  tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
  tpm.do('TPM_PhysicalEnable again', commands.physicalEnable());
  readFlags(tpm, 'enabled');
  asOwner(tpm, 'enabled');
  tpm.do('enabled: TPM_PcrRead of the PCR that was extended', commands.pcrRead(0));
}

/** TPM_PhysicalSetDeactivated, and what it forbids. */
function deactivate(tpm: Recorder): void {
  tpm.define('an index of the owner', nvPublic(0x1100, 4, NV_PER.OWNERREAD | NV_PER.OWNERWRITE));
  tpm.define('an index that all may read', nvPublic(0x1101, 4, NV_PER.OWNERWRITE));
  tpm.do('TPM_PhysicalSetDeactivated without presence', commands.physicalSetDeactivated(true));
  bePresent(tpm);
  tpm.do('TPM_PhysicalSetDeactivated(TRUE)', commands.physicalSetDeactivated(true));
  tpm.do('TPM_PhysicalSetDeactivated(TRUE) again', commands.physicalSetDeactivated(true));
  tpm.do('TPM_PhysicalSetDeactivated(2)', {
    ...commands.physicalSetDeactivated(true),
    params: Uint8Array.of(2),
  });
  readFlags(tpm, 'to be deactivated');
  asOwner(tpm, 'to be deactivated');
  restart(tpm);
  readFlags(tpm, 'deactivated');
  oneOfEach(tpm, 'deactivated');
  asOwner(tpm, 'deactivated');
  bePresent(tpm);
  tpm.do('TPM_PhysicalDisable', commands.physicalDisable());
  tpm.do(
    'TPM_PhysicalSetDeactivated(FALSE) of a disabled TPM',
    commands.physicalSetDeactivated(false),
  );
  asOwner(tpm, 'disabled and deactivated');
  tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
  tpm.do('TPM_PhysicalSetDeactivated(FALSE)', commands.physicalSetDeactivated(false));
  readFlags(tpm, 'to be activated');
  asOwner(tpm, 'to be activated');
  restart(tpm);
  readFlags(tpm, 'active');
  asOwner(tpm, 'active');
}
