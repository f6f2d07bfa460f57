/**
 * The same script of register accesses on our device and on QEMU's tpm-tis, every value read and
 * the level of the interrupt line compared. A script is made while it runs on our device, so that
 * it gets into all the states; then QEMU replays it. Where docs/tis.md lists a departure, the
 * script keeps out of its way, and the place here that does so names the departure.
 */
import assert from 'node:assert/strict';
import { Tis, type TisBackend, type TisOptions, type TisState } from '../../src/tis/index.js';
import { hex, toHex } from '../files.js';
import { type Answer, Qemu, WIDTH } from '../peers/qtest.js';
import { random } from './random.js';

const BASE = 0xfed4_0000;

/** Commands whose answers depend on nothing but whether the TPM was started. */
// biome-ignore format: table
const COMMANDS: Record<'1.2' | '2.0', readonly string[]> = {
  '1.2': [
    '00c10000000c000000990001',                       // TPM_Startup(ST_CLEAR): must be the first.
    '00c10000000e0000001500000000',                   // TPM_PCRRead(0)
    '00c10000001200000065' + '0000000600000000',      // TPM_GetCapability(TPM_CAP_VERSION)
    '00c10000001600000065' + '000000050000000400000103',
    '00c10000000a00000053',                           // TPM_ContinueSelfTest
    '00c10000000a0000ffff',                           // No such ordinal.
    '00c50000000e0000001500000000',                   // No such tag.
    '00c10000000a00000015',                           // Parameters missing.
    '00c1000000100000001500000000aabb',               // Parameters left over.
    '80010000000c000001440000',                       // TPM2_Startup
    `00c1000001400000ffff${'5a'.repeat(310)}`,        // Long.
  ],
  '2.0': [
    '80010000000c000001440000',                       // TPM2_Startup(CLEAR): must be the first.
    '8001000000160000017a' + '0000000200000110000000ff', // TPM2_GetCapability: a long answer.
    '8001000000160000017a' + '000000060000010500000001', // The manufacturer.
    '80010000000a00000053',                           // No such command; TPM 1.2's self test.
    '80030000000a00000144',                           // No such tag.
    '80010000000a00000144',                           // Parameters missing.
    '80010000000e000001440000aabb',                   // Parameters left over.
    '00c10000000c000000990001',                       // TPM_Startup
    `8001000001400000ffff${'5a'.repeat(310)}`,        // Long.
  ],
};

/** An address, as qtest takes it and a reader likes it. */
const hexOf = (offset: number): string => `0x${(BASE + offset).toString(16)}`;

interface Access {
  readonly line: string;
  /** What our device read; undefined for a write, and where a departure shows. */
  readonly found: bigint | undefined;
  /** The level of the interrupt line after it; undefined where a departure shows. */
  readonly level: boolean | undefined;
  /** The access started a command in this locality: QEMU answers it when it can. */
  readonly started: number | undefined;
}

/** A TPM that has failed: for a look at what a write would do. */
class NoTpm implements TisBackend {
  execute(_command: Uint8Array, _locality: number, done: (response: Uint8Array) => void): void {
    done(new Uint8Array());
  }
  cancel(): void {}
  established = (): boolean => false;
  hashStart(): void {}
  hashData(): void {}
  hashEnd(): void {}
}

/** One device, the answers that its TPM gives, and the script being made. */
class Ours extends NoTpm {
  readonly #pool: readonly string[];
  readonly #replies: ReadonlyMap<string, string>;
  readonly tis: Tis;
  level = false;
  #started = false;
  #ran = false;
  script: Access[] = [];
  /** The command that is being written. */
  sending: Uint8Array = new Uint8Array();

