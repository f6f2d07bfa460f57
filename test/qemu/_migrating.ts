/** Two QEMUs, the servers of their TPMs on one image, and a migration between them. */
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { ControlRelay } from '../../lab/peers/control-relay.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';

export const QEMU = 'qemu-system-x86_64';
/** What SeaBIOS says once it has measured what it will boot, and has found nothing to boot. */
export const BOOTED = 'No bootable device';
/** TPM_PcrRead of PCR 0, which the firmware has extended. */
export const PCR_READ = '00c1 0000000e 00000015 00000000';
export const TPM_FAIL = '00c40000000a00000009';

export function made(t: ExecutionContext, ...args: readonly string[]): string {
  const image = join(scratch(t), 'tpm.qcow2');
  nvtpm(['create', image, ...args]);
  return image;
}

/** A server that a test's QEMU connects to, through a relay. */
export interface Served {
  readonly serving: Serving;
  readonly relay: ControlRelay;
  /** What QEMU connects to. */
  readonly path: string;
}

export async function served(
  t: ExecutionContext,
  image: string,
  ...args: readonly string[]
): Promise<Served> {
  const folder = scratch(t);
  const [ctrl, path] = [join(folder, 'ctrl'), join(folder, 'relay')];
  const serving = await Serving.start(image, '--ctrl', `type=unixio,path=${ctrl}`, ...args);
  t.teardown(() => serving.process.kill('SIGKILL'));
  return { serving, relay: await ControlRelay.open(t, path, ctrl), path };
}

/** A QEMU that waits for a machine, with or without an answer to its source. */
export async function waiting(
  t: ExecutionContext,
  path: string,
  { returnPath = true } = {},
): Promise<{ readonly qemu: QemuSystem; readonly uri: string }> {
  const qemu = await QemuSystem.start(t, path, '-incoming', 'defer');
  await setReturnPath(qemu, returnPath);
  const uri = `unix:${join(scratch(t), 'stream')}`;
  await qemu.run('migrate-incoming', { uri });
  return { qemu, uri };
}

export async function setReturnPath(qemu: QemuSystem, state: boolean): Promise<void> {
  const capabilities = [{ capability: 'return-path', state }];
  await qemu.run('migrate-set-capabilities', { capabilities });
}

const ENDS = ['completed', 'failed', 'cancelled'];

/** How a migration has ended for its source. @throws Error if QEMU has ended */
export async function ended(qemu: QemuSystem): Promise<string> {
  for (;;) {
    const { status } = (await qemu.run('query-migrate')) as { status?: string };
    if (status !== undefined && ENDS.includes(status)) return status;
  }
}

/** The number of a control message, as a relay sees it. */
export const MESSAGE = {
  INIT: '00000002',
  GET_SAVESTATE: '0000000c000000010000000300000000',
  SET_STATEBLOB: '0000000d',
  LOCK_STORAGE: '00000013',
} as const;

/** Does `act` once, before a message of QEMU or the response to it passes, or instead of the response. */
export function onceBefore(
  relay: ControlRelay,
  message: string,
  which: 'message' | 'response' | 'lost response',
  act: () => unknown,
): void {
  let isSent = false;
  let isDone = false;
  relay.before = async ({ from, hex }) => {
    const isMessage = from === 'qemu' && hex.startsWith(message);
    const isNow = which === 'message' ? isMessage : from === 'backend' && isSent;
    isSent ||= isMessage;
    if (!isNow || isDone) return true;
    isDone = true;
    await act();
    return which !== 'lost response';
  };
}
