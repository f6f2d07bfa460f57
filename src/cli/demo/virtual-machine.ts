/**
 * A real QEMU whose TPM is `nvtpm serve` on the image of the demonstration, and whose guest is the boot
 * sector of boot-sector.ts.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootSector } from './boot-sector.js';
import { StepError } from './step-process.js';

export const QEMU = 'qemu-system-x86_64';
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));
const DISK_BYTES = 2 ** 20;
const LENGTH_BYTES = 2;

export class VirtualMachine {
  readonly #processes: ChildProcess[] = [];
  readonly #ended: Promise<string>;
  #end: (why: string) => void = () => {};
  #serial!: Socket;
  #got = Buffer.alloc(0);
  #wake: () => void = () => {};

  private constructor() {
    this.#ended = new Promise(resolve => {
      this.#end = resolve;
    });
  }

  /**
   * Starts both, and boots.
   * @param folder for sockets, of this machine alone
   * @param started called with the machine before it starts anything
   * @throws StepError where one of the two ends
   */
  static async start(
    image: string,
    folder: string,
    started: (machine: VirtualMachine) => void,
  ): Promise<VirtualMachine> {
    const machine = new VirtualMachine();
    started(machine);
    const at = (name: string): string => join(folder, name);
    await machine.#serve(image, at('ctrl'));
    const sector = new Uint8Array(DISK_BYTES);
    sector.set(bootSector());
    writeFileSync(at('disk'), sector);
    const server = createServer().listen(at('serial'));
    await once(server, 'listening');
    try {
      await machine.#boot(at, server);
    } finally {
      server.close();
    }
    return machine;
  }

  /** Runs a TPM command in the guest. @throws StepError */
  async transmit(request: Uint8Array): Promise<Uint8Array> {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16LE(request.length);
    this.#serial.write(Buffer.concat([length, request]));
    const bytes = (await this.#take(LENGTH_BYTES)).readUInt16LE();
    return new Uint8Array(await this.#take(bytes));
  }

  /** Kills both with SIGKILL, and waits for their ends. Idempotent. */
  async kill(): Promise<void> {
    const running = this.#processes.filter(each => each.exitCode === null && !each.signalCode);
    await Promise.all(
      running.map(each => {
        const exited = once(each, 'exit');
        each.kill('SIGKILL');
        return exited;
      }),
    );
  }

  async #serve(image: string, ctrl: string): Promise<void> {
    const args = [PROGRAM, 'serve', image, '--ctrl', `type=unixio,path=${ctrl}`];
    const server = this.#spawn('nvtpm serve', process.execPath, args);
    const listens = new Promise<void>(resolve => {
      let said = '';
      const onData = (chunk: Buffer): void => {
        said += chunk.toString();
        if (said.includes('listening at')) resolve();
      };
      server.stdout!.on('data', onData);
      server.stderr!.on('data', onData);
    });
    await this.#unlessEnded(listens);
  }

  async #boot(at: (name: string) => string, server: Server): Promise<void> {
    // biome-ignore format: one option and its value a line
    this.#spawn('QEMU', QEMU, [
      '-machine', 'q35',
      '-accel', 'tcg',
      '-m', '64',
      '-display', 'none',
      '-nodefaults',
      '-drive', `if=none,id=boot,format=raw,file=${at('disk')}`,
      '-device', 'ide-hd,drive=boot,bootindex=0',
      '-chardev', `socket,id=serial0,path=${at('serial')}`,
      '-serial', 'chardev:serial0',
      '-chardev', `socket,id=chrtpm,path=${at('ctrl')}`,
      '-tpmdev', 'emulator,id=tpm0,chardev=chrtpm',
      '-device', 'tpm-tis,tpmdev=tpm0',
    ]);
    const [serial] = await this.#unlessEnded(once(server, 'connection'));
    this.#serial = serial as Socket;
    this.#serial.on('error', () => {});
    this.#serial.on('data', (chunk: Buffer) => {
      this.#got = Buffer.concat([this.#got, chunk]);
      this.#wake();
    });
  }

  #spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.resume();
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.once('error', error => this.#end(`${name} cannot be started: ${error.message}`));
    child.once('close', () => this.#end(`${name} has ended: ${said.trim()}`));
    this.#processes.push(child);
    return child;
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#got.length < bytes) {
      await this.#unlessEnded(
        new Promise<void>(resolve => {
          this.#wake = resolve;
        }),
      );
    }
    const taken = this.#got.subarray(0, bytes);
    this.#got = this.#got.subarray(bytes);
    return taken;
  }

  async #unlessEnded<T>(result: Promise<T>): Promise<T> {
    const ended = this.#ended.then(message => {
      throw new StepError('qemu', { code: 'FAILED', message });
    });
    return Promise.race([result, ended]);
  }
}
