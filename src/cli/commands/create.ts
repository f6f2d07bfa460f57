/**
 * `nvtpm create`: an image with a formatted store, or the store in an empty image that exists.
 * @module
 */
import { existsSync } from 'node:fs';
import {
  type BlockNode,
  createImage,
  type FormatQcow2Options,
  ImageError,
  type LockedNode,
  withLock,
} from '../../block/index.js';
import {
  AREA_BYTES_MIN,
  BLOB_BYTES_MAX,
  type FormatOptions,
  formatStore,
  HISTORY_LENGTH_MAX,
  inspectStore,
  NvramError,
} from '../../nvram/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { LIMITS } from '../../tpm/tpm12/limits.js';
import { fieldsOf } from '../fields.js';
import { withImage } from '../images.js';
import { value, valueOr } from '../options.js';
import { UsageError } from '../output.js';
import { subcommand } from '../subcommand.js';
import { oneOf, parseSize, sizeText, toHex, wholeNumber } from '../values.js';

/** The size of a new image: sparse, so that it takes about 1.4 MiB. */
const SIZE_DEFAULT = 64 * 2 ** 20;
/** Where a smaller limit would let a TPM fill its store, and fail. */
const BLOB_BYTES_MIN = Math.max(LIMITS.permanentBytes, LIMITS.savedBytes);

export const create = subcommand({
  name: 'create',
  summary: 'make a qcow2 image with an NVRAM store, or format an empty image',
  arguments: { '<file>': 'the image' },
  // biome-ignore format: table
  options: {
    size:    value('--size <size>', 'the virtual size of a new image (default: 64M)', sizeOf),
    o:       value('-o <options>', 'options of a new image, as for qemu-img: cluster_size, refcount_bits, compat, …', imageOptions),
    maxBlob: value('--max-blob <size>', 'the most bytes that one blob may have (default: 256k)', maxBlobOf),
    keep:    valueOr('--keep <n>', 'how many replaced states are kept for nvtpm restore; a start that replaces no blob keeps none', '0', wholeNumber('a number of states', 0, HISTORY_LENGTH_MAX)),
  },
  key: 'encrypts the store',
  isOnImage: true,
  example: 'nvtpm create tpm.qcow2 --keep 8 --key pwdfile=password',
  run: ({ file, options, common }) => {
    const { trace, key, imageLock, lockTimeout } = common;
    const { maxBlob } = options;
    const store = { entropy, trace, key, historyLength: options.keep };
    const limited = maxBlob === undefined ? store : { ...store, blobLimit: maxBlob };
    const act = (image: BlockNode) =>
      withLock(image, { timeoutMs: lockTimeout }, disk => format(disk, limited));
    const made = !existsSync(file);
    if (!made) demandNewImage(file, options);
    const like = { size: options.size ?? SIZE_DEFAULT, ...options.o };
    const { uuid, virtualSize } = made
      ? asNewImage(() => createImage(file, { ...like, imageLock, trace }, act))
      : withImage(file, 'writer', common, act);
    const what = made ? `made, ${sizeText(virtualSize)}` : 'formatted';
    const encrypted = key === undefined ? '' : 'encrypted, ';
    return {
      lines: [`${file}: ${what}, with an empty NVRAM store (${encrypted}uuid ${uuid})`],
      data: { image: file, made, virtualSize, uuid, sealed: key !== undefined },
    };
  },
});

function format(disk: LockedNode, options: FormatOptions): { uuid: string; virtualSize: number } {
  formatStore(disk, options);
  const { state } = inspectStore(disk);
  if (state === undefined) throw new NvramError('CORRUPT', disk.path, ['the new store is gone']);
  return { uuid: toHex(state.directory.uuid), virtualSize: disk.length };
}

/** What no new image can be like is an error of its options. @throws UsageError */
function asNewImage<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ImageError && error.code === 'UNSUPPORTED')) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** Options of a new image say nothing about one that exists. @throws UsageError */
function demandNewImage(
  file: string,
  { size, o }: { readonly size: unknown; readonly o: unknown },
): void {
  const names = [...(size === undefined ? [] : ['--size']), ...(o === undefined ? [] : ['-o'])];
  if (names.length === 0) return;
  const verb = names.length > 1 ? 'are' : 'is';
  throw new UsageError(
    `${file} exists: ${names.join(' and ')} ${verb} for new images; leave ${names.join(' and ')} out, or name another file`,
  );
}

function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= AREA_BYTES_MIN) return bytes;
  throw new UsageError(`a store needs ${sizeText(AREA_BYTES_MIN)} at least`);
}

function maxBlobOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= BLOB_BYTES_MIN && bytes <= BLOB_BYTES_MAX) return bytes;
  const [min, max] = [sizeText(BLOB_BYTES_MIN), sizeText(BLOB_BYTES_MAX)];
  throw new UsageError(`the state of a TPM needs up to ${min}; expected ${min} to ${max}`);
}

/** What qemu-img's `-o` can say of a new image. */
type ImageOptions = Partial<FormatQcow2Options>;

// biome-ignore format: table
const IMAGE_OPTIONS: Readonly<Record<string, (text: string) => ImageOptions>> = {
  cluster_size:   text => ({ clusterBits: clusterBitsOf(text) }),
  refcount_bits:  text => ({ refcountBits: Number(oneOf(['1', '2', '4', '8', '16', '32', '64'])(text)) }),
  compat:         text => ({ version: ['0.10', 'v2'].includes(oneOf(['0.10', 'v2', '1.1', 'v3'])(text)) ? 2 : 3 }),
  lazy_refcounts: text => ({ lazyRefcounts: oneOf(['on', 'off'])(text) === 'on' }),
  preallocation:  text => ({ preallocation: oneOf(['off', 'metadata', 'falloc', 'full'])(text) }),
};

/** @throws UsageError */
function imageOptions(text: string): ImageOptions {
  return Object.assign(
    {},
    ...fieldsOf(text).map(([name, setting]) => {
      const read = Object.hasOwn(IMAGE_OPTIONS, name) ? IMAGE_OPTIONS[name] : undefined;
      if (read !== undefined) return inField(name, () => read(setting));
      throw new UsageError(`expected one of ${Object.keys(IMAGE_OPTIONS).join(', ')}`);
    }),
  );
}

function inField<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`${name}: ${error.message}`) : error;
  }
}

function clusterBitsOf(text: string): number {
  const bits = Math.log2(parseSize(text));
  if (Number.isInteger(bits) && bits >= 9 && bits <= 21) return bits;
  throw new UsageError('expected a power of two, 512 to 2M');
}
