/**
 * The image guard: the bytes that QEMU locks in an image file for as long as it is open
 * (block/file-posix.c since 2.10). For permission n, a holder that uses it locks byte 100+n, and one
 * that does not share it byte 200+n, all as shared locks of one byte. Held from activation to
 * power-off, on the descriptor of the image, beside the short lock of bdrv_lock, whose range then
 * begins behind these bytes: taking or releasing one of the two never touches the other.
 * @module
 */
import assert from 'node:assert/strict';
import { holderName } from '../lock/holders.js';
import {
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
  type LockWait,
  WHOLE_FILE,
} from '../lock/lock.js';
import { overlap, sameRange } from '../lock/range.js';
import { retry } from '../lock/wait.js';
import { FileNode } from './file.js';
import type { FileLocks } from './file-locks.js';
import type { BlockNode } from './node.js';

/** QEMU's permissions by number, as far as they matter for an image file. */
// biome-ignore format: table
const PERMISSIONS = {
  'consistent read': { n: 0, verb: 'read from it' },
  'write':           { n: 1, verb: 'write to it' },
  'resize':          { n: 3, verb: 'resize it' },
} as const;
type Permission = keyof typeof PERMISSIONS;

interface Needs {
  readonly uses: readonly Permission[];
  readonly denies: readonly Permission[];
}

/** What each user of an image needs, as QEMU's own tools do. */
// biome-ignore format: table
export const GUARD_ROLES = {
  /** An active TPM; QEMU with the image open for writing: bytes 100 101 103 201 203. */
  writer:   { uses: ['consistent read', 'write', 'resize'], denies: ['write', 'resize'] },
  /** Reads the disk, which must not change meanwhile; qemu-img check: 100 201 203. */
  reader:   { uses: ['consistent read'],                    denies: ['write', 'resize'] },
  /** Looks at metadata only; qemu-img info: 201 203. */
  probe:    { uses: [],                                     denies: ['write', 'resize'] },
  /** Reads beside a writer, at its own risk; --force-share, qemu-img -U: 100. */
  sharing:  { uses: ['consistent read'],                    denies: [] },
  /** Waits for a migration beside the source: no byte, only the range of the cycle lock. */
  incoming: { uses: [],                                     denies: [] },
} as const satisfies Record<string, Needs>;
/** What a process does with an image, and so which bytes it locks (docs/locking.md). */
export type GuardRole = keyof typeof GUARD_ROLES;

/** on: always; auto: where locks of the open file description exist, as QEMU does; off: never. */
export type GuardMode = 'on' | 'off' | 'auto';

const USES = 100;
const DENIES = 200;
const ALL = Object.keys(PERMISSIONS) as Permission[];
const byteOf = (base: number, permission: Permission): number => base + PERMISSIONS[permission].n;
const oneByte = (start: number): LockRange => ({ start, length: 1 });

/** The bytes that a role holds. */
export const guardBytes = (role: GuardRole): number[] => {
  const { uses, denies }: Needs = GUARD_ROLES[role];
  return [...uses.map(each => byteOf(USES, each)), ...denies.map(each => byteOf(DENIES, each))];
};

/** The bytes that no other holder may have: those that deny what is used, and use what is denied. */
const forbiddenBytes = (role: GuardRole): number[] => {
  const { uses, denies }: Needs = GUARD_ROLES[role];
  return [...uses.map(each => byteOf(DENIES, each)), ...denies.map(each => byteOf(USES, each))];
};

/** What holding a byte means, for a refusal. */
const MEANING = new Map<number, string>(
  ALL.flatMap(each => [
    [byteOf(USES, each), `may ${PERMISSIONS[each].verb}`],
    [byteOf(DENIES, each), `lets no other process ${PERMISSIONS[each].verb}`],
  ]),
);
const GUARD_BYTES = [...MEANING.keys()];

/** Where the lock of bdrv_lock lies while a guard is in use: clear of QEMU's bytes and libvirt's. */
export const CYCLE_RANGE: LockRange = { start: 300, length: 0 };
assert(!GUARD_BYTES.some(byte => overlap(oneByte(byte), CYCLE_RANGE)), 'the two tiers overlap');

/** The image guard, held from takeGuard to release. */
export interface Guard {
  readonly role: GuardRole;
  /** The bytes that are held: none where the mode is off, or auto on another flavour than OFD. */
  readonly bytes: readonly number[];
  /** Idempotent. The image's bdrv_lock must not be held; its range is the whole file again. */
  release(): void;
  /** The same as release(). */
  [Symbol.dispose](): void;
}

/**
 * Takes the guard of the image that `node` stands on, before anything is read from it that matters.
 * @param wait how long to try; by default once, as QEMU does
 * @throws LockError LOCKED (naming the holder and what it does), ENOMEDIUM, EINVAL, ABORTED;
 *   ENOTSUP with mode 'on', where the guard cannot be had
 */
