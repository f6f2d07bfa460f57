/**
 * `nvtpm demo`: shows that a TPM's state survives cold restarts, and that a bad migration does no harm.
 * @module
 */
import { coldRestarts, lastRestart, migrations } from '../demo/chapters.js';
import { makeImage } from '../demo/image.js';
import { demandQemu, inQemu } from '../demo/qemu-chapters.js';
import { Story } from '../demo/story.js';
import { flag, valueOr } from '../options.js';
import { type Printer, type Result, stdoutClosed } from '../output.js';
import { subcommand } from '../subcommand.js';

export const demo = subcommand({
  name: 'demo',
  summary: 'show that EK and ownership survive cold restarts and a failed migration',
  arguments: {},
  options: {
    image: valueOr('--image <file>', 'the image to make', 'demo.qcow2', text => text),
    force: flag('--force', 'replace an image that an earlier demonstration made'),
    qemu: flag('--qemu', 'in a real QEMU, without a migration'),
  },
  isOnImage: false,
  example: 'nvtpm demo --image /tmp/demo.qcow2',
  run: async ({ options: { image, force, qemu }, printer }) => {
    const version = qemu ? demandQemu() : undefined;
    const maker = makeImage(image, force);
    const story = new Story(image, printer);
    const release = closeOnSignal(story);
    try {
      if (version !== undefined) {
        await inQemu(story, maker, version);
      } else {
        const ek = await coldRestarts(story, maker);
        await migrations(story);
        await lastRestart(story, ek);
      }
      if (printer.isClosed) throw stdoutClosed();
      return resultOf(story, maker, printer);
    } finally {
      release();
      story.close();
    }
  },
});

/** A signal ends the steps and removes their folder before it ends this process. */
function closeOnSignal(story: Story): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = (signal: NodeJS.Signals): void => {
    release();
    story.close();
    process.kill(process.pid, signal);
  };
  const release = (): void => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return release;
}

function resultOf({ image, chapters }: Story, maker: string, { paint }: Printer): Result {
  const failed = chapters.filter(({ holds }) => !holds);
  const holds = failed.length === 0;
  const verdict = holds
    ? paint.green(`All ${chapters.length} steps hold.`)
    : paint.red(`${failed.length} of ${chapters.length} steps fail:`);
  return {
    lines: [
      '',
      verdict,
      ...failed.map(({ title }) => `  ${title}`),
      `Next: nvtpm info ${image}, nvtpm --help`,
    ],
    data: { image, maker, holds, steps: chapters },
    outcome: holds ? 'OK' : 'FAILED',
  };
}
