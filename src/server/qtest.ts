/**
 * The qtest protocol: a test drives the registers; there is no processor. Lines of words, as QEMU reads
 * them; where QEMU would abort, the answer is FAIL.
 * @module
 */
import type { Output, Session } from './conversation.js';
import type { Host } from './host.js';
import { Lines, TOO_LONG } from './lines.js';
import { GuestMemory } from './memory.js';

/** What one request may read or write, in bytes: well over all there is. */
export const TRANSFER_MAX = 64 * 1024;
/** Characters of a line: a write of TRANSFER_MAX bytes in hex, and the words before it. */
const LINE_MAX = 2 * TRANSFER_MAX + 256;
/** The interrupt controller, as libqtest's users name it, and the line of the TPM. */
const CONTROLLER = 'ioapic';
const LINE = 5;
/** Interrupts that have a line on the wire of this protocol. */
const LINES_MAX = 256;

/** An invalid request; its message follows FAIL. */
class Refusal extends Error {}

type Words = readonly (string | undefined)[];
type Handler = (qtest: Qtest, words: Words) => string;

/** What follows OK, by the request's first word. */
// biome-ignore format: table
const REQUESTS: Readonly<Record<string, Handler>> = {
  readb: (qtest, [address]) => qtest.load(address, 1),
  readw: (qtest, [address]) => qtest.load(address, 2),
  readl: (qtest, [address]) => qtest.load(address, 4),
  readq: (qtest, [address]) => qtest.load(address, 8),
  writeb: (qtest, [address, value]) => qtest.store(address, 1, value),
  writew: (qtest, [address, value]) => qtest.store(address, 2, value),
  writel: (qtest, [address, value]) => qtest.store(address, 4, value),
  writeq: (qtest, [address, value]) => qtest.store(address, 8, value),
  read: (qtest, [address, size]) => ` 0x${qtest.read(address, size, 1).toString('hex')}`,
  write: (qtest, [address, size, data]) => qtest.write(address, bytesOf(size, 'hex', data)),
  b64read: (qtest, [address, size]) => ` ${qtest.read(address, size, 1).toString('base64')}`,
  b64write: (qtest, [address, size, data]) => qtest.write(address, bytesOf(size, 'base64', data)),
  memset: (qtest, [address, size, value]) =>
    qtest.write(address, new Uint8Array(sizeOf(size, 0)).fill(Number(BigInt.asUintN(8, number(value))))),
  // No device has ports here: the bus floats.
  inb: (_, [port]) => floating(port, '0x00ff'),
  inw: (_, [port]) => floating(port, '0xffff'),
  inl: (_, [port]) => floating(port, '0xffffffff'),
  outb: (_, words) => outward(words),
  outw: (_, words) => outward(words),
  outl: (_, words) => outward(words),
  endianness: () => ' little',
  irq_intercept_in: (qtest, [path]) => qtest.intercept(path),
  // The output of the controller would go to a processor, and there is none.
  irq_intercept_out: (_, [path]) => known(path),
  set_irq_in: (qtest, [path, , line, level]) => qtest.drive(path, line, level),
  clock_step: (qtest, [ns]) => qtest.clock(value => value + (ns === undefined ? 0n : number(ns))),
  clock_set: (qtest, [ns]) => qtest.clock(value => max(value, number(ns))),
  module_load: (_, [prefix, name]) => {
    if (prefix === undefined || name === undefined) throw new Refusal('a prefix and a name are required');
    return '';
  },
};

/** The interface for tests, of one client at a time. An interception outlives its client. */
export class Qtest {
  readonly #memory: GuestMemory;
  #output: Output | undefined;
  #intercepted = false;
  /** The lines whose last level that the client was sent is up. */
  #up = new Set<number>();
  #clock = 0n;

  constructor(host: Host) {
    this.#memory = new GuestMemory(() => host.tis);
    host.onInterrupt(level => this.#interrupt(LINE, level));
  }

  attach = (output: Output): Session => {
    const lines = new Lines(LINE_MAX);
    this.#output = output;
    this.#up = new Set();
    return {
      take: chunk => this.#answerEach(lines.push(chunk), output),
      isPartial: () => lines.partial,
      close: () => {
        this.#output = undefined;
      },
    };
  };

  /** Answers one line for each item that is taken. */
  *#answerEach(lines: Iterable<string | typeof TOO_LONG>, output: Output): Generator<void> {
    for (const line of lines) {
      const text = line === TOO_LONG ? 'FAIL the line is too long' : this.#answer(line);
      output.write(`${text}\n`);
      yield;
    }
  }

