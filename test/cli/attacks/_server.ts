/** A server on an image, and commands that store or do not. */
import { existsSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { nvtpm } from '../../../lab/program/cli.js';
import { Serving } from '../../../lab/program/serving.js';

/** TSC_PhysicalPresence: by command, then present; from there on DISABLE and ENABLE store. */
export const PRESENCE = ['00c10000000c4000000a0020', '00c10000000c4000000a0008'] as const;
/** TPM_PhysicalDisable. */
export const DISABLE = '00c10000000a00000070';
/** TPM_PhysicalEnable. */
export const ENABLE = '00c10000000a0000006f';
export const SUCCESS = '00c40000000a00000000';
export const TPM_FAIL = '00c40000000a00000009';

/** Serves an image, which is made unless it exists, after stores in it were acknowledged. */
export async function storingServer(
  t: ExecutionContext,
  image: string,
  ...args: readonly string[]
): Promise<Serving> {
  if (!existsSync(image)) t.is(nvtpm(['create', image]).exit, 0);
  const socket = `type=unixio,path=${image}.sock`;
  const serving = await Serving.start(
    image,
    '--server',
    socket,
    '--flags',
    'startup-clear',
    ...args,
  );
  t.teardown(() => serving.process.kill('SIGKILL'));
  for (const command of [...PRESENCE, DISABLE, ENABLE]) t.is(await serving.ask(command), SUCCESS);
  return serving;
}

/** Whether the TPM in an image is enabled. */
export const isEnabled = (image: string): boolean =>
  (nvtpm(['info', image, '--json', '-U']).json() as unknown as { tpm: { enabled: boolean } }).tpm
    .enabled;
