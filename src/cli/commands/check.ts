/**
 * `nvtpm check`: what is wrong with an image and the store in it. It writes nothing, unless it is told
 * to repair; then it does what is certain and nothing else.
 * @module
 */
import {
  type BlockNode,
  type CheckResult,
  checkImage,
  ImageError,
  imageInfo,
  repairImage,
  storeTag,
} from '../../block/index.js';
import { withLock } from '../../block/lock.js';
import type { NvtpmError } from '../../errors.js';
import { inspectStore, NvramError, type OpenStoreOptions, repairStore } from '../../nvram/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { type CommonOptions, lookInside, withImage } from '../images.js';
import { describe, type Result } from '../output.js';
import { faultOf } from './info.js';

export interface CheckOptions extends CommonOptions {
  /** An EMPTY image is a fault too. */
  readonly expectExisting: boolean;
  /** Do what is certain: leaks, refcounts, and a store that was cut off. */
  readonly repair: boolean;
  /** Look at an image that somebody else is writing to. */
  readonly forceShare: boolean;
}

export function check(path: string, options: CheckOptions): Result {
  const role = options.repair ? 'writer' : options.forceShare ? 'sharing' : 'reader';
  return withImage(path, role, { ...options, forRepair: true }, image => {
    const { trace, key, lockTimeout } = options;
    const store = { trace, key, entropy, wait: { timeoutMs: lockTimeout } };
    const repairs = options.repair ? repair(image, store) : [];
    const counts = withLock(image, store.wait, checkImage);
    const broken = imageFault(path, counts);
    if (broken !== undefined) return failed(broken, { image: imageData(counts), repairs });

    const found = withLock(image, store.wait, disk => inspectStore(disk, { trace, key }));
    const nvram = { outcome: found.verdict, findings: found.findings, notes: found.notes };
    const data = { image: imageData(counts), nvram, repairs };
    const missing = found.verdict === 'EMPTY' && options.expectExisting;
    const fault = missing
      ? new NvramError('EMPTY', path, ['there is no TPM in it'])
      : faultOf(path, found, lookInside(image, found, options));
    if (fault !== undefined) return failed(fault, data);

    const generation = found.state?.directory.generation;
    const what = generation === undefined ? 'not formatted yet' : `generation ${generation}`;
    const { leaks } = counts;
    const { format } = withLock(image, store.wait, imageInfo);
    return {
      lines: [
        ...repairs.map(each => `repaired: ${each}`),
        `${path}: no fault found (${format}, ${found.verdict}, ${what})`,
        ...(leaks > 0 ? [`warning: ${leaks} leaked clusters; check --repair frees them`] : []),
        ...found.notes.map(note => `note: ${note}`),
      ],
      data,
    };
  });
}

const failed = (fault: NvtpmError, data: Result['data']): Result => ({
  lines: [fault.message],
  data: { ...data, error: describe(fault) },
  outcome: fault.outcome,
});

/** Damage of the image itself. Leaks are none: they only take space. */
function imageFault(path: string, counts: CheckResult): ImageError | undefined {
  const { corruptions, checkErrors, problems } = counts;
  if (corruptions === 0 && checkErrors === 0) return undefined;
  const advice = 'copy what can be read (qemu-img convert), or try check --repair on a copy';
  const sum = `${corruptions} corruptions, ${checkErrors} check errors`;
  return new ImageError('DAMAGED', path, [sum, ...problems.slice(0, 5)], advice);
}

/** The counts, under the names that qemu-img check gives them. */
const imageData = ({ corruptions, leaks, checkErrors }: CheckResult) => ({
  corruptions,
  leaks,
  'check-errors': checkErrors,
});

/**
 * What was done, in words. A fault that cannot be repaired is left for the check to report. Where a
 * store is missing that the header names, leaked clusters may be all that is left of it: nothing is
 * freed then.
 */
function repair(image: BlockNode, options: OpenStoreOptions): string[] {
  const done: string[] = [];
  const isLost = withLock(
    image,
    options.wait,
    disk => storeTag(disk) !== undefined && inspectStore(disk, options).state === undefined,
  );
  if (isLost) return done;
  const { corruptionsFixed, leaksFixed } = withLock(image, options.wait, disk =>
    repairImage(disk, 'all'),
  );
  if (corruptionsFixed > 0) done.push(`${corruptionsFixed} corruptions of the image`);
  if (leaksFixed > 0) done.push(`${leaksFixed} leaked clusters`);
  try {
    const settled = withLock(image, options.wait, disk => repairStore(disk, options));
    if (settled) done.push('a store that was cut off is settled');
  } catch (error) {
    if (!(error instanceof NvramError)) throw error;
  }
  return done;
}
