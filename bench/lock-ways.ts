/**
 * Ways of waiting for a lock, and the loop of one of two processes that contend for it. Run as a
 * program it is the second of the two: `FOLDER ROUNDS RESULTS`.
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
import { type LockFlavour, lock, lockDriverFor, WHOLE_FILE } from '../src/lock/index.js';
import { loadFcntl } from '../src/native/fcntl.js';
import { loadKoffi } from '../src/native/koffi.js';

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
  acquire(waiting: boolean): void;
  release(): void;
}

/** The system's own calls, with nothing but koffi around them. */
export function plainLocks(path: string) {
  const koffi = loadKoffi();
  const flockCall = koffi.load(null).func('int flock(int fd, int operation)');
  const system = loadFcntl();
  const exclusive = system.flock().write('F_WRLCK', 0, 0);
  const none = system.flock().write('F_UNLCK', 0, 0);
  const fds = [1, 2, 3].map(n => openBoth(`${path}-${n}`));
  const must = (result: number): void => {
    if (result !== 0) throw new Error('the system refused a lock');
  };
  const fcntlLock = (name: string, fd: number, set: number, wait: number): PlainLock => ({
    name,
    fd,
    acquire: waiting => must(system.call(fd, waiting ? wait : set, exclusive)),
    release: () => must(system.call(fd, set, none)),
  });
  const flock: PlainLock = {
    name: 'flock(2)',
    fd: fds[0]!,
    acquire: waiting => must(flockCall(fds[0]!, waiting ? LOCK_EX : LOCK_EX | LOCK_NB)),
    release: () => must(flockCall(fds[0]!, LOCK_UN)),
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

interface Lockable {
  readonly fd: number;
  acquire(): void;
  release(): void;
}

/** A lock of ours on a file, waiting with a timeout. */
function ourLock(path: string, flavour: LockFlavour): Lockable {
  const fd = openBoth(path);
  const request = { fd, path, type: 'exclusive', range: WHOLE_FILE } as const;
  const driver = lockDriverFor(fd, flavour);
  return {
    fd,
    acquire: () => lock(driver, request),
    release: () => driver.unlock(fd, WHOLE_FILE),
  };
}

/** The ways of waiting that are compared, each on a file of its own. */
function ways(folder: string): Readonly<Record<string, Lockable>> {
  const path = join(folder, 'handed-over');
  const { flock, fcntl, fcntlOfd } = plainLocks(path);
  const blocking = ({ fd, acquire, release }: PlainLock): Lockable => ({
    fd,
    acquire: () => acquire(true),
    release,
  });
  return {
    'ours, ofd: retried, with a timeout': ourLock(`${path}-ofd`, 'ofd'),
    'ours, posix: retried, with a timeout': ourLock(`${path}-posix`, 'posix'),
    'flock(2), blocking': blocking(flock),
    'fcntl(2), F_SETLKW, blocking': blocking(fcntl),
    'fcntl(2), F_OFD_SETLKW, blocking': blocking(fcntlOfd),
  };
}

/** A store holds the lock about so long, and a guest leaves it free at least so long. */
const HELD_MS = 1;
const FREE_MS = 0.3;
const TURNS = 10;
const MEETING_TIMEOUT_US = 30e6;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms: number): void => void Atomics.wait(sleeper, 0, 0, ms);
/** The same clock in all processes of a machine (CLOCK_MONOTONIC). */
const nowUs = (): number => Number(process.hrtime.bigint()) / 1000;

/** One of two processes, the other being 1 - me. */
export type Side = 0 | 1;

/**
 * Acquires and releases each lock `rounds` times, as the other side does at the same time: by way, the
 * microseconds from the other side's release to our acquisition, each time that we were waiting.
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

/** Waits until the other side has reached this step. @throws Error where it seems to have ended */
function meet(board: number, me: Side, step: number): void {
  const word = new Uint32Array([step]);
  writeSync(board, word, 0, 4, 4 * me);
  const end = nowUs() + MEETING_TIMEOUT_US;
  do {
    if (nowUs() > end) throw new Error('the other process does not answer');
    pause(0.1);
    word[0] = 0;
    readSync(board, word, 0, 4, 4 * (1 - me));
  } while (word[0] < step);
}

/** The locked file says which side released it last, and when. */
function exchange({ fd, acquire, release }: Lockable, me: Side): number | undefined {
  const stamp = new Float64Array(2);
  const requested = nowUs();
  acquire();
  const acquired = nowUs();
  readSync(fd, stamp, 0, 16, 0);
  const [side, released] = stamp;
  pause(HELD_MS);
  writeSync(fd, new Float64Array([me, nowUs()]), 0, 16, 0);
  release();
  pause(FREE_MS);
  return side === 1 - me && released! > requested ? acquired - released! : undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, rounds, results] = process.argv.slice(2);
  const times = contend(folder!, 1, Number(rounds));
  // Renamed once complete: the other side polls for the name.
  writeFileSync(`${results}.new`, JSON.stringify(times));
  renameSync(`${results}.new`, results!);
}
