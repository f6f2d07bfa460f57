/** A real QEMU with a TPM whose backend is another program, and its monitor (QMP). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { hex, type Scope, scratch, toHex } from '../files.js';
import { connected, Lines } from './qtest.js';
import { transmit } from './qtest-tis.js';

type Message = Readonly<Record<string, unknown>>;

export class QemuSystem {
  readonly process: ChildProcess;
  readonly #lines: Lines;
  /** The path of its qtest socket, which reaches the devices beside the processor. */
  readonly #devices: string;
  #bus: Lines | undefined;
  readonly #closed: Promise<unknown>;
  #console = '';
  #err = '';
  #wake: () => void = () => {};

  private constructor(child: ChildProcess, lines: Lines, devices: string) {
    this.process = child;
    this.#lines = lines;
    this.#devices = devices;
    this.#closed = once(child, 'close');
  }

  /**
   * Starts a machine without a disk on the TPM backend at `ctrl`. The firmware's messages go to console.
   * @throws Error with what QEMU has said, if it ends at once
   */
  static async start(t: Scope, ctrl: string, ...more: readonly string[]): Promise<QemuSystem> {
    const folder = scratch(t);
    const [monitor, devices] = [join(folder, 'qmp'), join(folder, 'qtest')];
    // biome-ignore format: one option and its value a line
    const child = spawn('qemu-system-x86_64', [
      '-machine', 'q35',
      '-accel', 'tcg',
      '-m', '64',
      '-display', 'none',
      '-nodefaults',
      '-chardev', 'stdio,id=firmware',
      '-device', 'isa-debugcon,iobase=0x402,chardev=firmware',
      '-qmp', `unix:${monitor},server=on,wait=off`,
      '-qtest', `unix:${devices},server=on,wait=off`, '-qtest-log', '/dev/null',
      '-chardev', `socket,id=chrtpm,path=${ctrl}`,
      '-tpmdev', 'emulator,id=tpm0,chardev=chrtpm',
      '-device', 'tpm-tis,tpmdev=tpm0',
      ...more,
    ], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => void child.kill('SIGKILL'));
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const lines = new Lines(
      await connected(monitor, child).catch(() => {
        throw new Error(`qemu-system-x86_64 has ended: ${said}`);
      }),
    );
    const qemu = new QemuSystem(child, lines, devices);
    child.stderr!.on('data', (chunk: Buffer) => (qemu.#err += chunk.toString()));
    child.stdout!.on('data', (chunk: Buffer) => {
      qemu.#console += chunk.toString();
      qemu.#wake();
    });
    await lines.next();
    await qemu.run('qmp_capabilities');
    return qemu;
  }

  /** What a command of the monitor returns. @throws Error with QEMU's own */
  async run(execute: string, given: Message = {}): Promise<unknown> {
    this.#lines.send(`${JSON.stringify({ execute, arguments: given })}\n`);
    for (;;) {
      const message = JSON.parse(await this.#lines.next()) as Message;
      if ('return' in message) return message['return'];
      if ('error' in message) throw new Error(`${execute}: ${JSON.stringify(message['error'])}`);
    }
  }

  /** Sends a command to the TPM through its registers, in hex; its response in hex. */
  async tpm(command: string): Promise<string> {
    this.#bus ??= new Lines(await connected(this.#devices, this.process));
    return toHex(await transmit(this.#bus, hex(command)));
  }

  /** Resolves once it is in the state `status`, or has ended. @throws Error if it has ended */
  async becomes(status: string): Promise<void> {
    for (;;) {
      const found = (await this.run('query-status')) as { status?: string };
      if (found.status === status) return;
    }
  }

  /** Resolves once the firmware has written `text` as often as `times`. */
  async says(text: string, times = 1): Promise<void> {
    while (this.#console.split(text).length <= times) {
      if (this.process.exitCode !== null) throw new Error(`QEMU has ended: ${this.#err}`);
      await new Promise<void>(resolve => {
        this.#wake = resolve;
        void this.#closed.then(() => resolve());
      });
    }
  }

  /** Asks it to quit; its exit code. */
  async quit(): Promise<number | null> {
    void this.run('quit').catch(() => {});
    await this.#closed;
    return this.process.exitCode;
  }

  /** Its exit code, once it has ended by itself. */
  async exited(): Promise<number | null> {
    await this.#closed;
    return this.process.exitCode;
  }

  /** Kills it, as a host that fails. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#closed;
  }

  get err(): string {
    return this.#err;
  }
}
