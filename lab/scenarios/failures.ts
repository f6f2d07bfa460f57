/**
 * What the TPM answers when its state cannot be stored: TPM_FAIL, and failure mode from then on.
 * @module
 */
import { commands, HANDLE, NV_PER, nvPublic } from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario } from '../recorder/recorder.js';
import { bePresent, oneOfEach, readFlags, restart, start } from './common.js';

const write = (...data: number[]) => commands.nvWriteValue(0x1100, 0, Uint8Array.from(data));

/** Commands while nothing can be stored: those that store nothing work, the first other one fails the TPM. */
function whileNothingIsStored(tpm: Recorder): void {
  tpm.do('TPM_PcrRead stores nothing', commands.pcrRead(0));
  tpm.auth('the same data again store nothing', write(1, 2, 3, 4), OWNER);
  tpm.auth('a write that cannot be kept', write(5, 6, 7, 8), OWNER);
  oneOfEach(tpm, 'in failure mode');
  tpm.auth('in failure mode: an owner command', commands.ownerReadInternalPub(HANDLE.EK), OWNER);
  tpm.do('in failure mode: TPM_SaveState', commands.saveState());
  tpm.do('in failure mode: TPM_Startup', commands.startup(1));
}

function storeFails(tpm: Recorder): void {
  start(tpm);
  tpm.define('define an index', nvPublic(0x1100, 4, NV_PER.OWNERREAD | NV_PER.OWNERWRITE));
  tpm.auth('a write that is kept', write(1, 2, 3, 4), OWNER);
  bePresent(tpm);
  tpm.storesFail(true);
  whileNothingIsStored(tpm);
  tpm.storesFail(false);
  tpm.auth('still in failure mode', write(5, 6, 7, 8), OWNER);
  tpm.do('still in failure mode: TPM_GetTestResult', commands.getTestResult());
  restart(tpm);
  readFlags(tpm, 'after a power cut');
  tpm.auth('the old data', commands.nvReadValue(0x1100, 0, 4), OWNER);
  tpm.auth('a write that is kept', write(5, 6, 7, 8), OWNER);
  tpm.auth('the new data', commands.nvReadValue(0x1100, 0, 4), OWNER);
}

export const FAILURES = [
  scenario(
    'store-fails',
    'owned',
    'A store that fails: TPM_FAIL, failure mode, the old state.',
    storeFails,
  ),

  scenario('store-fails-audit', 'ek', 'The audit counter that cannot be stored.', tpm => {
    start(tpm);
    bePresent(tpm);
    tpm.storesFail(true);
    tpm.do('TPM_PhysicalEnable changes nothing but the counter', commands.physicalEnable());
    readFlags(tpm, 'after it');
    tpm.do('TPM_GetTestResult', commands.getTestResult());
    tpm.storesFail(false);
    restart(tpm);
    tpm.do('TPM_PhysicalEnable without presence', commands.physicalEnable());
    bePresent(tpm);
    tpm.do('TPM_PhysicalEnable counts one', commands.physicalEnable());
    tpm.storesFail(true);
    tpm.do('TPM_PhysicalEnable again counts none', commands.physicalEnable());
    tpm.storesFail(false);
  }),

  scenario('store-fails-disable', 'ek', 'A flag that cannot be stored.', tpm => {
    start(tpm);
    bePresent(tpm);
    tpm.storesFail(true);
    tpm.do('TPM_PhysicalDisable', commands.physicalDisable());
    readFlags(tpm, 'after it');
    tpm.do('TPM_ForceClear', commands.forceClear());
    tpm.storesFail(false);
    restart(tpm);
    readFlags(tpm, 'after a power cut');
  }),
];
