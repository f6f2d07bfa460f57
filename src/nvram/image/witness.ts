/**
 * What the image itself says about the store that was found in it. A lost mapping makes every guest byte
 * read as zero, or as it was in a snapshot, so what the disk shows is not enough.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import {
  imageFaults,
  mappingFaults,
  proveEmpty,
  type StoreTag,
  storeTag,
} from '../../block/proof.js';
import { equal } from '../../wire/codec.js';
import { AREA_BYTES_MAX, type Directory, TAG_KIND } from './layout.js';
import { type Inspection, refused } from './verdict.js';

/**
 * `found`, confirmed or refused by the image.
 * @throws IoError; ImageError
 */
export function confirmed(disk: LockedNode, found: Inspection): Inspection {
  if (found.verdict !== 'OK' && found.verdict !== 'EMPTY') return found;
  const tag = storeTag(disk);
  if (found.state === undefined) return confirmedEmpty(disk, found, tag);
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

function confirmedEmpty(
  disk: LockedNode,
  found: Inspection,
  tag: StoreTag | undefined,
): Inspection {
  if (tag !== undefined) {
    const gone = `the header names store ${hex(tag.uuid)}, and it is gone`;
    const faults = imageFaults(disk);
    return refused(faults.length > 0 ? 'IMAGE' : 'CORRUPT', found, [gone, ...faults]);
  }
  const proof = proveEmpty(disk, AREA_BYTES_MAX);
  if (proof.proven) return { ...found, isProvenByHeader: proof.byHeader };
  const faults = imageFaults(disk);
  if (faults.length > 0) return refused('IMAGE', found, faults);
  const why = 'there is no directory and no acknowledgement record';
  const what = `${why}: a store that lost its head, or no store`;
  return refused('CORRUPT', found, [what, ...proof.why]);
}

export const isTagOf = ({ uuid }: Pick<Directory, 'uuid'>, tag: StoreTag): boolean =>
  tag.kind === TAG_KIND && equal(tag.uuid, uuid);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
