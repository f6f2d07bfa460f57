/**
 * `nvtpm compare`: whether two images, or two generations of one, hold the same TPM state. It writes
 * nothing. The exit code is that of cmp, diff and qemu-img compare.
 * @module
 */
import { createHash } from 'node:crypto';
import { equal } from '../../wire/codec.js';
import { readKey } from '../key-file.js';
import { flag, value } from '../options.js';
import type { Paint } from '../output.js';
import { differingParts } from '../permanent-parts.js';
import { KEY_FORM, subcommand } from '../subcommand.js';
import { stateIn, type TpmState } from '../tpm-state.js';
import { wholeNumber } from '../values.js';

const generation = wholeNumber('a generation', 1, Number.MAX_SAFE_INTEGER);

export const compare = subcommand({
  name: 'compare',
  summary:
    'compare the TPM states in two images, or in two generations; exit code 1 if they differ',
  arguments: { '<file>': 'the image', '<other>': 'the image to compare it with' },
  // biome-ignore format: table
  options: {
    generation:      value('--generation <g>', 'a kept generation of the image; nvtpm log lists them', generation),
    otherGeneration: value('--other-generation <g>', 'a kept generation of the other image', generation),
    otherKey:        value('--other-key <key>', `opens the other image, if it is encrypted: ${KEY_FORM}`, text => text),
    forceShare:      flag('-U, --force-share', 'read them although another process writes to them'),
  },
  key: 'opens the image, if it is encrypted',
  isOnImage: true,
  example: `nvtpm compare tpm.qcow2 backup.qcow2
nvtpm compare tpm.qcow2 tpm.qcow2 --other-generation 7`,
  run: ({ file, rest: [other = ''], options, common, printer }) => {
    const { forceShare } = options;
    const text = options.otherKey;
    const otherKey = text === undefined ? undefined : readKey(text, printer);
    const a = stateIn(file, { ...common, forceShare, generation: options.generation });
    const b = stateIn(other, {
      ...{ ...common, key: otherKey?.key },
      ...{ forceShare, generation: options.otherGeneration },
    });
    otherKey?.used();
    const blobs = comparedBlobs(a, b);
    const same = blobs.every(({ result }) => result === 'same');
    const sameStore = a.uuid === b.uuid;
    const sameEk = a.ek === null || b.ek === null ? null : a.ek === b.ek;
    return {
      lines: [
        ...blobs.flatMap(blob => blobLines(blob, a, b, printer.paint)),
        identityLine('EK', a.ek, b.ek),
        identityLine('store', a.uuid, b.uuid),
        same ? printer.paint.green('the states are the same') : 'the states differ',
      ],
      data: { same, sameStore, sameEk, a: sideData(a), b: sideData(b), blobs },
      outcome: same ? 'OK' : 'FAILED',
    };
  },
});

interface Side {
  readonly size: number;
  readonly sha256: string;
}

interface ComparedBlob {
  readonly name: string;
  readonly result: 'same' | 'different' | 'only in a' | 'only in b';
  readonly a: Side | null;
  readonly b: Side | null;
  /** Of the permanent state of a TPM 1.2: the parts that differ. */
  readonly parts?: readonly string[];
}

function comparedBlobs(a: TpmState, b: TpmState): ComparedBlob[] {
  const names = [...new Set([...a.blobs.keys(), ...b.blobs.keys()])].sort();
  return names.map(name => {
    const [left, right] = [a.blobs.get(name), b.blobs.get(name)];
    const sides = { name, a: sideOf(left), b: sideOf(right) };
    if (left === undefined) return { ...sides, result: 'only in b' };
    if (right === undefined) return { ...sides, result: 'only in a' };
    if (equal(left, right)) return { ...sides, result: 'same' };
    const parts = name === 'permall' ? differingParts(left, right) : undefined;
    return { ...sides, result: 'different', ...(parts === undefined ? {} : { parts }) };
  });
}

const sideOf = (bytes: Uint8Array | undefined): Side | null =>
  bytes === undefined
    ? null
    : { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };

const sideData = ({ image, generation, uuid, ek }: TpmState) => ({ image, generation, uuid, ek });

function blobLines(blob: ComparedBlob, a: TpmState, b: TpmState, paint: Paint): string[] {
  const { name, result, parts } = blob;
  const text = (side: Side | null): string =>
    side === null ? '' : `${side.size} bytes, sha256 ${side.sha256}`;
  const of = ({ image, generation }: TpmState): string => `${image}, generation ${generation}`;
  if (result === 'same') return [`${name}: ${paint.green('same')}, ${text(blob.a)}`];
  return [
    `${name}: ${paint.red(result.replace(/ [ab]$/, ' one'))}`,
    ...(blob.a === null ? [] : [`  ${of(a)}: ${text(blob.a)}`]),
    ...(blob.b === null ? [] : [`  ${of(b)}: ${text(blob.b)}`]),
    ...(parts === undefined ? [] : [`  parts that differ: ${parts.join(', ')}`]),
  ];
}

function identityLine(what: string, a: string | null, b: string | null): string {
  if (a !== null && a === b) return `${what}: same, ${a}`;
  return a === b ? `${what}: none` : `${what}: different, ${a ?? 'none'} and ${b ?? 'none'}`;
}
