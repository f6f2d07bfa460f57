/**
 * TPM_PcrRead and TPM_Extend: every PCR, every locality, and the measured launch of locality 4 (TPM
 * Main Part 3 §16; which locality may do what is in the PC Client specification).
 * @module
 */
import { commands, STARTUP } from '../../src/guest/index.js';
import { type Recorder, scenario } from '../recorder/recorder.js';

const PCRS_OF_THE_TPM = 24;
const DIGEST = new Uint8Array(20).fill(0x22);

function readAll(tpm: Recorder, when: string): void {
  for (let pcr = 0; pcr < PCRS_OF_THE_TPM; pcr += 1) {
    tpm.do(`${when}: TPM_PcrRead of PCR ${pcr}`, commands.pcrRead(pcr));
  }
}

export const PCRS = [
  scenario('pcrs', 'nothing', 'PCRs at locality 0.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    readAll(tpm, 'at first');
    for (let pcr = 0; pcr < PCRS_OF_THE_TPM; pcr += 1) {
      tpm.do(`TPM_Extend of PCR ${pcr}`, commands.extend(pcr, DIGEST));
    }
    tpm.do('TPM_Extend of PCR 10 once more', commands.extend(10, DIGEST));
    readAll(tpm, 'extended');
    for (const pcr of [24, 31, 32, 0x100, 0x8000_0000, 0xffff_ffff]) {
      tpm.do(`TPM_PcrRead of PCR ${pcr}`, commands.pcrRead(pcr));
      tpm.do(`TPM_Extend of PCR ${pcr}`, commands.extend(pcr, DIGEST));
    }
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    readAll(tpm, 'after a power cut');
  }),

  scenario('pcrs-localities', 'nothing', 'PCRs at every locality, and a measured launch.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    for (let locality = 1; locality <= 4; locality += 1) {
      tpm.locality(locality);
      for (let pcr = 15; pcr < PCRS_OF_THE_TPM; pcr += 1) {
        tpm.do(`TPM_Extend of PCR ${pcr} at locality ${locality}`, commands.extend(pcr, DIGEST));
      }
    }
    tpm.locality(0);
    readAll(tpm, 'before the launch');
    tpm.hash(new TextEncoder().encode('a launch environment'));
    readAll(tpm, 'after the launch');
    tpm.hash(new Uint8Array());
    readAll(tpm, 'after a launch of nothing');
    tpm.do('TPM_Extend of PCR 17 at locality 0', commands.extend(17, DIGEST));
    tpm.locality(2);
    tpm.do('TPM_Extend of PCR 17 at locality 2', commands.extend(17, DIGEST));
    tpm.locality(0);
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    readAll(tpm, 'after a power cut');
  }),
];
