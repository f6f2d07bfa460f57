/**
 * Who holds a lock. F_GETLK names the process of a POSIX lock; a lock of an open file description
 * has pid -1 there and in /proc/locks, but each /proc/PID/fdinfo/FD of its owner has a `lock:` line
 * (proc(5)). Everything here is best effort: what cannot be read is not told.
 * @module
 */
import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { LockHolder, LockRange, LockType } from './lock.js';

interface Found {
  readonly type: LockType;
  readonly range: LockRange;
  /** As F_GETLK gave it: -1 (or 0, from another pid namespace) where it does not know. */
  readonly pid: number;
}

/** What F_GETLK found, with the process id and the command where the system tells. */
export function findHolder(fd: number, { type, range, pid }: Found): LockHolder {
  const owner = pid > 0 ? pid : ownerOf(fd, type, range);
  if (owner === undefined) return { type, range };
  const command = commandOf(owner);
  return { type, range, pid: owner, ...(command === undefined ? {} : { command }) };
}

/** A process that has such a lock on the file behind `fd` in one of its descriptors. */
function ownerOf(fd: number, type: LockType, range: LockRange): number | undefined {
  const { ino } = fstatSync(fd, { bigint: true });
  const wanted = new RegExp(
    `^lock:.*(OFDLCK|POSIX).*${type === 'exclusive' ? 'WRITE' : 'READ'}.*:${ino} ${range.start} `,
    'm',
  );
  for (const pid of list('/proc').filter(name => /^\d+$/.test(name))) {
    for (const other of list(`/proc/${pid}/fdinfo`)) {
      if (Number(pid) === process.pid && Number(other) === fd) continue;
      if (wanted.test(text(`/proc/${pid}/fdinfo/${other}`))) return Number(pid);
    }
  }
  return undefined;
}

/** The command's words up to its first option: options may hold what is not for an error message. */
function commandOf(pid: number): string | undefined {
  const words = text(`/proc/${pid}/cmdline`).split('\0').filter(Boolean);
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

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
