/**
 * A device on a TPM that answers what the test says, when the test says. Offsets are drawn by hand.
 */

import { hex, toHex } from '../../lab/files.js';
import { Tis, type TisBackend, type TisOptions } from '../../src/tis/index.js';

// biome-ignore format: table
export const REG = {
  ACCESS: 0x000, INT_ENABLE: 0x008, INT_VECTOR: 0x00c, INT_STATUS: 0x010, INTF_CAPABILITY: 0x014,
  STS: 0x018, HASH_END: 0x020, DATA_FIFO: 0x024, HASH_START: 0x028, INTERFACE_ID: 0x030,
  XDATA_FIFO: 0x080, DID_VID: 0xf00, RID: 0xf04,
} as const;

/**
 * The exchanges of facts recorded from QEMU 7.2 with swtpm 0.7.1: a second TPM_Startup and the
 * like.
 */
// biome-ignore format: table
export const EXCHANGE = {
  '1.2': { command: '00c10000000c000000990001', reply: '00c40000000a00000000' },
  '2.0': { command: '80010000000c000001440000', reply: '80010000000a00000000' },
} as const;

export class FakeTpm implements TisBackend {
  readonly commands: { readonly command: string; readonly locality: number }[] = [];
  readonly hashed: string[] = [];
  cancels = 0;
  flag = false;
  /** What it answers at once; undefined: it waits for answer(). */
  reply: string | undefined = EXCHANGE['1.2'].reply;
  /** The callbacks of all commands so far; the last one is of the running command. */
  readonly dones: ((response: Uint8Array) => void)[] = [];

  execute(command: Uint8Array, locality: number, done: (response: Uint8Array) => void): void {
    this.commands.push({ command: toHex(command), locality });
    this.dones.push(done);
    if (this.reply !== undefined) done(hex(this.reply));
  }
  /** The running command ends with this response. */
  answer(reply: string = EXCHANGE['1.2'].reply): void {
    this.dones.at(-1)?.(hex(reply));
  }
  cancel(): void {
    this.cancels += 1;
  }
  established(): boolean {
    return this.flag;
  }
  resetEstablished(locality: number): void {
    this.hashed.push(`reset established in ${locality}`);
    this.flag = false;
  }
  hashStart(): void {
    this.hashed.push('start');
    this.flag = true;
  }
  hashData(bytes: Uint8Array): void {
    this.hashed.push(toHex(bytes));
  }
  hashEnd(): void {
    this.hashed.push('end');
  }
}

export interface Bench {
  readonly tis: Tis;
  readonly tpm: FakeTpm;
  /** Every change of the interrupt line since the last look. */
  readonly line: boolean[];
  /** A register of a locality: read, or write. */
  get(locality: number, register: number, size?: number): number;
  put(locality: number, register: number, value: number, size?: number): void;
  /** ACCESS of all localities, as the recorded traces have it. */
  access(): string;
  /** Writes a command to the FIFO of a locality, byte by byte. */
  send(locality: number, command: string): void;
  /** Reads a response of so many bytes. */
  fetch(locality: number, length: number): string;
}

/** A device with all its localities, the fourth included. */
export function bench(options: Partial<TisOptions> = {}): Bench {
  const tpm = new FakeTpm();
  const line: boolean[] = [];
  const tis = new Tis({
    backend: tpm,
    personality: '1.2',
    locality4: true,
    irq: level => line.push(level),
    ...options,
  });
  const get: Bench['get'] = (locality, register, size = 4) =>
    tis.read(locality * 0x1000 + register, size);
  const put: Bench['put'] = (locality, register, value, size = 1) =>
    tis.write(locality * 0x1000 + register, size, value);
  return {
    tis,
    tpm,
    line,
    get,
    put,
    access: () => [0, 1, 2, 3, 4].map(l => get(l, REG.ACCESS, 1).toString(16)).join(' '),
    send: (locality, command) => {
      for (const byte of hex(command)) put(locality, REG.DATA_FIFO, byte);
    },
    fetch: (locality, length) =>
      toHex(Uint8Array.from({ length }, () => get(locality, REG.DATA_FIFO, 1))),
  };
}

/** A bench whose locality 0 has the TPM, in the state named. */
export function benchIn(
  state: 'idle' | 'ready' | 'reception' | 'complete' | 'execution' | 'completion',
  options: Partial<TisOptions> = {},
  locality = 0,
): Bench {
  const b = bench(options);
  b.put(locality, REG.ACCESS, 0x02);
  if (state === 'idle') return b;
  b.put(locality, REG.STS, 0x40);
  if (state === 'ready') return b;
  b.send(locality, EXCHANGE[options.personality ?? '1.2'].command.slice(0, 2));
  if (state === 'reception') return b;
  const { command, reply } = EXCHANGE[options.personality ?? '1.2'];
  b.send(locality, command.slice(2));
  if (state === 'complete') return b;
  b.tpm.reply = state === 'completion' ? reply : undefined;
  b.put(locality, REG.STS, 0x20);
  return b;
}
