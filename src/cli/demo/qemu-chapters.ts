/**
 * What the demonstration shows with a real QEMU: EK and owner survive SIGKILL of machine and server.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { UsageError } from '../output.js';
import { NV_TEXT } from './guest.js';
import { QemuGuest } from './qemu-guest.js';
import type { Story } from './story.js';
import { QEMU } from './virtual-machine.js';

/** The PCR of a TPM that no firmware has measured into. */
const UNMEASURED = '0'.repeat(40);

/** @returns the version of the QEMU that is installed @throws UsageError where there is none */
export function demandQemu(): string {
  const { stdout, error } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  if (error === undefined) return (stdout.split('\n', 1)[0] ?? '').replace(/ *\(.*/, '');
  throw new UsageError(`--qemu needs ${QEMU}; on Debian, install qemu-system-x86`);
}

/** @throws StepError; TpmResponseError */
export async function inQemu(story: Story, maker: string, version: string): Promise<void> {
  story.next('SeaBIOS boots in QEMU; its guest takes ownership');
  const first = await story.boot();
  const owner = new QemuGuest(first);
  const pcr = await owner.pcr();
  const ek = await owner.createEk();
  await owner.takeOwnership();
  await owner.nvStore();
  story.tell(
    'A real QEMU boots on a blank image; its guest creates the EK and takes ownership',
    pcr !== UNMEASURED,
    [
      `image made by ${maker}; ${version}, nvtpm serve --ctrl`,
      `SeaBIOS has found the TPM: PCR 0 is ${pcr.slice(0, 16)}…`,
      `EK ${ek}`,
    ],
    { version, pcr, ek },
  );

  story.next('SIGKILL of QEMU and of nvtpm serve; cold restart');
  await first.kill();
  const second = await story.boot();
  const guest = new QemuGuest(second);
  const now = await guest.ownerReadsEk();
  const wrong = await guest.useWrongSecret();
  const nv = await guest.nvRead();
  await second.kill();
  story.tell(
    'SIGKILL of QEMU and of nvtpm serve, cold restart: the same EK, the same owner',
    now === ek && wrong === 'TPM_AUTHFAIL' && nv === NV_TEXT,
    [
      { what: 'EK', before: ek, now },
      `the owner’s secret works, a wrong one is answered ${wrong}`,
      { what: 'NV index', before: NV_TEXT, now: nv },
    ],
    { ek: now, wrong, nv },
  );
}
