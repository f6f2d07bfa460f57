/**
 * What several scenarios do: start the TPM, assert physical presence, try a command of every kind.
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
} from '../../src/guest/index.js';
import type { Recorder } from '../recorder/recorder.js';

export const DIGEST = new Uint8Array(20).fill(0x11);
export const UNKNOWN_ORDINAL = 0x0fff;
/** An NV index that no scenario defines. */
const NO_INDEX = 0x1fff;

export const start = (tpm: Recorder): void => {
  tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
};

/** Power off, on again, TPM_Startup(ST_CLEAR). */
export function restart(tpm: Recorder): void {
  tpm.powerCut();
  start(tpm);
}

/** Physical presence by command: allowed first, then asserted. */
export function bePresent(tpm: Recorder): void {
  tpm.do('physical presence may be commanded', commands.physicalPresence(PRESENCE.CMD_ENABLE));
  tpm.do('physical presence', commands.physicalPresence(PRESENCE.PRESENT));
}

/** What the TPM says of its flags. */
export function readFlags(tpm: Recorder, when: string): void {
  tpm.do(`${when}: the permanent flags`, commands.getCapability(CAP.FLAG, FLAG.PERMANENT));
  tpm.do(`${when}: the volatile flags`, commands.getCapability(CAP.FLAG, FLAG.VOLATILE));
  tpm.do(`${when}: is there an owner`, commands.getCapability(CAP.PROPERTY, PROPERTY.OWNER));
}

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
  tpm.do(`${when}: TPM_NV_ReadValue of no index`, commands.nvReadValue(NO_INDEX, 0, 1));
  tpm.do(`${when}: TPM_NV_WriteValue of no index`, commands.nvWriteValue(NO_INDEX, 0, DIGEST));
  tpm.do(`${when}: TSC_PhysicalPresence of 0`, commands.physicalPresence(0));
  tpm.do(
    `${when}: TSC_PhysicalPresence(not present)`,
    commands.physicalPresence(PRESENCE.NOTPRESENT),
  );
  tpm.do(`${when}: TPM_PhysicalEnable`, commands.physicalEnable());
  tpm.do(`${when}: TPM_PhysicalDisable`, commands.physicalDisable());
  tpm.do(`${when}: TPM_PhysicalSetDeactivated`, commands.physicalSetDeactivated(false));
  tpm.do(`${when}: TPM_ForceClear`, commands.forceClear());
  tpm.raw(`${when}: an unknown ordinal`, frame(TAG.RQU_COMMAND, UNKNOWN_ORDINAL, new Uint8Array()));
}
