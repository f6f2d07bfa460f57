/**
 * Opt-in (TPM Main Part 3 §5): switches of an owner, an operator and physical presence.
 * @module
 */
import { commands, ENTITY, HANDLE, raw, secretOf } from '../../src/guest/index.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, readFlags, restart, start } from './common.js';

const { byte, rawCommand } = raw;
const OPERATOR = secretOf('transcript operator');
const install = (on: number) => rawCommand('SetOwnerInstall', 0, byte(on));
const deactivate = rawCommand('SetTempDeactivated', 0);

function withoutPresence(tpm: Recorder): void {
  tpm.do('no presence: TPM_SetOwnerInstall', install(0));
  tpm.do('no presence: TPM_SetTempDeactivated', deactivate);
  tpm.do('no presence: TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
  tpm.auth('no operator: TPM_SetTempDeactivated', deactivate, OPERATOR);
  tpm.auth('no owner: TPM_OwnerSetDisable', rawCommand('OwnerSetDisable', 0, byte(1)), OWNER);
}

function withPresence(tpm: Recorder): void {
  bePresent(tpm);
  for (const on of [0, 0, 2, 1]) tpm.do(`TPM_SetOwnerInstall(${on})`, install(on));
  tpm.do('TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
  tpm.do('again', rawCommand('SetOperatorAuth', 0, OPERATOR));
  readFlags(tpm, 'with an operator');
}

function byOwnerAndOperator(tpm: Recorder): void {
  tpm.as('take ownership', client => client.takeOwnership(OWNER, SRK));
  tpm.do('TPM_SetOwnerInstall with an owner', install(0));
  for (const on of [1, 0]) {
    tpm.auth(`TPM_OwnerSetDisable(${on})`, rawCommand('OwnerSetDisable', 0, byte(on)), OWNER);
    readFlags(tpm, `after TPM_OwnerSetDisable(${on})`);
  }
  tpm.auth('TPM_OwnerSetDisable by another', rawCommand('OwnerSetDisable', 0, byte(1)), WRONG);
  tpm.auth('TPM_OwnerSetDisable(2)', rawCommand('OwnerSetDisable', 0, byte(2)), OWNER);
  tpm.auth('a wrong operator', deactivate, WRONG);
  const session = tpm.osap('an OSAP session', ENTITY.OWNER, HANDLE.OWNER, OWNER);
  tpm.auth('an operator in that', deactivate, OPERATOR, { session });
  tpm.auth('the operator', deactivate, OPERATOR);
}

function deactivated(tpm: Recorder): void {
  tpm.do('deactivated: TPM_SetTempDeactivated', deactivate);
  tpm.do('deactivated: TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
  tpm.do('deactivated: TPM_DisableForceClear', rawCommand('DisableForceClear', 0));
  readFlags(tpm, 'deactivated');
}

/** TPM_DisableForceClear until a restart, TPM_DisableOwnerClear until the owner is cleared. */
function disableClearing(tpm: Recorder): void {
  tpm.do('TPM_DisableForceClear', rawCommand('DisableForceClear', 0));
  tpm.do('TPM_DisableForceClear with a byte more', rawCommand('DisableForceClear', 0, byte(0)));
  tpm.do('TPM_ForceClear', commands.forceClear());
  tpm.auth('TPM_DisableOwnerClear by another', rawCommand('DisableOwnerClear', 0), WRONG);
  tpm.auth('TPM_DisableOwnerClear', rawCommand('DisableOwnerClear', 0), OWNER);
  tpm.auth('TPM_DisableOwnerClear again', rawCommand('DisableOwnerClear', 0), OWNER);
  tpm.auth('TPM_OwnerClear', commands.ownerClear(), OWNER);
  restart(tpm);
  bePresent(tpm);
  tpm.do('TPM_ForceClear after a restart', commands.forceClear());
  readFlags(tpm, 'cleared');
}

function optIn(tpm: Recorder): void {
  start(tpm);
  withoutPresence(tpm);
  withPresence(tpm);
  byOwnerAndOperator(tpm);
  deactivated(tpm);
  restart(tpm);
  bePresent(tpm);
  tpm.do('who stands there', deactivate);
  restart(tpm);
  disableClearing(tpm);
  tpm.do('TPM_Init', rawCommand('Init', 0));
  tpm.do('TPM_Init with a byte more', rawCommand('Init', 0, byte(0)));
}

export const OPT_INS = [
  scenario('opt-in', 'ek', 'Switches of an owner, an operator, and who stands there.', optIn),
];