export function takeGuard(
  node: BlockNode,
  role: GuardRole,
  mode: GuardMode = 'auto',
  wait: LockWait = { timeoutMs: 0 },
): Guard {
  if (mode === 'off') return guardOf(role, [], () => {});
  const locks = locksBelow(node);
  if (locks === undefined || locks.flavour === 'win32') {
    if (mode === 'auto') return guardOf(role, [], () => {});
    const why = 'a guard needs an image file, and fcntl locks on it; use --image-lock auto';
    throw new LockError('ENOTSUP', node.path, `${node.path}: ${why}`);
  }
  if (mode === 'auto' && locks.flavour !== 'ofd') return guardOf(role, [], () => {});
  const guarded = !sameRange(locks.range, WHOLE_FILE);
  if (guarded || (role === 'writer' && node.readOnly)) {
    const why = guarded ? 'it has a guard already' : 'it is open read-only';
    throw new LockError('EINVAL', node.path, `${node.path}: no guard as ${role}: ${why}`);
  }
  const bytes = guardBytes(role);
  let conflict: Conflict | undefined;
  retry(node.path, wait, () => {
    conflict = tryTake(locks, role);
    return conflict === undefined ? true : undefined;
  });
  if (conflict !== undefined) throw refused(node.path, role, conflict);
  locks.range = CYCLE_RANGE;
  return guardOf(role, bytes, () => {
    locks.range = WHOLE_FILE;
    // Closing the file has released them already.
    if (locks.open) giveBack(locks, bytes);
  });
}

function guardOf(role: GuardRole, bytes: readonly number[], giveBack: () => void): Guard {
  let released = false;
  const release = (): void => {
    if (released) return;
    giveBack();
    released = true;
  };
  return { role, bytes, release, [Symbol.dispose]: release };
}

interface Conflict {
  readonly byte: number;
  readonly holder: LockHolder | undefined;
}

/**
 * Locks first, then tests whether another holder has a conflicting byte: of two processes that start
 * at once both may fail, but never both succeed.
 */
function tryTake(locks: FileLocks, role: GuardRole): Conflict | undefined {
  const { driver, fd } = locks;
  const taken: number[] = [];
  let conflict: Conflict | undefined;
  for (const byte of guardBytes(role)) {
    if (driver.tryLock(fd, 'shared', oneByte(byte))) taken.push(byte);
    else conflict ??= { byte, holder: driver.holder(fd, 'shared', oneByte(byte)) };
  }
  for (const byte of conflict === undefined ? forbiddenBytes(role) : []) {
    const holder = driver.holder(fd, 'exclusive', oneByte(byte));
    if (holder !== undefined) conflict ??= { byte, holder };
  }
  if (conflict !== undefined) giveBack(locks, taken);
  return conflict;
}

function giveBack({ driver, fd }: FileLocks, bytes: readonly number[]): void {
  for (const byte of bytes) driver.unlock(fd, oneByte(byte));
}

function refused(path: string, role: GuardRole, { byte, holder }: Conflict): LockError {
  // A lock over all of these bytes is not the guard of any role.
  const whole = holder?.type === 'exclusive' || holder?.range.length === 0;
  const does = whole ? 'has locked the whole file' : `${MEANING.get(byte)} (lock byte ${byte})`;
  const advice =
    role === 'writer'
      ? 'stop that machine or tool, then try again'
      : 'try again when it is done, or inspect the image anyway with --force-share';
  return new LockError(
    'LOCKED',
    path,
    `${path} is in use: ${holderName(holder)} ${does}; ${advice}`,
    { holder },
  );
}

/** The locks of the file at the bottom of the chain, if there is a file. */
function locksBelow(node: BlockNode): FileLocks | undefined {
  let at: BlockNode | undefined = node;
  while (at.file !== undefined) at = at.file;
  return at instanceof FileNode ? at.locks : undefined;
}

/** Another process that has locks on an image. */
export interface ImageHolder {
  /** The process and its command, where the system tells. */
  readonly pid?: number;
  readonly command?: string;
  /** The bytes of the guard that it holds, and the role that holds just these. */
  readonly bytes: readonly number[];
  readonly role?: GuardRole;
  /** Its lock on the rest of the file, as bdrv_lock takes it. */
  readonly cycle?: LockType;
}

/** Locks of other descriptors on the image that `node` stands on, by process. */
export function imageHolders(node: BlockNode): readonly ImageHolder[] {
  const locks = locksBelow(node);
  if (locks === undefined) return [];
  const byProcess = new Map<number | undefined, LockHolder[]>();
  for (const held of locks.driver.holders(locks.fd, WHOLE_FILE)) {
    byProcess.set(held.pid, [...(byProcess.get(held.pid) ?? []), held]);
  }
  return [...byProcess.values()].map(describe);
}

function describe(of: readonly LockHolder[]): ImageHolder {
  const holds = (range: LockRange) => of.filter(lock => overlap(lock.range, range));
  const cycle = holds(CYCLE_RANGE).find(lock => lock.type === 'exclusive') ?? holds(CYCLE_RANGE)[0];
  const guards = of.filter(lock => !overlap(lock.range, CYCLE_RANGE));
  const bytes = GUARD_BYTES.filter(byte => guards.some(lock => overlap(lock.range, oneByte(byte))));
  bytes.sort((a, b) => a - b);
  const roles = Object.keys(GUARD_ROLES) as GuardRole[];
  const role = roles.find(each => bytes.length > 0 && guardBytes(each).join() === bytes.join());
  const { pid, command } = of[0]!;
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(command === undefined ? {} : { command }),
    bytes,
    ...(role === undefined ? {} : { role }),
    ...(cycle === undefined ? {} : { cycle: cycle.type }),
  };
}
