/**
 * `nvtpm import`: the state of a TPM of swtpm, copied into an image.
 * @module
 */
import { withLock } from '../../block/index.js';
import { openStore } from '../../nvram/index.js';
import { swtpmBackupsIn } from '../../nvram/swtpm/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { readState, type State, stateData, stateText } from '../foreign-state.js';
import { type CommonOptions, withImage } from '../images.js';
import { flag, requiredValue, value } from '../options.js';
import { demandImportable } from '../replacement.js';
import { openPlace, PLACE_FORM, type Place, parsePlace } from '../state-place.js';
import { subcommand } from '../subcommand.js';
import { SWTPM_KEY_HELP, usingSwtpmKeys } from '../swtpm-key.js';
import { oneOf } from '../values.js';

export const importState = subcommand({
  name: 'import',
  summary: 'copy the state of a TPM of swtpm into an image',
  arguments: { '<file>': 'the image, empty or with the same TPM' },
  // biome-ignore format: table
  options: {
    from:         requiredValue('--from <place>', PLACE_FORM, parsePlace),
    fromKey:      value('--from-key <key>', `swtpm’s --key, spelt as there: ${SWTPM_KEY_HELP}`, text => text),
    migrationKey: value('--from-migration-key <key>', 'swtpm’s --migration-key, in the same form', text => text),
    version:      value('--tpm-version <version>', 'which TPM of a directory that holds both: 1.2, 2.0', oneOf(['1.2', '2.0'])),
    replace:      flag('--replace', 'replace another state of the same TPM'),
  },
  key: 'opens, or encrypts, the store in the image',
  isOnImage: true,
  example: 'nvtpm import tpm.qcow2 --from swtpm-dir:/var/lib/swtpm/vm --from-key pwdfile=password',
  page: 'docs/swtpm-state.md',
  run: ({ file, options, common, printer }) => {
    const { from, fromKey, migrationKey, version, replace } = options;
    const given = {
      key: ['--from-key', fromKey],
      migrationKey: ['--from-migration-key', migrationKey],
    } as const;
    return usingSwtpmKeys(given, printer, keys => {
      const source = openPlace(from, { keys, version, entropy });
      try {
        const state = readState(source);
        const notes = [...state.notes, ...backupNotes(from)];
        const generation = write(file, common, state, replace);
        return {
          lines: [
            `${file}: has the state of ${from.path} as generation ${generation} (${stateText(state)})`,
            ...notes.map(note => `note: ${note}`),
          ],
          data: { image: file, from, generation, ...stateData({ ...state, notes }) },
        };
      } finally {
        source.close();
      }
    });
  },
});

/** Validates the image and commits the state, in one lock cycle. @returns the new generation */
function write(file: string, common: CommonOptions, state: State, replace: boolean): number {
  return withImage(file, 'writer', common, image => {
    const { trace, key, lockTimeout } = common;
    const wait = { timeoutMs: lockTimeout };
    const store = withLock(image, wait, disk => {
      const candidate = openStore(disk, { trace, entropy, wait, key, whenEmpty: 'format' });
      try {
        const { path, pristine } = candidate;
        const load = (name: string) => candidate.load(name);
        demandImportable({ path, pristine, load }, state, replace);
        return candidate.activate();
      } finally {
        candidate.discard();
      }
    });
    try {
      store.commit(state.blobs);
      return store.generation;
    } finally {
      store.close();
    }
  });
}

const backupNotes = ({ kind, path }: Place): string[] =>
  kind === 'swtpm-dir'
    ? swtpmBackupsIn(path).map(name => `${name} is a backup of swtpm, and was not imported`)
    : [];
