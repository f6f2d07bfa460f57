/**
 * What is in an image: the store, and what the image itself says about it. A lost mapping makes every
 * guest byte read as zero, so a disk of zeros is EMPTY only where the image proves it.
 * @module
 */

import { imageInfo } from '../../block/inspect.js';
import { ImageError, type LockedNode } from '../../block/node.js';
import {
  type Emptiness,
  imageFaults,
  mappingFaults,
  proveEmpty,
  type StoreTag,
  storeTag,
} from '../../block/proof.js';
import { isZeros } from '../../block/zeros.js';
import type { NvtpmError } from '../../errors.js';
import { noTrace, type Trace } from '../../trace.js';
import { equal } from '../../wire/codec.js';
import { NvramError } from '../errors.js';
import { type AssessedVerdict, type Assessment, assess } from './assess.js';
import type { Key } from './cipher.js';
import { Keyring } from './keyring.js';
import { AREA_BYTES_MAX, type Directory, TAG_KIND } from './layout.js';

/** IMAGE: the image is damaged, whatever can be read of the store. */
export type Verdict = AssessedVerdict | 'WRONG_KEY' | 'IMAGE';

export interface Inspection extends Omit<Assessment, 'verdict'> {
  readonly verdict: Verdict;
  /** Of an EMPTY disk without a store: whether the image's header proves that there never was one. */
  readonly isProvenByHeader: boolean;
}

export interface InspectOptions {
  /** Verifies the MACs of an encrypted store. */
  readonly key?: Key | undefined;
  readonly trace?: Trace | undefined;
}

/**
 * Reads and judges everything under a lock that is held; writes nothing. Damage is a verdict, not an
 * exception.
 * @throws IoError; ImageError where the image cannot be read at all
 */
export function inspectStore(disk: LockedNode, options: InspectOptions = {}): Inspection {
  const keys = new Keyring(options.key);
  try {
    return inspect(disk, keys, options.trace);
  } finally {
    keys.wipe();
  }
}

/** inspectStore() for callers that use the keys afterwards. */
export function inspect(disk: LockedNode, keys: Keyring, trace: Trace = noTrace): Inspection {
  const assessed = { ...assess(disk, keys), isProvenByHeader: false };
  const found = withImage(disk, withKey(assessed, keys));
  const { generation, epoch } = found.state?.directory ?? {};
  trace({
    event: 'validate',
    outcome: found.verdict,
    ...(generation === undefined || epoch === undefined ? {} : { generation, epoch }),
    ...(found.findings.length > 0 ? { why: found.findings.join('; ') } : {}),
  });
  return found;
}

/** The error that opening the store would throw; undefined for OK and EMPTY. */
export function faultOf(path: string, found: Inspection): NvtpmError | undefined {
  const { verdict, findings } = found;
  if (verdict === 'OK' || verdict === 'EMPTY') return undefined;
  if (verdict !== 'IMAGE') return new NvramError(verdict, path, findings);
  const advice = 'copy what can be read (qemu-img convert), or try check --repair on a copy';
  return new ImageError('DAMAGED', path, findings, advice);
}

const refused = (verdict: Verdict, found: Inspection, findings: readonly string[]): Inspection => ({
  ...found,
  verdict,
  findings,
  intact: false,
  state: undefined,
});

/** What a key, or its absence, changes. */
function withKey(found: Inspection, keys: Keyring): Inspection {
  const directory = found.state?.directory;
  if (directory === undefined) return found;
  if (!keys.hasKey) {
    const note = 'the store is encrypted; without its key its authenticity was not verified';
    return directory.encryption.kind === 0 ? found : { ...found, notes: [...found.notes, note] };
  }
  if (keys.cipherOf(directory) !== undefined) return found;
  const why =
    directory.encryption.kind === 0
      ? 'a key was given, and the store is not encrypted'
      : 'this key does not open the store';
  return refused('WRONG_KEY', found, [why]);
}

/** What the image itself adds: proof that an empty one is empty, or damage of the mapping. */
function withImage(disk: LockedNode, found: Inspection): Inspection {
  if (found.verdict !== 'OK' && found.verdict !== 'EMPTY') return found;
  const tag = storeTag(disk);
  if (found.state === undefined) return withProof(disk, found, tag);
  const { directory } = found.state;
  const faults = [
    ...mappingFaults(disk, directory.areaLength),
    // A new TPM is made over an EMPTY store, so it must be what was written last.
    ...(found.verdict === 'EMPTY' ? imageFaults(disk) : []),
  ];
  if (faults.length > 0) return refused('IMAGE', found, faults);
  if (tag === undefined || isTagOf(directory, tag)) return found;
  const note = `the header names store ${hex(tag.uuid)}, and store ${hex(directory.uuid)} is here`;
  return { ...found, notes: [...found.notes, note] };
}

function withProof(disk: LockedNode, found: Inspection, tag: StoreTag | undefined): Inspection {
  if (tag !== undefined) {
    const why = `the header names store ${hex(tag.uuid)}, and it is gone`;
    return refused('CORRUPT', found, [why]);
  }
  const proof = emptiness(disk);
  if (proof.proven) return { ...found, isProvenByHeader: proof.byHeader };
  const faults = imageFaults(disk);
  if (faults.length > 0) return refused('IMAGE', found, faults);
  const why = 'there is no directory and no acknowledgement record';
  const what = `${why}: a store that lost its head, or no store`;
  return refused('CORRUPT', found, [what, ...proof.why]);
}

const STEP_BYTES = 2 ** 20;

/** Of a raw disk, which may be a large device, as much is read as a store can take. */
function emptiness(disk: LockedNode): Emptiness {
  const hasHeader = imageInfo(disk).version !== undefined;
  if (hasHeader || disk.length <= AREA_BYTES_MAX) return proveEmpty(disk);
  for (let at = 0; at < AREA_BYTES_MAX; at += STEP_BYTES) {
    if (isZeros(disk.read(at, STEP_BYTES))) continue;
    return { proven: false, why: [`there is data after offset ${at}`] };
  }
  return { proven: true, byHeader: false };
}

export const isTagOf = ({ uuid }: Pick<Directory, 'uuid'>, tag: StoreTag): boolean =>
  tag.kind === TAG_KIND && equal(tag.uuid, uuid);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
