/**
 * A real QEMU with its tpm-tis and a swtpm behind it, driven over the qtest socket: the processor
 * never runs (`-S`), so only the test touches the device. Access is by lines, which may be sent
 * many at a time; what the interrupt line does in between is told with the answers.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { which } from '../which.js';

/** What these tests need installed. */
export const QTEST_PEERS = ['qemu-system-x86_64', 'swtpm'] as const;

/** One line of answer, and the level of the TPM's interrupt line after it. */
export interface Answer {
  readonly text: string;
  readonly line: boolean;
}

export class Qemu {
  readonly #folder: string;
  readonly #processes: readonly ChildProcess[];
  readonly #qtest: Lines;
  readonly #qmp: Lines;
  #line = false;

  /** The path of a second monitor, for one client of the test's own. */
  readonly monitor: string;

  private constructor(
    folder: string,
    processes: readonly ChildProcess[],
    qtest: Lines,
    qmp: Lines,
  ) {
    this.#folder = folder;
    this.monitor = join(folder, 'qmp2');
    this.#processes = processes;
    this.#qtest = qtest;
    this.#qmp = qmp;
  }

  static async start(personality: '1.2' | '2.0'): Promise<Qemu> {
    const folder = mkdtempSync(join(tmpdir(), 'nvtpm-qemu-'));
    mkdirSync(join(folder, 'state'));
    const at = (name: string): string => join(folder, name);
    // biome-ignore format: table
    const swtpm = spawn(which('swtpm')!, [
      'socket', ...(personality === '2.0' ? ['--tpm2'] : []),
      '--tpmstate', `dir=${at('state')}`, '--ctrl', `type=unixio,path=${at('swtpm')}`,
    ], { stdio: 'ignore' });
    await connected(at('swtpm'), swtpm).then(probe => probe.destroy());
    // biome-ignore format: table
    const qemu = spawn(which('qemu-system-x86_64')!, [
      '-machine', 'q35', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-m', '16',
      '-qtest', `unix:${at('qtest')},server=on,wait=off`, '-qtest-log', '/dev/null',
      '-qmp', `unix:${at('qmp')},server=on,wait=off`,
      '-qmp', `unix:${at('qmp2')},server=on,wait=off`,
      '-chardev', `socket,id=chr,path=${at('swtpm')}`,
      '-tpmdev', 'emulator,id=tpm0,chardev=chr', '-device', 'tpm-tis,tpmdev=tpm0',
    ], { stdio: 'ignore' });
    const qtest = new Lines(await connected(at('qtest'), qemu));
    const qmp = new Lines(await connected(at('qmp'), qemu));
    const machine = new Qemu(folder, [qemu, swtpm], qtest, qmp);
    await qmp.next();
    await machine.qmp('qmp_capabilities');
    await machine.ask(['irq_intercept_in ioapic']);
    return machine;
  }

  /** QEMU itself. */
  get process(): ChildProcess {
    return this.#processes[0]!;
  }

  /** Sends lines and gives one answer for each. */
  async ask(lines: readonly string[]): Promise<Answer[]> {
    this.#qtest.send(lines.map(line => `${line}\n`).join(''));
    const answers: Answer[] = [];
    while (answers.length < lines.length) {
      const text = await this.#qtest.next();
      if (text === 'IRQ raise 5') this.#line = true;
      else if (text === 'IRQ lower 5') this.#line = false;
      // Other devices have lines, too.
      else if (!text.startsWith('IRQ ')) answers.push({ text, line: this.#line });
    }
    return answers;
  }

  /** Reads `size` bytes: 1, 2, 4 or 8. */
  async read(address: number, size: number): Promise<number> {
    const [answer] = await this.ask([`read${WIDTH[size]} ${address}`]);
    return Number(answer!.text.split(' ')[1]);
  }

  async write(address: number, size: number, value: number): Promise<void> {
    await this.ask([`write${WIDTH[size]} ${address} ${value}`]);
  }

  /** The level of the TPM's interrupt line. */
  async level(): Promise<boolean> {
    const [answer] = await this.ask(['endianness']);
    return answer!.line;
  }

  /** Resets the machine, and waits until it is done: QMP answers before that. */
  async reset(): Promise<void> {
    this.#qmp.send(`${JSON.stringify({ execute: 'system_reset' })}\n`);
    while ((JSON.parse(await this.#qmp.next()) as Record<string, unknown>)['event'] !== 'RESET');
  }

  /** Runs a QMP command and waits for its answer. */
  async qmp(execute: string): Promise<unknown> {
    this.#qmp.send(`${JSON.stringify({ execute })}\n`);
    for (;;) {
      const message = JSON.parse(await this.#qmp.next()) as Record<string, unknown>;
      if ('return' in message) return message['return'];
      if ('error' in message) throw new Error(`QMP ${execute}: ${JSON.stringify(message)}`);
    }
  }

  async close(): Promise<void> {
    const [qemu] = this.#processes;
    const ended = new Promise(resolve => qemu!.once('exit', resolve));
    qemu!.kill();
    await ended;
    for (const process of this.#processes) process.kill();
    this.#qtest.close();
    this.#qmp.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const WIDTH: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' };

/** A socket of text lines. */
export class Lines {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #rest = '';
  #waiting: ((line: string) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  #ended: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const parts = (this.#rest + text).split('\n');
      this.#rest = parts.pop()!;
      this.#lines.push(...parts);
      this.#hand();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = new Error('the other side has closed the connection');
      this.#failed?.(this.#ended);
    });
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  next(): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined && this.#lines.length === 0) reject(this.#ended);
      this.#waiting = resolve;
      this.#failed = reject;
      this.#hand();
    });
  }

  #hand(): void {
    if (this.#waiting === undefined || this.#lines.length === 0) return;
    const give = this.#waiting;
    this.#waiting = undefined;
    this.#failed = undefined;
    give(this.#lines.shift()!);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Connects to a socket that `owner` is about to open. @throws Error if it ends before */
export async function connected(path: string, owner: ChildProcess): Promise<Socket> {
  while (owner.exitCode === null && owner.signalCode === null) {
    const socket = createConnection(path);
    const up = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (up) return socket;
    await sleep(10);
  }
  throw new Error(`${owner.spawnfile} does not answer at ${path} (exit code ${owner.exitCode})`);
}
