/**
 * Which process holds a lock. F_GETLK reports the process of a POSIX lock; a lock of an open file
 * description has pid -1 there and in /proc/locks, but each /proc/PID/fdinfo/FD of its owner has a
 * `lock:` line (proc(5)). Everything here is best effort: anything unreadable is omitted.
 * @module
 */
import { type BigIntStats, fstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { LockHolder, LockRange } from './lock.js';
import { overlap, sameRange, subtract } from './range.js';
import type { RecordLocks, ReportedLock } from './record-locks.js';
import { type HeldLock, locksBeside } from './registry.js';

/** Of locks that no process shows, one query finds one. */
const QUERIES_MAX = 64;

/** A line of /proc/locks or of an fdinfo. */
interface ListedLock extends ReportedLock {
  readonly kind: 'posix' | 'ofd';
  readonly ino: string;
}

/** The lock that F_GETLK reported, with the process and its command where the system shows them. */
export function withProcess(fd: number, reported: ReportedLock): LockHolder {
  if (reported.pid > 0) return holderOf(reported);
  for (const listed of listedLocks(fd)) if (sameLock(listed, reported)) return holderOf(listed);
  return holderOf(reported);
}

const sameLock = (a: ReportedLock, b: ReportedLock): boolean =>
  a.type === b.type && sameRange(a.range, b.range);

/** The lock of another descriptor of this process. */
export const ownHolder = ({ type, range }: HeldLock): LockHolder => ({
  type,
  range,
  ...processOf(process.pid),
});

/** Every lock on the file behind `fd` that overlaps the range, except those of `fd` itself. */
export function holdersOf(locks: RecordLocks, fd: number, range: LockRange): LockHolder[] {
  const shown = [...listedLocks(fd)].filter(each => overlap(each.range, range));
  // Locks of processes that do not show us their descriptors: only the kernel reports them.
  const hidden = reportedLocks(locks, fd, range).filter(
    each => each.pid !== process.pid && !shown.some(other => sameLock(other, each)),
  );
  return [...ownHolders(fd, range), ...[...shown, ...hidden].map(holderOf)];
}

/** Locks on the same file that other descriptors of this process hold by the registry. */
export const ownHolders = (fd: number, range: LockRange): LockHolder[] =>
  locksBeside(fd)
    .filter(each => overlap(each.range, range))
    .map(ownHolder);

const holderOf = ({ type, range, pid }: ReportedLock): LockHolder =>
  pid > 0 ? { type, range, ...processOf(pid) } : { type, range };

/** Each query reports one lock; the bytes before and after it are queried next. */
function reportedLocks(locks: RecordLocks, fd: number, range: LockRange): ReportedLock[] {
  const reported: ReportedLock[] = [];
  const left = [range];
  for (let query = 0; query < QUERIES_MAX && left.length > 0; query += 1) {
    const piece = left.pop()!;
    const found = locks.get(fd, 'exclusive', piece);
    if (found === undefined || !overlap(found.range, piece)) continue;
    reported.push(found);
    left.push(...subtract(piece, [found.range]));
  }
  return reported;
}

/**
 * Locks on the file behind `fd` that processes show, except those of `fd` itself and POSIX locks of
 * this process, which the registry knows by descriptor.
 */
function* listedLocks(fd: number): Generator<ReportedLock> {
  const file = fstatSync(fd, { bigint: true });
  for (const name of list('/proc').filter(each => /^\d+$/.test(each))) {
    const pid = Number(name);
    const own = pid === process.pid;
    for (const other of list(`/proc/${pid}/fdinfo`).map(Number)) {
      if (own && other === fd) continue;
      const locks = parse(text(`/proc/${pid}/fdinfo/${other}`)).filter(
        ({ ino, kind }) => ino === String(file.ino) && !(own && kind === 'posix'),
      );
      if (locks.length === 0 || !isFile(pid, other, file)) continue;
      for (const { type, range } of locks) yield { type, range, pid };
    }
  }
}

// For example `1: OFDLCK  ADVISORY  READ -1 fe:00:4711 100 101`, the last byte included. In fdinfo
// the word `lock:` goes before it; lines with `->` are of waiting processes.
const LOCK_LINE =
  /^(?:lock:\s+)?\d+: (OFDLCK|POSIX)\s+\w+\s+(READ|WRITE) (\S+) \w+:\w+:(\d+) (\d+) (\d+|EOF)$/gm;

function parse(lines = ''): ListedLock[] {
  return [...lines.matchAll(LOCK_LINE)].map(([, kind, type, pid, ino, first, last]) => {
    const start = Number(first);
    const length = last === 'EOF' ? 0 : Number(last) - start + 1;
    return {
      kind: kind === 'POSIX' ? 'posix' : 'ofd',
      type: type === 'WRITE' ? 'exclusive' : 'shared',
      range: { start, length },
      pid: Number(pid),
      ino: ino!,
    };
  });
}

/** The POSIX locks of this process on the file behind `fd`; undefined where the system lists none. */
export function posixLocksOfThisProcess(fd: number): ReportedLock[] | undefined {
  // With no lock in the whole system the list is empty, which is an answer too.
  const lines = text('/proc/locks');
  if (lines === undefined) return undefined;
  const ino = String(fstatSync(fd, { bigint: true }).ino);
  return parse(lines).filter(
    lock => lock.kind === 'posix' && lock.pid === process.pid && lock.ino === ino,
  );
}

/** Another device may use the same inode number: compares the descriptors, where permitted. */
function isFile(pid: number, fd: number, { dev, ino }: BigIntStats): boolean {
  try {
    const other = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
    return other.dev === dev && other.ino === ino;
  } catch {
    return true;
  }
}

/** A holder in a message. */
export function holderName({ pid, command }: Partial<LockHolder> = {}): string {
  if (pid === undefined) return 'another process';
  const name = command === undefined ? '' : ` (${command})`;
  return pid === process.pid ? `this process itself${name}` : `process ${pid}${name}`;
}

/** The process id, and the command where it can be read. */
function processOf(pid: number): { readonly pid: number; readonly command?: string } {
  const command = commandOf(pid);
  return command === undefined ? { pid } : { pid, command };
}

/** The command's words up to its first option, since options may hold secrets. */
function commandOf(pid: number): string | undefined {
  const words = (text(`/proc/${pid}/cmdline`) ?? '').split('\0').filter(Boolean);
  const options = words.findIndex((word, at) => at > 0 && word.startsWith('-'));
  const plain = (options < 0 ? words : words.slice(0, options)).slice(0, 3);
  return plain.length === 0 ? undefined : plain.map(word => basename(word)).join(' ');
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // The process has ended, or belongs to another user.
  }
}

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
