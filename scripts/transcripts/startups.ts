/**
 * Power on, TPM_Startup, TPM_SaveState and the self tests (TPM Main Part 3 §3 and §4).
 * @module
 */
import {
  CAP,
  commands,
  FLAG,
  frame,
  PRESENCE,
  PROPERTY,
  STARTUP,
  TAG,
} from '../../src/testing/guest/index.js';
import { type Recorder, scenario } from './recorder.js';

const DIGEST = new Uint8Array(20).fill(0x11);
export const UNKNOWN_ORDINAL = 0x0fff;

/** One command of every kind, to see which are allowed in the state that the TPM is in. */
export function oneOfEach(tpm: Recorder, when: string): void {
  tpm.do(`${when}: TPM_GetCapability(version)`, commands.getCapability(CAP.VERSION));
  tpm.do(`${when}: TPM_GetCapability(version value)`, commands.getCapability(CAP.VERSION_VAL));
  tpm.do(
    `${when}: TPM_GetCapability(manufacturer)`,
    commands.getCapability(CAP.PROPERTY, PROPERTY.MANUFACTURER),
  );
  tpm.do(
    `${when}: TPM_GetCapability(TIS timeouts)`,
    commands.getCapability(CAP.PROPERTY, PROPERTY.TIS_TIMEOUT),
  );
  tpm.do(
    `${when}: TPM_GetCapability(permanent flags)`,
    commands.getCapability(CAP.FLAG, FLAG.PERMANENT),
  );
  tpm.do(
    `${when}: TPM_GetCapability(volatile flags)`,
    commands.getCapability(CAP.FLAG, FLAG.VOLATILE),
  );
  tpm.do(`${when}: TPM_GetTestResult`, commands.getTestResult());
  tpm.do(`${when}: TPM_SelfTestFull`, commands.selfTestFull());
  tpm.do(`${when}: TPM_ContinueSelfTest`, commands.continueSelfTest());
  tpm.do(`${when}: TPM_GetRandom`, commands.getRandom(8));
  tpm.do(`${when}: TPM_PcrRead`, commands.pcrRead(0));
  tpm.do(`${when}: TPM_Extend`, commands.extend(0, DIGEST));
  tpm.oiap(`${when}: TPM_OIAP`);
  tpm.do(`${when}: TPM_FlushSpecific of nothing`, commands.flushSpecific(0x1234, 2));
  tpm.do(`${when}: TPM_Terminate_Handle of nothing`, commands.terminateHandle(0x1234));
  tpm.do(`${when}: TPM_ReadPubek`, commands.readPubek(tpm.nonce()));
  tpm.do(`${when}: TPM_NV_ReadValue of no index`, commands.nvReadValue(0x1100, 0, 1));
  tpm.do(`${when}: TPM_NV_WriteValue of no index`, commands.nvWriteValue(0x1100, 0, DIGEST));
  tpm.do(`${when}: TSC_PhysicalPresence of 0`, commands.physicalPresence(0));
  tpm.do(
    `${when}: TSC_PhysicalPresence(not present)`,
    commands.physicalPresence(PRESENCE.NOTPRESENT),
  );
  tpm.do(`${when}: TPM_PhysicalEnable`, commands.physicalEnable());
  tpm.do(`${when}: TPM_PhysicalDisable`, commands.physicalDisable());
  tpm.do(`${when}: TPM_PhysicalSetDeactivated`, commands.physicalSetDeactivated(false));
  tpm.do(`${when}: TPM_ForceClear`, commands.forceClear());
  tpm.raw(
    `${when}: an ordinal nobody knows`,
    frame(TAG.RQU_COMMAND, UNKNOWN_ORDINAL, new Uint8Array()),
  );
}

/** One command of each kind that changes nothing when it is allowed, in a TPM with state to lose. */
export const STARTUPS = [
  scenario('startup-before', 'nothing', 'Commands before TPM_Startup, then TPM_Startup.', tpm => {
    oneOfEach(tpm, 'before TPM_Startup');
    tpm.do('before TPM_Startup: TPM_SaveState', commands.saveState());
    for (const type of [0, 4, 0xffff]) {
      tpm.do(`TPM_Startup of type ${type}`, commands.startup(type));
    }
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    tpm.do('TPM_Startup(ST_CLEAR) again', commands.startup(STARTUP.CLEAR));
    tpm.do('TPM_Startup(ST_STATE) too late', commands.startup(STARTUP.STATE));
    tpm.do('TPM_Startup(ST_DEACTIVATED) too late', commands.startup(STARTUP.DEACTIVATED));
    oneOfEach(tpm, 'after TPM_Startup');
  }),

  scenario('startup-state', 'ek', 'TPM_SaveState, and TPM_Startup(ST_STATE) after it.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    for (const pcr of [0, 10, 16, 17, 23]) {
      tpm.do(`TPM_Extend of PCR ${pcr}`, commands.extend(pcr, DIGEST));
    }
    const session = tpm.oiap('a session to live through it');
    tpm.do('TPM_SaveState', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE)', commands.startup(STARTUP.STATE));
    for (const pcr of [0, 10, 16, 17, 23]) {
      tpm.do(`TPM_PcrRead of PCR ${pcr} afterwards`, commands.pcrRead(pcr));
    }
    tpm.do('the sessions there are', commands.getCapability(CAP.HANDLE, 2));
    if (session)
      tpm.do('TPM_FlushSpecific of that session', commands.flushSpecific(session.handle, 2));
    tpm.do('the volatile flags afterwards', commands.getCapability(CAP.FLAG, FLAG.VOLATILE));
    tpm.do('TPM_SaveState twice: once', commands.saveState());
    tpm.do('TPM_SaveState twice: again', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_CLEAR) forgets it', commands.startup(STARTUP.CLEAR));
    tpm.do('TPM_PcrRead of PCR 10, cleared', commands.pcrRead(10));
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE) finds nothing', commands.startup(STARTUP.STATE));
    oneOfEach(tpm, 'after a failed TPM_Startup(ST_STATE)');
  }),

  scenario('startup-state-stale', 'nothing', 'A command after TPM_SaveState drops it.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    tpm.do('TPM_SaveState', commands.saveState());
    tpm.do('TPM_PcrRead, which drops the saved state', commands.pcrRead(0));
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE) finds nothing', commands.startup(STARTUP.STATE));
    tpm.do('TPM_GetTestResult', commands.getTestResult());
    tpm.powerCut();
    tpm.do('after a power cut TPM_Startup(ST_CLEAR) works', commands.startup(STARTUP.CLEAR));
    tpm.do('TPM_GetTestResult', commands.getTestResult());
  }),

  scenario('startup-deactivated', 'ek', 'TPM_Startup(ST_DEACTIVATED), and what it allows.', tpm => {
    tpm.do('TPM_Startup(ST_DEACTIVATED)', commands.startup(STARTUP.DEACTIVATED));
    oneOfEach(tpm, 'deactivated');
    tpm.do('deactivated: TPM_SaveState', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    oneOfEach(tpm, 'active again');
  }),
];
