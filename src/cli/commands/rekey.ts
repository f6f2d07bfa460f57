/**
 * `nvtpm rekey`: adds, changes or removes the key that encrypts a store, without starting the TPM.
 * @module
 */
import { withLock } from '../../block/index.js';
import { inspectStore, type Key } from '../../nvram/index.js';
import { type CommonOptions, withActiveStore, withImage } from '../images.js';
import { readKey } from '../key-file.js';
import { flag, value } from '../options.js';
import { type Result, UsageError } from '../output.js';
import { KEY_FORM, subcommand } from '../subcommand.js';

export const rekey = subcommand({
  name: 'rekey',
  summary: 'add, change or remove the key that encrypts the state',
  arguments: { '<file>': 'the image' },
  options: {
    newKey: value('--new-key <key>', `the new key: ${KEY_FORM}`, text => text),
    removeKey: flag('--remove-key', 'decrypt the state'),
  },
  key: 'the current key',
  isOnImage: true,
  example: 'nvtpm rekey tpm.qcow2 --key pwdfile=old --new-key pwdfile=new',
  run: ({ file, options, common, printer }) => {
    if ((options.newKey === undefined) !== options.removeKey) {
      throw new UsageError('expected either --new-key or --remove-key');
    }
    if (options.newKey === undefined) {
      return plainResult(file, common) ?? changed(file, common, undefined);
    }
    const { key, used } = readKey(options.newKey, printer);
    const result = changed(file, common, key);
    used();
    return result;
  },
});

/** A store that has no key to remove: nothing is written. */
function plainResult(file: string, common: CommonOptions): Result | undefined {
  if (common.key !== undefined) return undefined;
  return withImage(file, 'reader', common, image => {
    const wait = { timeoutMs: common.lockTimeout };
    const { verdict, state } = withLock(image, wait, disk => inspectStore(disk, common));
    if (state === undefined || !['OK', 'EMPTY'].includes(verdict)) return undefined;
    const { generation, encryption } = state.directory;
    if (encryption.kind !== 0) return undefined;
    return {
      lines: [`${file}: is not encrypted, nothing was changed (generation ${generation})`],
      data: { image: file, sealed: false, changed: false, generation, unreachable: [] },
    };
  });
}

function changed(file: string, common: CommonOptions, key: Key | undefined): Result {
  return withActiveStore(file, common, store => {
    const { unreachable } = store.rekey(key);
    const { generation, encrypted: sealed } = store;
    const what = key === undefined ? 'is no longer encrypted' : 'is encrypted with the new key';
    return {
      lines: [
        `${file}: ${what} (generation ${generation})`,
        ...unreachable.map(
          ({ kind, name }) =>
            `warning: ${kind} ${JSON.stringify(name)} still holds what was stored before the change`,
        ),
      ],
      data: { image: file, sealed, changed: true, generation, unreachable },
    };
  });
}