  constructor(
    personality: '1.2' | '2.0',
    replies: ReadonlyMap<string, string>,
    options: Partial<TisOptions>,
  ) {
    super();
    this.#pool = COMMANDS[personality];
    this.#replies = replies;
    // Departure "locality 4": QEMU drops what is written there.
    this.tis = new Tis({
      backend: this,
      personality,
      locality4: false,
      irq: level => {
        this.level = level;
      },
      ...options,
    });
  }

  override execute(
    command: Uint8Array,
    locality: number,
    done: (response: Uint8Array) => void,
  ): void {
    const text = toHex(command);
    const reply = this.#replies.get(`${this.#started} ${locality} ${text}`);
    assert(reply !== undefined, `no answer known to ${text}`);
    if (text === this.#pool[0] && reply.endsWith('00000000')) this.#started = true;
    this.#ran = true;
    done(hex(reply));
  }

  powerOn(): void {
    this.tis.reset();
    this.#started = false;
  }

  knows = (fifo: string): boolean => this.#pool.includes(fifo);
  command = (at: number): Uint8Array => hex(this.#pool[at % this.#pool.length]!);

  get active(): number | undefined {
    return this.tis.saveState().localities.active ?? undefined;
  }

  read(offset: number, size: number): void {
    const { active, left } = this.#burst();
    const found = size === 8 ? this.tis.read64(offset) : BigInt(this.tis.read(offset, size));
    // Departure "burst count by bytes": QEMU shows 0 where it is 256.
    const narrow = size === 1 || offset % 4 !== 0;
    const skip = narrow && left >= 0x100 && covers(offset, size, active, 0x18, 4);
    this.#add(`read${WIDTH[size]} ${hexOf(offset)}`, skip ? undefined : found);
  }

  write(offset: number, size: number, value: bigint): void {
    this.#ran = false;
    const cut = BigInt.asUintN(8 * size, value);
    if (size === 8) this.tis.write64(offset, cut);
    else this.tis.write(offset, size, Number(cut));
    this.#add(`write${WIDTH[size]} ${hexOf(offset)} 0x${cut.toString(16)}`, undefined);
  }

  /** The state that a write to INT_ENABLE or another plain register would lead to. */
  after(offset: number, size: number, value: bigint): TisState {
    const copy = new Tis({ backend: new NoTpm(), personality: this.tis.saveState().personality });
    copy.restoreState(this.tis.saveState());
    if (size === 8) copy.write64(offset, value);
    else copy.write(offset, size, Number(BigInt.asUintN(8 * size, value)));
    return copy.saveState();
  }

  put(locality: number, register: number, value: number, judgeLine = true): void {
    this.write(locality * 0x1000 + register, 1, BigInt(value));
    if (!judgeLine) this.script.push({ ...this.script.pop()!, level: undefined });
  }

  #burst(): { active: number | undefined; left: number } {
    const { localities, command } = this.tis.saveState();
    const left = command.state === 'completion' ? command.fifo.length / 2 - command.at : 0;
    return { active: localities.active ?? undefined, left };
  }

  #add(line: string, found: bigint | undefined): void {
    const started = this.#ran ? this.active : undefined;
    this.#ran = false;
    this.script.push({ line, found, level: this.level, started });
  }
}

/** Whether an access touches these bytes of this locality. */
function covers(
  offset: number,
  size: number,
  locality: number | undefined,
  register: number,
  bytes: number,
): boolean {
  if (locality === undefined) return false;
  const start = locality * 0x1000 + register;
  return offset < start + bytes && start < offset + size;
}

// biome-ignore format: table
const REGISTERS = [0x00, 0x00, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x18, 0x18, 0x24, 0x24, 0x30, 0x80, 0x9c, 0xbc,
  0xf00, 0xf04, 0x04, 0x1c, 0x20, 0x28, 0x2c, 0x34, 0x7c, 0xc0, 0xffc];
