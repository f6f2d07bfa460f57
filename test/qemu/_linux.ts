/** A QEMU that boots the kernel of examples/v86-linux, and the serial console of its script. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Console } from '../../examples/v86-linux/console.js';
import { initramfs } from '../../examples/v86-linux/initramfs.js';
import { missingPieces, pathOf } from '../../examples/v86-linux/pieces.js';
import { scratch } from '../../lab/files.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { SerialPort } from '../../lab/peers/serial.js';
import { which } from '../../lab/which.js';

/** What these tests need and is not there, by name. */
export const missingForLinux = (): readonly string[] => [
  ...['qemu-system-x86_64'].filter(peer => which(peer) === undefined),
  ...missingPieces(['kernel', 'busybox']),
];

/** Nothing about the TPM: the driver finds it by the ACPI tables, as on any PC. */
const COMMAND_LINE = 'console=ttyS0 quiet mitigations=off apparmor=0 cryptomgr.notests=1';

export interface Linux {
  readonly qemu: QemuSystem;
  readonly console: Console;
}

/** Boots Linux on the TPM backend at `ctrl`, until its console answers. */
export async function bootLinux(
  t: ExecutionContext,
  ctrl: string,
  ...more: readonly string[]
): Promise<Linux> {
  const initrd = join(scratch(t), 'initrd');
  writeFileSync(initrd, new Uint8Array(initramfs()));
  const port = await SerialPort.listen(t);
  const boot = ['-kernel', pathOf('kernel'), '-initrd', initrd, '-append', COMMAND_LINE];
  const qemu = await QemuSystem.start(t, ctrl, '-m', '256', ...boot, ...port.args, ...more);
  const serial = await port.connected();
  const console = new Console(text => void serial.write(text));
  serial.on('data', (bytes: Uint8Array) => {
    for (const byte of bytes) console.print(String.fromCharCode(byte));
  });
  const ended = qemu.exited().then(exit => {
    throw new Error(`QEMU has ended with exit code ${exit}: ${qemu.err}`);
  });
  // Seen only while the boot waits for it.
  ended.catch(() => {});
  await Promise.race([console.ready(), ended]);
  return { qemu, console };
}
