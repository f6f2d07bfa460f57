/**
 * `nvtpm rekey`: adds, changes or removes the key of a store. `nvtpm restore`: brings an older state
 * back. Neither starts the TPM.
 * @module
 */
import { withLock } from '../../block/index.js';
import { type ActiveStore, openStore } from '../../nvram/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { type CommonOptions, withImage } from '../images.js';
import { readKey } from '../keys.js';
import { type Result, UsageError } from '../output.js';

export interface RekeyOptions extends CommonOptions {
  readonly newKey?: string;
  readonly removeKey: boolean;
}

/** Opens the store as its one active instance, acts on it, and closes it in order. */
function withStore(
  path: string,
  options: CommonOptions,
  act: (store: ActiveStore) => Result,
): Result {
  return withImage(path, 'writer', options, image => {
    const { trace, key, lockTimeout } = options;
    const wait = { timeoutMs: lockTimeout };
    const store = withLock(image, wait, disk =>
      openStore(disk, { trace, entropy, wait, key }).activate(),
    );
    try {
      return act(store);
    } finally {
      store.close();
    }
  });
}

export function rekey(path: string, options: RekeyOptions): Result {
  if ((options.newKey === undefined) !== options.removeKey) {
    throw new UsageError('say either --new-key or --remove-key');
  }
  const file = options.newKey === undefined ? undefined : readKey(options.newKey);
  const key = file?.key;
  return withStore(path, options, store => {
    const { unreachable } = store.rekey(key);
    file?.used();
    const what = key === undefined ? 'is no longer encrypted' : 'is encrypted with the new key';
    return {
      lines: [
        `${path}: ${what} (generation ${store.generation})`,
        ...unreachable.map(
          ({ kind, name }) =>
            `warning: ${kind} ${JSON.stringify(name)} still holds what was stored before the change`,
        ),
      ],
      data: { image: path, sealed: store.encrypted, generation: store.generation, unreachable },
    };
  });
}

export function restore(path: string, options: CommonOptions & { generation: string }): Result {
  const generation = Number(options.generation);
  if (!Number.isSafeInteger(generation) || generation < 1) {
    throw new UsageError(`${options.generation} is not a generation; nvtpm info lists them`);
  }
  return withStore(path, options, store => {
    store.restore(generation);
    return {
      lines: [`${path}: generation ${generation} is back, as generation ${store.generation}`],
      data: { image: path, restored: generation, generation: store.generation },
    };
  });
}
