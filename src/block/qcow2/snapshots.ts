/**
 * The table of internal snapshots: QEMU docs/interop/qcow2, "Snapshots". It is read, never written:
 * snapshots are created and deleted with qemu-img.
 * @module
 */
import { layout, Reader, u16, u32 } from '../../wire/codec.js';
import { ImageError } from '../node.js';
import type { Header } from './header.js';
import type { HostFile } from './host.js';
import { type HostOffset, plus } from './units.js';
import { hostOffset64, offset64 } from './words.js';

const ENTRY_BYTES = 40;
const MOST_EXTRA_BYTES = 1024;
const MOST_TABLE_BYTES = 64 * 2 ** 20;
/** What an entry usually takes, and how much is read at once at most. */
const USUAL_ENTRY_BYTES = 512;
const WINDOW_BYTES = 64 * 2 ** 10;

// biome-ignore format: table
const entry = layout(0, ENTRY_BYTES, {
  l1TableOffset: [ 0, hostOffset64],
  l1Size:        [ 8, u32],
  idLength:      [12, u16],
  nameLength:    [14, u16],
  seconds:       [16, u32],
  nanoseconds:   [20, u32],
  clock:         [24, offset64],
  vmStateSize:   [32, u32],
  extraLength:   [36, u32],
});

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  /** When it was made, in seconds since 1970. */
  readonly seconds: number;
  /** Bytes of a saved machine beside the disk; 0 for none. */
  readonly vmStateSize: number;
  readonly l1TableOffset: HostOffset;
  readonly l1Size: number;
  /** Bytes of extra data; version 3 needs 16. */
  readonly extraLength: number;
}

export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  /** Bytes that the table takes in the file. */
  readonly length: number;
}

const NONE: SnapshotTable = { snapshots: [], length: 0 };

/** @throws ImageError MALFORMED */
export function readSnapshots(path: string, host: HostFile, header: Header): SnapshotTable {
  if (header.snapshotCount === 0) return NONE;
  const malformed = (why: string): ImageError =>
    new ImageError('MALFORMED', path, [why], 'examine the image with qemu-img check');
  const window = new Window(host, Math.min(header.snapshotCount * USUAL_ENTRY_BYTES, WINDOW_BYTES));
  const snapshots: Snapshot[] = [];
  const text = new TextDecoder();
  let at = 0;
  for (let i = 0; i < header.snapshotCount; i += 1) {
    const head = entry.read(new Reader(window.read(plus(header.snapshotsOffset, at), ENTRY_BYTES)));
    const { idLength, nameLength, extraLength } = head;
    if (extraLength > MOST_EXTRA_BYTES) {
      throw malformed(`snapshot ${i} has ${extraLength} bytes of extra data, more than 1024`);
    }
    const names = plus(header.snapshotsOffset, at + ENTRY_BYTES + extraLength);
    const id = text.decode(window.read(names, idLength));
    const name = text.decode(window.read(plus(names, idLength), nameLength));
    at += Math.ceil((ENTRY_BYTES + extraLength + idLength + nameLength) / 8) * 8;
    if (at > MOST_TABLE_BYTES) throw malformed('the snapshot table takes more than 64 MiB');
    const { seconds, vmStateSize, l1TableOffset, l1Size } = head;
    snapshots.push({ id, name, seconds, vmStateSize, l1TableOffset, l1Size, extraLength });
  }
  return { snapshots, length: at };
}

/** Reads a file in pieces of at least `least` bytes. */
class Window {
  readonly #host: HostFile;
  readonly #least: number;
  #start = 0;
  #bytes = new Uint8Array(0);

  constructor(host: HostFile, least: number) {
    this.#host = host;
    this.#least = least;
  }

  read(offset: HostOffset, length: number): Uint8Array {
    if (offset < this.#start || offset + length > this.#start + this.#bytes.length) {
      this.#start = offset;
      this.#bytes = new Uint8Array(this.#host.read(offset, Math.max(length, this.#least)));
    }
    return this.#bytes.slice(offset - this.#start, offset - this.#start + length);
  }
}