const SIZES = [1, 1, 1, 2, 4, 4, 8];
const STS_VALUES = [0x40, 0x40, 0x20, 0x20, 0x02, 0x02, 0x60, 0x22, 0xc0, 0x04, 0xff, 0x00];
const ACCESS_VALUES = [0x02, 0x02, 0x08, 0x08, 0x10, 0x20, 0x20, 0x22, 0x0a, 0x28, 0x30, 0xff];

/** One step of a script: something that leads on, or anything at all. */
function step(ours: Ours, pick: (below: number) => number): void {
  const active = ours.active;
  const locality = active !== undefined && pick(3) > 0 ? active : pick(5);
  const kind = pick(10);
  if (kind < 4) leadOn(ours, active, pick);
  else if (kind < 7) readSomething(ours, locality, pick);
  else writeSomething(ours, locality, pick);
  // Departure "locality change": QEMU keeps a command for each locality, and shares the FIFO.
  // Twice ready is the same in both; then the event that one of them had is cleared.
  const now = ours.active;
  if (now !== undefined && now !== active) {
    ours.put(now, 0x18, 0x40, false);
    ours.put(now, 0x18, 0x40, false);
    ours.put(now, 0x10, 0xff);
  }
}

function readSomething(ours: Ours, locality: number, pick: (below: number) => number): void {
  const size = SIZES[pick(SIZES.length)]!;
  const register = REGISTERS[pick(REGISTERS.length)]! + (pick(3) === 0 ? pick(4) : 0);
  const offset = Math.min(locality * 0x1000 + register, 0x5000 - 8);
  ours.read(offset, size);
}

function writeSomething(ours: Ours, locality: number, pick: (below: number) => number): void {
  const size = SIZES[pick(SIZES.length)]!;
  const register = REGISTERS[pick(REGISTERS.length)]! + (pick(4) === 0 ? pick(4) : 0);
  const offset = Math.min(locality * 0x1000 + register, 0x5000 - 8);
  const high = pick(2) === 0 ? 0n : BigInt(pick(2 ** 32));
  const low =
    register === 0
      ? ACCESS_VALUES[pick(12)]!
      : register === 0x18
        ? STS_VALUES[pick(12)]!
        : pick(256);
  const value = (high << 32n) | BigInt.asUintN(32, (BigInt(pick(2 ** 24)) << 8n) | BigInt(low));
  guarded(ours, offset, size, pick(2) === 0 ? BigInt(low) : value);
}

/** Writes, unless that would lead to where a departure shows. */
function guarded(ours: Ours, offset: number, size: number, value: bigint): void {
  const { command, localities } = ours.tis.saveState();
  const active = localities.active ?? undefined;
  const touches = (register: number, bytes: number): boolean =>
    covers(offset, size, active, register, bytes);
  // Departure "surplus bytes": QEMU keeps those of the access that ends a command.
  const taking = command.state === 'ready' || command.state === 'reception';
  const fifo = taking && (touches(0x24, 4) || touches(0x80, 0x40));
  if (fifo && size > room(command.fifo)) return;
  // Departure "size field": QEMU sees the lower half of it only.
  if (fifo && command.fifo.length < 8 && value !== 0n) return;
  // No answer is known to a random command; QEMU hangs on one that is shorter than a header.
  if (command.state === 'reception' && touches(0x18, 1) && !ours.knows(command.fifo)) return;
  // Departure "interrupt line": nothing but INT_STATUS lets QEMU's line fall.
  const access = [0, 1, 2, 3].some(locality => covers(offset, size, locality, 0, 1));
  // Departure "events not enabled": of a response's two events QEMU tells both, or none.
  const enabled = ours.after(offset, size, value).interrupts.enable[active ?? 0]! & 0x03;
  if (enabled === 1 || enabled === 2) return;
  // Departure "two at once": giving the TPM up and asking for it while another one waits.
  const both = (value | (value >> 8n) | (value >> 16n) | (value >> 24n)) & 0x22n;
  if (access && both === 0x22n && localities.requestUse.includes(true)) return;
  if (active !== undefined && (access || touches(0x08, 4))) ours.put(active, 0x10, 0xff);
  ours.write(offset, size, value);
}