  #answer(line: string): string {
    const [name = '', ...words] = line.split(' ');
    const handler = Object.hasOwn(REQUESTS, name) ? REQUESTS[name] : undefined;
    if (handler === undefined) return `FAIL Unknown command '${name.slice(0, 64)}'`;
    try {
      return `OK${handler(this, words)}`;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return `FAIL ${error.message}`;
    }
  }

  load(address: string | undefined, size: number): string {
    const bytes = this.#memory.read(number(address), size);
    return ` 0x${Buffer.from(bytes).reverse().toString('hex').padStart(16, '0')}`;
  }

  store(address: string | undefined, size: number, value: string | undefined): string {
    const at = number(address);
    const digits = BigInt.asUintN(8 * size, number(value)).toString(16);
    const bytes = Buffer.from(digits.padStart(2 * size, '0'), 'hex').reverse();
    this.#memory.write(at, bytes);
    return '';
  }

  read(address: string | undefined, size: string | undefined, sizeMin: number): Buffer {
    return Buffer.from(this.#memory.read(number(address), sizeOf(size, sizeMin)));
  }

  write(address: string | undefined, bytes: Uint8Array): string {
    this.#memory.write(number(address), bytes);
    return '';
  }

  intercept(path: string | undefined): string {
    known(path);
    this.#intercepted = true;
    return '';
  }

  drive(path: string | undefined, line: string | undefined, level: string | undefined): string {
    known(path);
    const [at, value] = [number(line), number(level)];
    if (at >= LINES_MAX) throw new Refusal(`there are ${LINES_MAX} lines`);
    this.#interrupt(Number(at), value !== 0n);
    return '';
  }

  clock(move: (now: bigint) => bigint): string {
    this.#clock = BigInt.asIntN(64, move(this.#clock));
    return ` ${this.#clock}`;
  }

  /** Sends the client a level that it intercepts, and was not sent before. */
  #interrupt(line: number, level: boolean): void {
    if (!this.#intercepted || this.#up.has(line) === level) return;
    if (level) this.#up.add(line);
    else this.#up.delete(line);
    this.#output?.write(`IRQ ${level ? 'raise' : 'lower'} ${line}\n`);
  }
}

/** A number as C's strtoull reads it: decimal, 0x… or 0…, with a sign, in 64 bits. */
function number(word: string | undefined): bigint {
  const match = /^([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(word ?? '');
  const digits = match?.[2];
  if (digits === undefined || digits.length > 32) {
    throw new Refusal('a number is missing or malformed');
  }
  const octal = /^0[0-7]/.test(digits);
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  if (value >= 2n ** 64n) throw new Refusal('a number has more than 64 bits');
  return BigInt.asUintN(64, match?.[1] === '-' ? -value : value);
}

function sizeOf(word: string | undefined, min: number): number {
  const size = number(word);
  if (size < BigInt(min) || size > BigInt(TRANSFER_MAX)) {
    throw new Refusal(`the size is not in ${min} to ${TRANSFER_MAX}`);
  }
  return Number(size);
}

/** `word` bytes of data; those missing are 0. */
function bytesOf(word: string | undefined, encoding: 'hex' | 'base64', data = ''): Uint8Array {
  const size = sizeOf(word, 1);
  const digits = encoding === 'hex' ? /^0x((?:[0-9a-f]{2})*)$/i.exec(data)?.[1] : data;
  if (digits === undefined || (encoding === 'base64' && !/^[A-Za-z0-9+/]*={0,2}$/.test(data))) {
    throw new Refusal(`the data is not in ${encoding}`);
  }
  const bytes = new Uint8Array(size);
  bytes.set(Buffer.from(digits, encoding).subarray(0, size));
  return bytes;
}

function known(path: string | undefined): string {
  if (path === CONTROLLER) return '';
  throw new Refusal('Unknown device');
}

function floating(port: string | undefined, value: string): string {
  number(port);
  return ` ${value}`;
}

function outward([port, value]: Words): string {
  number(port);
  number(value);
  return '';
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
