/**
 * `nvtpm check`: what is wrong with an image and the store in it. It writes only with `--repair`, and
 * repairs only what is certain.
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
import {
  type Inspection,
  inspectStore,
  NvramError,
  type OpenStoreOptions,
  repairStore,
} from '../../nvram/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { withImage } from '../images.js';
import { faultOf, lookInside } from '../inside.js';
import { flag } from '../options.js';
import { describe, type Paint, type Result } from '../output.js';
import { subcommand } from '../subcommand.js';

export const check = subcommand({
  name: 'check',
  summary: 'find what is wrong with an image; the exit code is the kind of fault',
  arguments: { '<file>': 'the image' },
  // biome-ignore format: table
  options: {
    expectExisting: flag('--expect-existing', 'an image without a TPM is a fault'),
    repair:         flag('--repair', 'repair what is certain: leaks, refcounts, an interrupted store'),
    forceShare:     flag('-U, --force-share', 'read it although another process writes to it'),
  },
  key: 'verifies, or repairs, an encrypted store',
  isOnImage: true,
  example: 'nvtpm check tpm.qcow2 --expect-existing',
  run: ({ file, options, common, printer: { paint } }) => {
    const role = options.repair ? 'writer' : options.forceShare ? 'sharing' : 'reader';
    return withImage(file, role, { ...common, forRepair: true }, image => {
      const { trace, key, lockTimeout } = common;
      const store = { trace, key, entropy, wait: { timeoutMs: lockTimeout } };
      const repairs = options.repair ? repair(image, store) : [];
      const counts = withLock(image, store.wait, checkImage);
      const broken = imageFault(file, counts);
      if (broken !== undefined) return failed(broken, { image: imageData(counts), repairs }, paint);

      const found = withLock(image, store.wait, disk => inspectStore(disk, { trace, key }));
      const nvram = { outcome: found.verdict, findings: found.findings, notes: found.notes };
      const data = { image: imageData(counts), nvram, repairs };
      const missing = found.verdict === 'EMPTY' && options.expectExisting;
      const fault = missing
        ? new NvramError('EMPTY', file, ['there is no TPM in it'])
        : faultOf(file, found, lookInside(image, found, common));
      if (fault !== undefined) return failed(fault, data, paint);
      const { format } = withLock(image, store.wait, imageInfo);
      return { lines: soundLines(file, format, counts, found, repairs, paint), data };
    });
  },
});

function soundLines(
  file: string,
  format: string,
  { leaks }: CheckResult,
  { verdict, state, notes }: Inspection,
  repairs: readonly string[],
  paint: Paint,
): string[] {
  const generation = state?.directory.generation;
  const what = generation === undefined ? 'not formatted yet' : `generation ${generation}`;
  const leaked = `${leaks} leaked ${leaks === 1 ? 'cluster' : 'clusters'}; check --repair frees them`;
  return [
    ...repairs.map(each => `repaired: ${each}`),
    `${file}: ${paint.green('no fault found')} (${format}, ${verdict}, ${what})`,
    ...(leaks > 0 ? [`${paint.yellow('warning:')} ${leaked}`] : []),
    ...notes.map(note => `${paint.yellow('note:')} ${note}`),
  ];
}

const failed = (fault: NvtpmError, data: Result['data'], paint: Paint): Result => ({
  lines: [`${paint.red('fault:')} ${fault.message}`],
  data: { ...data, error: describe(fault) },
  outcome: fault.outcome,
});

/** Damage of the image itself. Leaks do not count: they only take space. */
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
 * The repairs made, in words. A fault that cannot be repaired is left for the check to report. Where a
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
    if (settled) done.push('an interrupted store');
  } catch (error) {
    if (!(error instanceof NvramError)) throw error;
  }
  return done;
}
