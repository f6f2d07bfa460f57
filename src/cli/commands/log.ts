/**
 * `nvtpm log`: the states that a store keeps, and what changed from one to the next. It writes nothing.
 * @module
 */
import { withLock } from '../../block/index.js';
import { type Directory, faultOf, inspectStore, statesOf } from '../../nvram/index.js';
import { withImage } from '../images.js';
import { flag } from '../options.js';
import { describe, type Paint } from '../output.js';
import { blobsOf, type StoredBlob } from '../stored-blobs.js';
import { subcommand } from '../subcommand.js';

export const log = subcommand({
  name: 'log',
  summary: 'list the kept states by generation, newest first; a store records no times',
  arguments: { '<file>': 'the image' },
  options: {
    forceShare: flag('-U, --force-share', 'read it although another process writes to it'),
  },
  key: 'verifies that an encrypted store is authentic',
  isOnImage: true,
  example: 'nvtpm log tpm.qcow2\nnvtpm restore tpm.qcow2 --generation 7',
  run: ({ file, options, common, printer: { paint } }) =>
    withImage(file, options.forceShare ? 'sharing' : 'probe', common, image => {
      const wait = { timeoutMs: common.lockTimeout };
      const found = withLock(image, wait, disk => inspectStore(disk, common));
      const directory = found.state?.directory;
      const fault = faultOf(file, found);
      const states = directory === undefined ? [] : historyOf(directory);
      return {
        lines: [
          ...states.flatMap(state => linesOf(state, paint)),
          keepLine(directory),
          ...(fault === undefined ? [] : [`${paint.red('fault:')} ${fault.message}`]),
        ],
        data: {
          image: file,
          outcome: found.verdict,
          keep: directory?.historyLength ?? null,
          states,
          ...(fault === undefined ? {} : { error: describe(fault) }),
        },
        outcome: fault?.outcome ?? 'OK',
      };
    }),
});

interface Change {
  readonly name: string;
  readonly change: 'added' | 'replaced' | 'deleted';
  readonly sizes: readonly number[];
}

interface LoggedState {
  readonly generation: number;
  readonly current: boolean;
  readonly blobs: readonly StoredBlob[];
  /** The state before it that is kept; null for the oldest. */
  readonly since: number | null;
  readonly changes: readonly Change[];
}

/** Newest first. */
function historyOf(directory: Directory): LoggedState[] {
  const states = statesOf(directory).map(({ generation, entries }) => ({
    generation,
    blobs: blobsOf(entries, directory),
  }));
  return states.map(({ generation, blobs }, at) => {
    const before = states[at + 1];
    return {
      generation,
      current: at === 0,
      blobs,
      since: before?.generation ?? null,
      changes: before === undefined ? [] : changesOf(before.blobs, blobs),
    };
  });
}

/** A blob is another one where another generation stored it. */
function changesOf(before: readonly StoredBlob[], after: readonly StoredBlob[]): Change[] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names.flatMap((name): Change[] => {
    const [old, now] = [before, after].map(blobs => blobs.find(each => each.name === name));
    if (old?.generation === now?.generation) return [];
    const sizes = [old, now].flatMap(each => (each === undefined ? [] : [each.size]));
    const change = old === undefined ? 'added' : now === undefined ? 'deleted' : 'replaced';
    return [{ name, change, sizes }];
  });
}

/** Digits of a digest that people compare. */
const DIGEST_SHOWN = 16;

function linesOf({ generation, current, blobs, since, changes }: LoggedState, paint: Paint) {
  const head = paint.bold(`generation ${generation}`);
  return [
    current ? `${head}, current` : head,
    ...blobs.map(
      ({ name, size, generation: stored, sha256 }) =>
        `  ${name}: ${size} bytes, of generation ${stored}, sha256 ${sha256.slice(0, DIGEST_SHOWN)}…`,
    ),
    ...(since === null ? [] : [`  since generation ${since}: ${changesText(changes)}`]),
  ];
}

const changesText = (changes: readonly Change[]): string =>
  changes
    .map(({ name, change, sizes }) => `${name} ${change} (${sizes.join(' → ')} bytes)`)
    .join(', ') || 'no change';

function keepLine(directory: Directory | undefined): string {
  if (directory === undefined) return 'no store';
  const { historyLength } = directory;
  if (historyLength === 0) return 'no replaced state is kept (create --keep)';
  const states = historyLength === 1 ? 'state is' : `${historyLength} states are`;
  return `the last replaced ${states} kept (create --keep ${historyLength})`;
}
