/**
 * Many machines in one process, and one image that another holder keeps locked: how long the others
 * stop because of it.
 * @module
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { createQcow2, openImage, takeGuard, withLock } from '../src/block/index.js';
import { Machine, Tpm12 } from '../src/index.js';
import { formatStore } from '../src/nvram/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../src/system.js';

export interface ContendedOptions {
  /** An empty folder for the images. */
  readonly folder: string;
  readonly machines: number;
  /** How long one image stays locked, in milliseconds. */
  readonly lockedMs: number;
}

/** What the other machines did for a while. */
export interface Others {
  /** Commands that they ran, each with a durable store. */
  readonly commands: number;
  /** The longest time between two turns of the event loop, in milliseconds. */
  readonly longestStopMs: number;
  /** The longest of these commands, in milliseconds: its own fdatasync included. */
  readonly longestCommandMs: number;
}

export interface ContendedResult {
  readonly machines: number;
  readonly lockedMs: number;
  /** For as long before that, with no image locked. */
  readonly free: Others;
  /** While one image is locked. */
  readonly contended: Others;
  /** How long the command of the contended machine took, and its result code. */
  readonly waitedMs: number;
  readonly result: number;
}

const IMAGE_BYTES = 1024 * 1024;
/** The contended command waits as long as it must. */
const PATIENCE_MS = 3_600_000;
const STARTUP_CLEAR = Buffer.from('00c10000000c000000990001', 'hex');
/** TPM_PhysicalPresence: CMD_ENABLE and CMD_DISABLE in turn change what is stored. */
const TOGGLES = ['0020', '0100'].map(bits => Buffer.from(`00c10000000c4000000a${bits}`, 'hex'));

function newMachines({ folder, machines }: ContendedOptions): Machine[] {
  const paths = Array.from({ length: machines }, (_, at) => join(folder, `${at}.qcow2`));
  const [first, ...rest] = paths as [string, ...string[]];
  createQcow2(first, { size: IMAGE_BYTES });
  using image = openImage(first);
  withLock(image, undefined, disk => formatStore(disk, { entropy }));
  for (const path of rest) copyFileSync(first, path);
  return paths.map(path => {
    const engine = () => new Tpm12({ entropy, clock });
    const wait = { timeoutMs: PATIENCE_MS };
    const machine = new Machine({ image: openImage(path), entropy, engine, wait });
    machine.powerOn();
    machine.process(STARTUP_CLEAR);
    return machine;
  });
}

export async function contended(options: ContendedOptions): Promise<ContendedResult> {
  const { folder, machines, lockedMs } = options;
  const [first, ...others] = newMachines(options) as [Machine, ...Machine[]];
  const free = await run(others, lockedMs);
  using rival = openImage(join(folder, '0.qcow2'));
  takeGuard(rival, 'incoming');
  const lock = rival.lock({ timeoutMs: 0 });
  const start = performance.now();
  const stuck = first.execute(TOGGLES[0]!);
  const contended = await run(others, lockedMs);
  lock.release();
  const result = Buffer.from(await stuck).readUInt32BE(6);
  const waitedMs = performance.now() - start;
  for (const machine of [first, ...others]) machine.cutPower();
  return { machines, lockedMs, free, contended, waitedMs, result };
}

/** Runs commands on all machines in turn, for `ms` milliseconds. */
async function run(machines: readonly Machine[], ms: number): Promise<Others> {
  const start = performance.now();
  const longestStop = watchEventLoop();
  let [commands, longestCommandMs] = [0, 0];
  for (let turn = 0; performance.now() - start < ms; turn += 1) {
    const machine = machines[turn % machines.length]!;
    const begun = performance.now();
    await machine.execute(TOGGLES[Math.floor(turn / machines.length) % 2]!);
    longestCommandMs = Math.max(longestCommandMs, performance.now() - begun);
    commands += 1;
    await new Promise(resolve => setImmediate(resolve));
  }
  return { commands, longestStopMs: longestStop(), longestCommandMs };
}

/** Measures the longest time between two turns, until it is asked. */
function watchEventLoop(): () => number {
  let [last, longest] = [performance.now(), 0];
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    timer = setImmediate(look);
  };
  let timer = setImmediate(look);
  return () => {
    clearImmediate(timer);
    return Math.max(longest, performance.now() - last);
  };
}
