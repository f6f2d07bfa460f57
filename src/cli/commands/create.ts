/**
 * `nvtpm create`: an image with a formatted store, or the store in an empty image that is there.
 * @module
 */
import { existsSync } from 'node:fs';
import {
  type BlockNode,
  createImage,
  type FormatQcow2Options,
  withLock,
} from '../../block/index.js';
import {
  BLOB_BYTES_MAX,
  formatStore,
  HISTORY_LENGTH_MAX,
  inspectStore,
} from '../../nvram/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { type CommonOptions, withImage } from '../images.js';
import { parseSize, type Result, size, toHex, UsageError } from '../output.js';

export interface CreateOptions extends CommonOptions {
  readonly size?: string;
  /** `cluster_size=64k,refcount_bits=16,…`: what a new image is like. */
  readonly o?: string;
  readonly maxBlob?: string;
  readonly keep?: string;
}

/** What `create` makes unless told otherwise: sparse, so that it takes about 1.4 MiB. */
const SIZE_DEFAULT = '64M';

export function create(path: string, options: CreateOptions): Result {
  const { trace, key, imageLock, lockTimeout } = options;
  const like = { size: parseSize(options.size ?? SIZE_DEFAULT), ...imageOptions(options.o ?? '') };
  const store = {
    entropy,
    trace,
    key,
    historyLength: keepOf(options.keep ?? '0'),
    ...(options.maxBlob === undefined ? {} : { blobLimit: maxBlobOf(options.maxBlob) }),
  };
  const format = (image: BlockNode) =>
    withLock(image, { timeoutMs: lockTimeout }, disk => {
      formatStore(disk, store);
      return { uuid: toHex(inspectStore(disk).state!.directory.uuid), virtualSize: disk.length };
    });
  const made = !existsSync(path);
  const { uuid, virtualSize } = made
    ? createImage(path, { ...like, imageLock, trace }, format)
    : withImage(path, 'writer', options, format);
  const what = made ? `made, ${size(virtualSize)}` : 'formatted';
  const sealed = key === undefined ? '' : 'encrypted, ';
  return {
    lines: [`${path}: ${what}, with an empty NVRAM store (${sealed}uuid ${uuid})`],
    data: { image: path, made, virtualSize, uuid, sealed: key !== undefined },
  };
}

/** What qemu-img's `-o` can say of a new image, and what it means here. */
// biome-ignore format: table
const IMAGE_OPTIONS: Readonly<Record<string, (value: string) => Partial<FormatQcow2Options> | undefined>> = {
  cluster_size:   value => ({ clusterBits: Math.log2(parseSize(value)) }),
  refcount_bits:  value => ({ refcountBits: Number(value) }),
  compat:         value => COMPATS.get(value),
  lazy_refcounts: value => (['on', 'off'].includes(value) ? { lazyRefcounts: value === 'on' } : undefined),
  preallocation:  value => PREALLOCATIONS.filter(mode => mode === value).map(preallocation => ({ preallocation }))[0],
};
const PREALLOCATIONS = ['off', 'metadata', 'falloc', 'full'] as const;
const COMPATS = new Map<string, { readonly version: 2 | 3 }>([
  ['0.10', { version: 2 }],
  ['v2', { version: 2 }],
  ['1.1', { version: 3 }],
  ['v3', { version: 3 }],
]);

function imageOptions(text: string): Partial<FormatQcow2Options> {
  const parts = text === '' ? [] : text.split(',');
  return Object.assign(
    {},
    ...parts.map(part => {
      const [name = '', value = ''] = part.split('=', 2);
      const option = Object.hasOwn(IMAGE_OPTIONS, name) ? IMAGE_OPTIONS[name]!(value) : undefined;
      if (option !== undefined) return option;
      const known = Object.keys(IMAGE_OPTIONS).join(', ');
      throw new UsageError(`-o ${part} makes no sense; known are ${known}`);
    }),
  );
}

function maxBlobOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= 1 && bytes <= BLOB_BYTES_MAX) return bytes;
  throw new UsageError(`${text} is not a size for blobs; it is 1 to ${size(BLOB_BYTES_MAX)}`);
}

function keepOf(text: string): number {
  const keep = Number(text);
  if (Number.isInteger(keep) && keep >= 0 && keep <= HISTORY_LENGTH_MAX) return keep;
  throw new UsageError(
    `${text} is not a number of states to keep; it is 0 to ${HISTORY_LENGTH_MAX}`,
  );
}
