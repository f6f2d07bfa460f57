/**
 * Persistent dirty bitmaps, as far as a check must know them: QEMU docs/interop/qcow2, "Bitmaps".
 * They are valid only while their autoclear bit is set, which the first write clears, since bitmaps
 * are not kept up to date here.
 * @module
 */
import { layout, Reader, u8, u16, u32 } from '../../wire/codec.js';
import { offsetOf } from './entries.js';
import { EXTENSION } from './extensions.js';
import type { HostOffset } from './units.js';
import type { View } from './view.js';
import { hostOffset64, offset64 } from './words.js';

// biome-ignore format: table
const extension = layout(0, 24, {
  count:           [ 0, u32],
  reserved:        [ 4, u32],
  directorySize:   [ 8, offset64],
  directoryOffset: [16, hostOffset64],
});

const ENTRY_BYTES = 24;
// biome-ignore format: table
const entry = layout(0, ENTRY_BYTES, {
  tableOffset: [ 0, hostOffset64],
  tableSize:   [ 8, u32],
  flags:       [12, u32],
  type:        [16, u8],
  granularity: [17, u8],
  nameLength:  [18, u16],
  extraLength: [20, u32],
});

/** QEMU's limits: so many bitmaps, so many bytes of directory and of table. */
const MOST_BITMAPS = 65_535;
const MOST_DIRECTORY_BYTES = 1024 * MOST_BITMAPS;
const MOST_TABLE_ENTRIES = 0x800_0000;

interface Used {
  readonly what: string;
  readonly offset: HostOffset;
  readonly length: number;
}

/** Where the image's bitmap directory is, if its bitmaps are valid. */
export function bitmapDirectory({ extensions, header }: View): Used | undefined {
  const data = extensions.find(each => each.type === EXTENSION.bitmaps)?.data;
  if (data?.length !== 24 || header.autoclear % 2n === 0n) return undefined;
  const { directoryOffset, directorySize } = extension.read(new Reader(data));
  return { what: 'the bitmap directory', offset: directoryOffset, length: directorySize };
}

/** Everything that bitmaps take in the file. */
export function* bitmapClusters(view: View, corrupt: (why: () => string) => void): Generator<Used> {
  const directory = bitmapDirectory(view);
  if (directory === undefined) return;
  yield directory;
  const { host, geometry } = view;
  if (directory.length > MOST_DIRECTORY_BYTES)
    return corrupt(() => 'the bitmap directory is too large');
  const there = Math.max(0, Math.min(directory.length, host.length - directory.offset));
  const bytes = host.read(directory.offset, there);
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; ) {
    const { tableOffset, tableSize, nameLength, extraLength } = entry.read(
      new Reader(bytes.subarray(at)),
    );
    at += Math.ceil((ENTRY_BYTES + nameLength + extraLength) / 8) * 8;
    if (tableSize > MOST_TABLE_ENTRIES) {
      corrupt(() => 'a bitmap table is too large');
      continue;
    }
    yield { what: 'a bitmap table', offset: tableOffset, length: tableSize * 8 };
    for (const [, word] of host.entries(tableOffset, tableSize * 8)) {
      const offset = offsetOf(word);
      if (offset !== 0) yield { what: 'bitmap data', offset, length: geometry.clusterSize };
    }
  }
}
