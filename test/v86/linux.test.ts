/**
 * A stock Linux kernel in v86 drives our TPM with its own driver, over two boots with nothing but the
 * image in between: examples/v86-linux, as its user runs it.
 * @long
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { missingPieces } from '../../examples/v86-linux/pieces.js';
import { ROOT, scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { testUnlessMissing } from '../_peers.js';

interface Boot {
  messages: string[];
  complaints: string[];
  accesses: number;
  modulus: string;
  steps: { step: string; sysfs: Record<string, string> }[];
}

const PROGRAM = join(ROOT, 'dist', 'examples', 'v86-linux', 'main.js');

testUnlessMissing(
  'Linux under v86: the EK and the owner that came by /dev/tpm0 survive a cold restart',
  missingPieces(),
  async t => {
    const image = join(scratch(t), 'tpm.qcow2');
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, '--json', image]);
    const { first, second } = JSON.parse(stdout) as { first: Boot; second: Boot };
    for (const boot of [first, second]) {
      const probed = boot.messages.some(line => /tpm_tis: 1\.2 TPM \(device-id 0x1/.test(line));
      t.true(probed, boot.messages.join('\n'));
      t.deepEqual(boot.complaints, [], 'dmesg is free of TPM errors');
      t.true(boot.accesses > 1000);
    }
    const on = { enabled: '1', active: '1' };
    const ek = first.modulus;
    t.regex(ek, /^[0-9a-f]{512}$/);
    t.deepEqual(first.steps, [
      { step: 'a blank TPM', sysfs: { owned: '0', ...on } },
      { step: 'an Endorsement Key', sysfs: { owned: '0', ...on, pubek: ek } },
      { step: 'an owner', sysfs: { owned: '1', ...on } },
    ]);
    t.is(second.modulus, ek);
    t.deepEqual(second.steps, [
      { step: 'a cold restart', sysfs: { owned: '1', ...on } },
      // TPM_OwnerClear deactivates the TPM.
      { step: 'no owner any more', sysfs: { owned: '0', enabled: '1', active: '0', pubek: ek } },
    ]);
    // The plug was pulled both times, and the image is in order.
    t.is(nvtpm(['check', image]).exit, 0);
  },
);
