/**
 * `nvtpm restore`: makes an older state the current one, as a new generation, without starting the TPM.
 * @module
 */
import { withActiveStore } from '../images.js';
import { requiredValue } from '../options.js';
import { subcommand } from '../subcommand.js';
import { wholeNumber } from '../values.js';

export const restore = subcommand({
  name: 'restore',
  summary: 'make an older state the current one (create --keep)',
  arguments: { '<file>': 'the image' },
  options: {
    generation: requiredValue(
      '--generation <g>',
      'the generation to restore; nvtpm info lists them',
      wholeNumber('a generation', 1, Number.MAX_SAFE_INTEGER),
    ),
  },
  key: 'opens an encrypted store',
  isOnImage: true,
  example: 'nvtpm restore tpm.qcow2 --generation 7',
  run: ({ file, options: { generation }, common }) =>
    withActiveStore(file, common, store => {
      store.restore(generation);
      return {
        lines: [`${file}: generation ${generation} is restored, as generation ${store.generation}`],
        data: { image: file, restored: generation, generation: store.generation },
      };
    }),
});
