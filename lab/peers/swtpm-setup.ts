/** swtpm_setup: state with an Endorsement Key, as libvirt's users have it. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** swtpm's two kinds of state places, in its words. */
export const STATE_PLACES = {
  dir: { setup: (path: string) => path, swtpm: (path: string) => `dir=${path}` },
  file: {
    setup: (path: string) => `file://${path}`,
    swtpm: (path: string) => `backend-uri=file://${path}`,
  },
} as const;

/**
 * Makes the state of a TPM with an EK.
 * @param state what --tpm-state takes
 * @param folder for a configuration that makes no certificates
 */
export function setUpSwtpm(
  folder: string,
  state: string,
  version: '1.2' | '2.0',
  key: readonly string[] = [],
): void {
  const config = join(folder, 'setup.conf');
  writeFileSync(config, 'create_certs_tool=/bin/true\n');
  const args = ['--config', config, '--tpm-state', state, '--createek', ...key];
  const run = spawnSync('swtpm_setup', version === '2.0' ? ['--tpm2', ...args] : args, {
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`swtpm_setup failed: ${run.stdout}${run.stderr}`);
}