/** How many bytes a FIFO with this in it takes for certain. */
function room(fifo: string): number {
  const length = fifo.length / 2;
  if (length < 6) return 6 - length;
  return Math.max(0, Math.min(Number.parseInt(fifo.slice(4, 12), 16), 4096) - length);
}

/** What an honest driver would do next. */
function leadOn(ours: Ours, active: number | undefined, pick: (below: number) => number): void {
  if (active === undefined) {
    ours.put(pick(4), 0x00, pick(2) === 0 ? 0x02 : 0x08);
    return;
  }
  const { state, fifo } = ours.tis.saveState().command;
  if (state === 'idle') ours.put(active, 0x18, 0x40);
  else if (state === 'ready') {
    ours.sending = ours.command(pick(1000));
    sendSome(ours, active, '', pick);
  } else if (state === 'reception') {
    if (room(fifo) > 0) sendSome(ours, active, fifo, pick);
    else ours.put(active, 0x18, ours.knows(fifo) ? 0x20 : 0x40);
  } else {
    const what = pick(8);
    if (what === 0) ours.put(active, 0x18, 0x40);
    else if (what === 1) ours.put(active, 0x18, 0x02);
    else
      ours.read(
        active * 0x1000 + (pick(2) === 0 ? 0x24 : 0x80 + 4 * pick(16)),
        [1, 2, 4][pick(3)]!,
      );
  }
}

/** The next bytes of a command, as many at once as the dice say. */
function sendSome(ours: Ours, active: number, fifo: string, pick: (below: number) => number): void {
  for (let at = fifo.length / 2, accesses = 1 + pick(40); accesses > 0; accesses -= 1) {
    const left = ours.sending.length - at;
    if (left <= 0) return;
    const most = Math.min(left, at < 6 ? 6 - at : left, 4);
    const size = [4, 2, 1].find(width => width <= most && pick(3) > 0) ?? 1;
    const bytes = [...ours.sending.slice(at, at + size)].reverse();
    const offset = active * 0x1000 + (pick(2) === 0 ? 0x24 : 0x80 + 4 * pick(16));
    ours.write(offset, size, BigInt(`0x${toHex(Uint8Array.from(bytes))}`));
    at += size;
  }
}

export interface Difference {
  readonly seed: number;
  readonly line: string;
  readonly ours: string;
  readonly qemu: string;
  /** The accesses before it, for a reader. */
  readonly before: readonly string[];
}

export interface Outcome {
  readonly accesses: number;
  /** How many of them were reads whose value was compared. */
  readonly compared: number;
  readonly commands: number;
  /** After how many of them the interrupt line was up. */
  readonly high: number;
  readonly differences: readonly Difference[];
}

/** One QEMU and one device of ours, for as many scripts as wanted. */
export class Differential {
  readonly #qemu: Qemu;
  readonly #ours: Ours;

  private constructor(qemu: Qemu, ours: Ours) {
    this.#qemu = qemu;
    this.#ours = ours;
  }

  static async start(
    personality: '1.2' | '2.0',
    options: Partial<TisOptions> = {},
  ): Promise<Differential> {
    const qemu = await Qemu.start(personality);
    const replies = new Map<string, string>();
    const [startup, ...others] = COMMANDS[personality];
    // TPM2_Startup is not allowed in every locality.
    for (const locality of [3, 2, 1, 0]) {
      await qemu.reset();
      for (const command of [...others, startup!]) {
        replies.set(`false ${locality} ${command}`, await transmit(qemu, locality, command));
      }
    }
    for (const locality of [3, 2, 1, 0]) {
      for (const command of COMMANDS[personality]) {
        replies.set(`true ${locality} ${command}`, await transmit(qemu, locality, command));
      }
    }
    await qemu.reset();
    return new Differential(qemu, new Ours(personality, replies, options));
  }

