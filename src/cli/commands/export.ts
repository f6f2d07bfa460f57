/**
 * `nvtpm export`: the state of the TPM in an image, copied to where swtpm reads it.
 * @module
 */
import { withLock } from '../../block/index.js';
import { openStore } from '../../nvram/index.js';
import { SwtpmError } from '../../nvram/swtpm/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { readState, type State, stateData, stateText } from '../foreign-state.js';
import { type CommonOptions, withImage } from '../images.js';
import { flag, requiredValue, value } from '../options.js';
import { demandOtherFile } from '../other-file.js';
import { UsageError } from '../output.js';
import { openPlace, PLACE_FORM, parsePlace } from '../state-place.js';
import { subcommand } from '../subcommand.js';
import { SWTPM_KEY_HELP, usingSwtpmKeys } from '../swtpm-key.js';

export const exportState = subcommand({
  name: 'export',
  summary: 'copy the state of the TPM in an image to where swtpm reads it',
  arguments: { '<file>': 'the image' },
  // biome-ignore format: table
  options: {
    to:           requiredValue('--to <place>', PLACE_FORM, parsePlace),
    toKey:        value('--to-key <key>', `encrypts it for swtpm’s --key: ${SWTPM_KEY_HELP}`, text => text),
    migrationKey: value('--to-migration-key <key>', 'encrypts blobs: for swtpm’s --migration-key, in the same form', text => text),
    force:        flag('--force', 'replace state that is there'),
  },
  key: 'opens an encrypted store',
  isOnImage: true,
  example: 'nvtpm export tpm.qcow2 --to swtpm-dir:/var/lib/swtpm/vm',
  page: 'docs/swtpm-state.md',
  run: ({ file, options, common, printer }) => {
    const { to, toKey, migrationKey, force } = options;
    if (migrationKey !== undefined && to.kind !== 'blobs') {
      throw new UsageError('--to-migration-key is for blobs: only; state is encrypted by --to-key');
    }
    const given = {
      key: ['--to-key', toKey],
      migrationKey: ['--to-migration-key', migrationKey],
    } as const;
    return usingSwtpmKeys(given, printer, keys => {
      const state = stateIn(file, common);
      const destination = openPlace(to, { keys, version: state.tpm.version, entropy });
      try {
        for (const path of destination.files) demandOtherFile('--to', path, file);
        if (!force && !destination.pristine) {
          throw new SwtpmError('EXISTS', to.path, 'there is state in it');
        }
        destination.commit(state.blobs);
      } finally {
        destination.close();
      }
      return {
        lines: [
          `${to.path}: has the state of ${file} (${stateText(state)})`,
          ...state.notes.map(note => `note: ${note}`),
        ],
        data: { image: file, to, ...stateData(state) },
      };
    });
  },
});

/** The state of an image that no TPM is active on. */
function stateIn(file: string, common: CommonOptions): State {
  return withImage(file, 'reader', common, image => {
    const { trace, key, lockTimeout } = common;
    return withLock(image, { timeoutMs: lockTimeout }, disk => {
      const candidate = openStore(disk, { trace, key, whenEmpty: 'refuse' });
      try {
        return readState({ path: file, load: name => candidate.load(name) });
      } finally {
        candidate.discard();
      }
    });
  });
}
