/**
 * `nvtpm create`: an image with a formatted store, or the store in an empty image that is there.
 * @module
 */
import { existsSync, rmSync } from 'node:fs';
import { createQcow2 } from '../../block/index.js';
import { formatStore, inspectStore } from '../../nvram/index.js';
import { type CommonOptions, entropy, withImage } from '../images.js';
import { parseSize, type Result, size, toHex } from '../output.js';

export interface CreateOptions extends CommonOptions {
  readonly size?: string;
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
  return withImage(path, { readOnly: false, trace: options.trace }, image => {
    const wait = { timeoutMs: options.lockTimeout };
    formatStore(image, { entropy, trace: options.trace, wait });
    const uuid = toHex(inspectStore(image).state!.directory.uuid);
    const what = made ? `made, ${size(image.length)}` : 'formatted';
    return {
      lines: [`${path}: ${what}, with an empty NVRAM store (uuid ${uuid})`],
      data: { image: path, made, virtualSize: image.length, uuid },
    };
  });
}
