/**
 * `nvtpm create`: an image with a formatted store, or the store in an empty image that is there.
 * @module
 */
import { existsSync, rmSync } from 'node:fs';
import { createQcow2 } from '../../block/index.js';
import { formatStore, inspectStore, KEEP_MAX } from '../../nvram/index.js';
import { type CommonOptions, entropy, withImage } from '../images.js';
import { parseSize, type Result, size, toHex, UsageError } from '../output.js';

export interface CreateOptions extends CommonOptions {
  readonly size?: string;
  readonly maxBlob?: string;
  readonly keep?: string;
}

/** What `create` makes unless told otherwise: sparse, so that it takes about 1.4 MiB. */
const SIZE_DEFAULT = '64M';

export function create(path: string, options: CreateOptions): Result {
  const virtualSize = parseSize(options.size ?? SIZE_DEFAULT);
  const made = !existsSync(path);
  if (made) createQcow2(path, { size: virtualSize });
  try {
    return format(path, made, options);
  } catch (error) {
    // An image without its store is of no use, so none is left behind.
    if (made) rmSync(path, { force: true });
    throw error;
  }
}

function format(path: string, made: boolean, options: CreateOptions): Result {
  return withImage(path, 'writer', options, image => {
    const { trace, key, lockTimeout, maxBlob } = options;
    formatStore(image, {
      entropy,
      trace,
      wait: { timeoutMs: lockTimeout },
      keep: keepOf(options.keep ?? '0'),
      ...(maxBlob === undefined ? {} : { blobLimit: parseSize(maxBlob) }),
      ...(key === undefined ? {} : { key }),
    });
    const uuid = toHex(inspectStore(image).state!.directory.uuid);
    const what = made ? `made, ${size(image.length)}` : 'formatted';
    const sealed = key === undefined ? '' : 'sealed, ';
    return {
      lines: [`${path}: ${what}, with an empty NVRAM store (${sealed}uuid ${uuid})`],
      data: { image: path, made, virtualSize: image.length, uuid, sealed: key !== undefined },
    };
  });
}

function keepOf(text: string): number {
  const keep = Number(text);
  if (Number.isInteger(keep) && keep >= 0 && keep <= KEEP_MAX) return keep;
  throw new UsageError(`${text} is not a number of states to keep; it is 0 to ${KEEP_MAX}`);
}
