/**
 * Power on, TPM_Startup, TPM_SaveState and the self tests (TPM Main Part 3 §3 and §4).
 * @module
 */
import { CAP, commands, FLAG, STARTUP } from '../../src/guest/index.js';
import { scenario } from '../recorder/recorder.js';
import { DIGEST, oneOfEach } from './common.js';

export const STARTUPS = [
  scenario('startup-before', 'nothing', 'Commands before TPM_Startup, then TPM_Startup.', tpm => {
    oneOfEach(tpm, 'before TPM_Startup');
    tpm.do('before TPM_Startup: TPM_SaveState', commands.saveState());
    for (const type of [0, 4, 0xffff]) {
      tpm.do(`TPM_Startup of type ${type}`, commands.startup(type));
      tpm.do('TPM_PcrRead after it', commands.pcrRead(0));
      tpm.do('TPM_Startup(ST_CLEAR) after it', commands.startup(STARTUP.CLEAR));
      tpm.powerCut();
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
