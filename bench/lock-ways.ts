/**
 * Ways of waiting for a lock, and the loop of one of two processes that want it. Run as a program it
 * is the second of the two: `FOLDER ROUNDS RESULTS`.
 * @module
 */
import {
  closeSync,
  constants,
  openSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadFcntl } from '../src/lock/fcntl.js';
import { chooseLockDriver, type LockFlavour, lock, WHOLE_FILE } from '../src/lock/index.js';
import { loadKoffi } from '../src/lock/koffi.js';

/** fcntl.h and sys/file.h of Linux. */
const F_SETLK = 6;
const F_SETLKW = 7;
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

const openBoth = (path: string): number => openSync(path, constants.O_RDWR | constants.O_CREAT);

interface PlainLock {
  readonly name: string;
  readonly fd: number;
  take(waiting: boolean): void;
  give(): void;
}

/** The system's own calls, without anything of ours around them but koffi. */
export function plainLocks(path: string) {
  const koffi = loadKoffi();
  const flockCall = koffi.load(null).func('int flock(int fd, int operation)');
  const system = loadFcntl();
  const exclusive = system.encode('exclusive', WHOLE_FILE);
  const none = system.encode('none', WHOLE_FILE);
  const fds = [1, 2, 3].map(n => openBoth(`${path}-${n}`));
  const must = (result: number): void => {
    if (result !== 0) throw new Error('the system refused a lock');
  };
  const fcntlLock = (name: string, fd: number, set: number, wait: number): PlainLock => ({
    name,
    fd,
    take: waiting => must(system.call(fd, waiting ? wait : set, exclusive)),
    give: () => must(system.call(fd, set, none)),
  });
  const flock: PlainLock = {
    name: 'flock(2)',
    fd: fds[0]!,
    take: waiting => must(flockCall(fds[0]!, waiting ? LOCK_EX : LOCK_EX | LOCK_NB)),
    give: () => must(flockCall(fds[0]!, LOCK_UN)),
  };
  return {
    flock,
    fcntl: fcntlLock('fcntl(2), F_SETLK', fds[1]!, F_SETLK, F_SETLKW),
    fcntlOfd: fcntlLock('fcntl(2), F_OFD_SETLK', fds[2]!, F_OFD_SETLK, F_OFD_SETLKW),
    close: () => {
      for (const fd of fds) closeSync(fd);
    },
  };
}

interface Holdable {
  readonly fd: number;
  take(): void;
  give(): void;
}

/** A lock of ours on a file, waiting with a limit. */
function ourLock(path: string, flavour: LockFlavour): Holdable {
  const wanted = { fd: openBoth(path), path, type: 'exclusive', range: WHOLE_FILE } as const;
  const driver = chooseLockDriver(flavour);
  const { fd } = wanted;
  return { fd, take: () => lock(driver, wanted), give: () => driver.unlock(fd, WHOLE_FILE) };
}

/** The ways of waiting that are compared, each on a file of its own. */
function ways(folder: string): Readonly<Record<string, Holdable>> {
  const path = join(folder, 'handed-over');
  const { flock, fcntl, fcntlOfd } = plainLocks(path);
  const forever = ({ fd, take, give }: PlainLock): Holdable => ({
    fd,
    take: () => take(true),
    give,
  });
  return {
    'ours, ofd: tried again and again, with a limit': ourLock(`${path}-ofd`, 'ofd'),
    'ours, posix: tried again and again, with a limit': ourLock(`${path}-posix`, 'posix'),
    'flock(2), waiting for ever': forever(flock),
    'fcntl(2), F_SETLKW, waiting for ever': forever(fcntl),
    'fcntl(2), F_OFD_SETLKW, waiting for ever': forever(fcntlOfd),
  };
}

/** As long as a store holds it, and as long as a guest lets it go at the least. */
const HELD_MS = 1;
const FREE_MS = 0.3;
const TURNS = 10;
const PATIENCE_US = 30e6;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms: number): void => void Atomics.wait(sleeper, 0, 0, ms);
/** The same clock in all processes of a machine (CLOCK_MONOTONIC). */
const nowUs = (): number => Number(process.hrtime.bigint()) / 1000;

/** One of two processes, the other being 1 - me. */
export type Side = 0 | 1;

/**
 * Takes and gives back each lock `rounds` times, as the other side does at the same time: by way, the
 * microseconds from the other's giving it back to our having it, each time that we waited by then.
 */
export function contend(folder: string, me: Side, rounds: number): Record<string, number[]> {
  const board = openBoth(join(folder, 'board'));
  const all = Object.entries(ways(folder));
  const times = Object.fromEntries(all.map(([name]) => [name, [] as number[]]));
  for (let step = 1, turn = 0; turn < TURNS; turn += 1) {
    for (const [name, way] of all) {
      meet(board, me, step++);
      for (let round = 0; round < rounds / TURNS; round += 1) {
        const time = exchange(way, me);
        if (time !== undefined) times[name]!.push(time);
      }
    }
  }
  return times;
}

/** Waits until the other side has come as far as this step, or seems to have ended. */
function meet(board: number, me: Side, step: number): void {
  const word = new Uint32Array([step]);
  writeSync(board, word, 0, 4, 4 * me);
  const end = nowUs() + PATIENCE_US;
  do {
    if (nowUs() > end) throw new Error('the other process does not come');
    pause(0.1);
    word[0] = 0;
    readSync(board, word, 0, 4, 4 * (1 - me));
  } while (word[0] < step);
}

/** The file that is locked tells who gave it back last, and when. */
function exchange({ fd, take, give }: Holdable, me: Side): number | undefined {
  const stamp = new Float64Array(2);
  const asked = nowUs();
  take();
  const had = nowUs();
  readSync(fd, stamp, 0, 16, 0);
  const [who, givenBack] = stamp;
  pause(HELD_MS);
  writeSync(fd, new Float64Array([me, nowUs()]), 0, 16, 0);
  give();
  pause(FREE_MS);
  return who === 1 - me && givenBack! > asked ? had - givenBack! : undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, rounds, results] = process.argv.slice(2);
  const times = contend(folder!, 1, Number(rounds));
  // Under another name first, so that what is found is whole.
  writeFileSync(`${results}.new`, JSON.stringify(times));
  renameSync(`${results}.new`, results!);
}
