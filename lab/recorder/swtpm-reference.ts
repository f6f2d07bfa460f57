/** swtpm as the TPM that is recorded, on a folder of its own. @module */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Swtpm, writePermall } from '../peers/swtpm.js';
import type { Reference } from './recorder.js';

/** @param permall the state that it starts from; undefined for a TPM that never ran */
export function swtpmReference(permall: Uint8Array | undefined): Reference {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-record-'));
  if (permall !== undefined) writePermall(folder, permall);
  const tpm = new Swtpm(folder);
  return {
    transmit: tpm.transmit,
    powerCut: () => tpm.restart(),
    hash: data => tpm.hash(data),
    setLocality: locality => tpm.setLocality(locality),
    storesFail: value => {
      // A folder where swtpm's temporary file should be.
      const inTheWay = join(folder, 'TMP-00.permall');
      if (value) mkdirSync(inTheWay);
      else rmdirSync(inTheWay);
    },
    finish: () => {
      const last = tpm.permall() ?? new Uint8Array();
      tpm.stop();
      rmSync(folder, { recursive: true, force: true });
      return last;
    },
  };
}
