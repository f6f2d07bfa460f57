/**
 * Who holds a lock. F_GETLK names the process of a POSIX lock; a lock of an open file description
 * has pid -1 there and in /proc/locks, but each /proc/PID/fdinfo/FD of its owner has a `lock:` line
 * (proc(5)). Everything here is best effort: what cannot be read is not told.
 * @module
 */
import { type BigIntStats, fstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { LockHolder, LockRange, LockType } from './lock.js';
import { sameRange } from './range.js';

interface Found {
  readonly type: LockType;
  readonly range: LockRange;
  /** As F_GETLK gave it: -1 (or 0, from another pid namespace) where it does not know. */
  readonly pid: number;
}

/** A line of /proc/locks or of an fdinfo. */
interface Listed extends Found {
  readonly kind: 'posix' | 'ofd';
  readonly ino: string;
}

/** What F_GETLK found, with the process id and the command where the system tells. */
export function findHolder(fd: number, { type, range, pid }: Found): LockHolder {
  if (pid > 0) return { type, range, ...processOf(pid) };
  for (const seen of locksOn(fd)) {
    if (seen.type === type && sameRange(seen.range, range))
      return { type, range, ...processOf(seen.pid) };
  }
  return { type, range };
}

/** All locks on the file behind `fd` that processes show us, except those of `fd` itself. */
export function* locksOn(fd: number): Generator<Found> {
  const file = fstatSync(fd, { bigint: true });
  for (const name of list('/proc').filter(each => /^\d+$/.test(each))) {
    const pid = Number(name);
    for (const other of list(`/proc/${pid}/fdinfo`).map(Number)) {
      if (pid === process.pid && other === fd) continue;
      const listed = parse(text(`/proc/${pid}/fdinfo/${other}`));
      const locks = listed.filter(({ ino }) => ino === String(file.ino));
      if (locks.length === 0 || !isFile(pid, other, file)) continue;
      for (const { type, range } of locks) yield { type, range, pid };
    }
  }
}

// For example `1: OFDLCK  ADVISORY  READ -1 fe:00:4711 100 101`, the last byte included. In fdinfo
// the word `lock:` goes before it; lines with `->` are of who waits.
const LOCK_LINE =
  /^(?:lock:\s+)?\d+: (OFDLCK|POSIX)\s+\w+\s+(READ|WRITE) (\S+) \w+:\w+:(\d+) (\d+) (\d+|EOF)$/gm;

function parse(lines = ''): Listed[] {
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

/** The POSIX locks on the file behind `fd` that the system counts as ours; undefined if it does not tell. */
export function posixLocksOfThisProcess(fd: number): Found[] | undefined {
  // With no lock in the whole system the list is empty, which is an answer too.
  const lines = text('/proc/locks');
  if (lines === undefined) return undefined;
  const ino = String(fstatSync(fd, { bigint: true }).ino);
  return parse(lines).filter(
    lock => lock.kind === 'posix' && lock.pid === process.pid && lock.ino === ino,
  );
}

/** The same inode number may be used on another device: looks at the descriptor, where it may. */
function isFile(pid: number, fd: number, { dev, ino }: BigIntStats): boolean {
  try {
    const other = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
    return other.dev === dev && other.ino === ino;
  } catch {
    return true;
  }
}

/** The process id, and the command where it can be read. */
export function processOf(pid: number): { readonly pid: number; readonly command?: string } {
  const command = commandOf(pid);
  return command === undefined ? { pid } : { pid, command };
}

/** The command's words up to its first option: options may hold what is not for an error message. */
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
    return []; // The process is gone or belongs to somebody else.
  }
}

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
