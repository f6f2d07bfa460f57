/**
 * `nvtpm demo-step`: one step of the demonstration, as a process of its own.
 * @module
 */
import { runStep } from '../demo/steps.js';
import { subcommand } from '../subcommand.js';

export const demoStep = subcommand({
  name: 'demo-step',
  summary: 'one step of the demonstration',
  // The image is the file: the lock, the guard and the trace are about it.
  arguments: { '<file>': 'the image', '<step>': 'its name', '<socket>': 'for a migration' },
  options: {},
  isOnImage: true,
  isHidden: true,
  example: 'nvtpm demo',
  run: async ({ file, rest: [step = '', socket = ''], common, printer }) => {
    const data = await runStep(step, { path: file, common, socket, printer });
    return { lines: [JSON.stringify(data, null, 2)], data: { ...data } };
  },
});
