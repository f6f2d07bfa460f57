/**
 * The image of the demonstration: made by the real qemu-img where that is installed.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, renameSync, rmSync, type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { createQcow2, withLock } from '../../block/index.js';
import { IoError, NvtpmError } from '../../errors.js';
import { inspectStore } from '../../nvram/index.js';
import { StateError } from '../../tpm/engine.js';
import { noTrace } from '../../trace.js';
import { withImage } from '../images.js';
import { isStoredOnly, lookInside } from '../inside.js';
import { UsageError } from '../output.js';
import { NV_INDEX } from './guest.js';

const SIZE = 64 * 2 ** 20;

/**
 * Makes the image, in place of an earlier one if `force` allows it. The earlier one is replaced once
 * the new one is complete, and only if it holds nothing but a demonstration.
 * @returns what made it
 * @throws UsageError, IoError
 */
export function makeImage(path: string, force: boolean): string {
  const file = existing(path);
  if (file === undefined) return make(path);
  if (!force) {
    throw new UsageError(`${path} exists; name another --image, or replace it with --force`);
  }
  demandReplaceable(path, file);
  const fresh = `${path}.${process.pid}.new`;
  const maker = make(fresh);
  try {
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw new IoError('replace', path, error);
  }
  return maker;
}

function existing(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new IoError('use', path, error);
  }
}

/**
 * A TPM that has an owner cannot be made again: only the demonstration's own is replaced.
 * @throws UsageError, LockError LOCKED
 */
function demandReplaceable(path: string, file: Stats): void {
  const refuse = (why: string, cause?: unknown): never => {
    throw new UsageError(
      `${path}: ${why}, so --force does not replace it; name another --image, or delete it`,
      { cause },
    );
  };
  if (!file.isFile()) refuse('it is not a regular file');
  const common = {
    trace: noTrace,
    lockTimeout: 0,
    imageLock: 'auto',
    allowBacking: false,
  } as const;
  try {
    withImage(path, 'writer', common, image => {
      const found = withLock(image, undefined, disk => inspectStore(disk));
      if (found.verdict === 'EMPTY') return;
      const tpm = lookInside(image, found, common);
      const isKnown = tpm !== undefined && !(tpm instanceof StateError);
      if (!isKnown) refuse('the state in it cannot be read');
      else if (isStoredOnly(tpm)) refuse(`it holds a TPM ${tpm.version}`);
      else if (tpm.owned && !tpm.nvIndices.includes(NV_INDEX)) refuse('its TPM has another owner');
    });
  } catch (error) {
    if (!(error instanceof NvtpmError) || error instanceof UsageError) throw error;
    if (error.outcome !== 'IMAGE') throw error;
    refuse('it is not an image that can be read', error);
  }
}

/** Makes a new file. @returns what made it @throws IoError */
function make(path: string): string {
  const { stdout, error } = spawnSync('qemu-img', ['--version'], { encoding: 'utf8' });
  if (error !== undefined) {
    createQcow2(path, { size: SIZE });
    return 'nvtpm create';
  }
  touch(path);
  // A full path, as qemu-img takes what is in front of a colon for a protocol.
  const args = ['create', '-q', '-f', 'qcow2', resolve(path), String(SIZE)];
  const { status, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
  if (status === 0) return (stdout.split('\n', 1)[0] ?? '').replace(/ *\(.*/, '');
  rmSync(path, { force: true });
  throw new IoError('create', path, new Error(stderr.trim() || 'qemu-img failed'));
}

/** A new file that only this user can read: qemu-img keeps the mode of a file that exists. */
function touch(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    throw new IoError('create', path, error);
  }
}