  /** Makes the script of this seed, of about so many accesses, and runs it on both. */
  async run(seed: number, accesses: number): Promise<Outcome> {
    const pick = random(seed);
    const ours = this.#ours;
    ours.script = [];
    const powerOn = pick(4) === 0;
    if (powerOn) {
      // Departure "interrupt line": a reset does not let QEMU's fall.
      if (ours.active !== undefined) await this.#clear(ours.active);
      ours.powerOn();
      await this.#qemu.reset();
    }
    while (ours.script.length < accesses) step(ours, pick);
    return this.#replay(seed);
  }

  async #clear(active: number): Promise<void> {
    this.#ours.put(active, 0x10, 0xff);
    await this.#qemu.ask([this.#ours.script.pop()!.line]);
  }

  async #replay(seed: number): Promise<Outcome> {
    const { script } = this.#ours;
    const differences: Difference[] = [];
    for (let from = 0; from < script.length; ) {
      const stop = script.findIndex((access, i) => i >= from && access.started !== undefined);
      const to = stop < 0 ? script.length : stop + 1;
      const answers = await this.#qemu.ask(script.slice(from, to).map(({ line }) => line));
      if (stop >= 0) answers[answers.length - 1] = await this.#finish(script[stop]!.started!);
      for (const [i, answer] of answers.entries()) {
        const difference = compare(script, from + i, answer);
        if (difference !== undefined) differences.push({ seed, ...difference });
      }
      from = to;
    }
    return {
      accesses: script.length,
      compared: script.filter(({ found }) => found !== undefined).length,
      commands: script.filter(({ started }) => started !== undefined).length,
      high: script.filter(({ level }) => level === true).length,
      differences,
    };
  }

  /** Waits until the command that runs in QEMU is answered. */
  async #finish(locality: number): Promise<Answer> {
    for (let i = 0; i < 100_000; i += 1) {
      const [answer] = await this.#qemu.ask([`readl ${BASE + locality * 0x1000 + 0x18}`]);
      if (Number(answer!.text.split(' ')[1]) & 0x10) return { text: 'OK', line: answer!.line };
    }
    throw new Error('QEMU does not answer the command');
  }

  close(): Promise<void> {
    return this.#qemu.close();
  }
}

function compare(
  script: readonly Access[],
  at: number,
  answer: Answer,
): Omit<Difference, 'seed'> | undefined {
  const { line, found, level } = script[at]!;
  const value = found === undefined ? '' : `0x${found.toString(16).padStart(16, '0')}`;
  const theirs = found === undefined ? '' : (answer.text.split(' ')[1] ?? answer.text);
  if (value === theirs && (level ?? answer.line) === answer.line) return undefined;
  const before = script
    .slice(Math.max(0, at - 30), at)
    .map(
      access =>
        `${access.line}${access.found === undefined ? '' : ` = ${access.found.toString(16)}`}`,
    );
  return { line, ours: `${value} line ${level}`, qemu: `${theirs} line ${answer.line}`, before };
}

/** Runs one command on QEMU and gives its answer, in hex. */
async function transmit(qemu: Qemu, locality: number, command: string): Promise<string> {
  const page = BASE + locality * 0x1000;
  await qemu.write(page, 1, 0x02);
  await qemu.write(page + 0x18, 1, 0x40);
  for (const byte of hex(command)) await qemu.write(page + 0x24, 1, byte);
  await qemu.write(page + 0x18, 1, 0x20);
  while (((await qemu.read(page + 0x18, 4)) & 0x10) === 0);
  const reply: number[] = [];
  while ((await qemu.read(page + 0x18, 4)) & 0x10) reply.push(await qemu.read(page + 0x24, 1));
  await qemu.write(page + 0x18, 1, 0x40);
  await qemu.write(page, 1, 0x20);
  return toHex(Uint8Array.from(reply));
}
