/**
 * Where the metadata of a qcow2 image lies in its file. Offsets are those of QEMU's
 * docs/interop/qcow2; nothing is shared with src/block, so a fault there does not hide here. The
 * image is taken to be sound, with 16-bit refcounts and without extended L2 entries.
 * @module
 */

/** A stretch of the file. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** A structure of the image, or a part of one. */
export interface Structure extends Span {
  readonly what: string;
}

const SECTOR_BYTES = 512;
const ENTRY_BYTES = 8;
const REFCOUNT_BYTES = 2;
/** Bits 9 to 55 of an L1, L2 or refcount table entry. */
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;

export class Qcow2Map {
  readonly #bytes: Buffer;
  readonly clusterSize: number;
  readonly l1: Span;
  readonly refcountTable: Span;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.clusterSize = 2 ** this.#u32(20);
    this.l1 = { offset: this.#u64(40), length: this.#u32(36) * ENTRY_BYTES };
    this.refcountTable = { offset: this.#u64(48), length: this.#u32(56) * this.clusterSize };
  }

  /** The header, its extensions and the name of the backing file. */
  get header(): Span {
    let end = this.#u32(4) < 3 ? 72 : this.#u32(100);
    while (this.#u32(end) !== 0) end += 8 + Math.ceil(this.#u32(end + 4) / 8) * 8;
    const backingEnd = this.#u64(8) + this.#u32(16);
    return { offset: 0, length: Math.max(end + 8, backingEnd) };
  }

  /** The L2 tables that the active L1 table names. */
  get l2Tables(): Span[] {
    return this.#targetsOf(this.l1);
  }

  get refcountBlocks(): Span[] {
    return this.#targetsOf(this.refcountTable);
  }

  /** The table of internal snapshots, then the L1 table of each. */
  get snapshots(): { readonly table: Span; readonly l1s: readonly Span[] } {
    const start = this.#u64(64);
    const l1s: Span[] = [];
    let at = start;
    for (let left = this.#u32(60); left > 0; left -= 1) {
      l1s.push({ offset: this.#u64(at), length: this.#u32(at + 8) * ENTRY_BYTES });
      const names = this.#u16(at + 12) + this.#u16(at + 14);
      at += Math.ceil((40 + this.#u32(at + 36) + names) / 8) * 8;
    }
    return { table: { offset: start, length: at - start }, l1s };
  }

  /** Where byte `guest` of the disk lies in the file; undefined where nothing is allocated. */
  hostOf(guest: number): number | undefined {
    const perL2 = this.clusterSize / ENTRY_BYTES;
    const cluster = Math.floor(guest / this.clusterSize);
    const l2 = this.#target(this.l1.offset + Math.floor(cluster / perL2) * ENTRY_BYTES);
    if (l2 === 0) return undefined;
    const data = this.#target(l2 + (cluster % perL2) * ENTRY_BYTES);
    return data === 0 ? undefined : data + (guest % this.clusterSize);
  }

  /**
   * All metadata. Of each table: every entry in use and the rest of its first sector, or every byte
   * if `whole`.
   */
  structures(whole: boolean): Structure[] {
    const { table, l1s } = this.snapshots;
    const named = (what: string, spans: readonly Span[]): Structure[] =>
      spans.filter(({ length }) => length > 0).map(span => ({ what, ...span }));
    const part = (entryBytes: number) => (span: Span) =>
      whole ? [span] : this.#partInUse(span, entryBytes);
    const snapshotL2s = l1s
      .flatMap(l1 => this.#targetsOf(l1))
      .filter(({ offset }) => !this.l2Tables.some(l2 => l2.offset === offset));
    return [
      ...named('header', [this.header]),
      ...named('L1 table', [this.l1]),
      ...named('L2 tables', this.l2Tables.flatMap(part(ENTRY_BYTES))),
      ...named('refcount table', part(ENTRY_BYTES)(this.refcountTable)),
      ...named('refcount blocks', this.refcountBlocks.flatMap(part(REFCOUNT_BYTES))),
      ...named('snapshot table', [table]),
      ...named('L1 tables of snapshots', l1s),
      ...named('L2 tables of snapshots', snapshotL2s.flatMap(part(ENTRY_BYTES))),
    ];
  }

  /** The first sector of a table, and every entry behind it that is not zero. */
  #partInUse(span: Span, entryBytes: number): Span[] {
    const parts: Span[] = [{ offset: span.offset, length: Math.min(SECTOR_BYTES, span.length) }];
    const end = Math.min(span.offset + span.length, this.#bytes.length);
    for (let at = span.offset + SECTOR_BYTES; at + entryBytes <= end; at += entryBytes) {
      const used = this.#bytes.subarray(at, at + entryBytes).some(byte => byte !== 0);
      if (used) parts.push({ offset: at, length: entryBytes });
    }
    return parts;
  }

  #targetsOf({ offset, length }: Span): Span[] {
    const targets = new Set<number>();
    for (let at = offset; at < offset + length && at + 8 <= this.#bytes.length; at += ENTRY_BYTES) {
      const target = this.#target(at);
      if (target !== 0) targets.add(target);
    }
    return [...targets].map(target => ({ offset: target, length: this.clusterSize }));
  }

  #target(at: number): number {
    return Number(this.#bytes.readBigUInt64BE(at) & OFFSET_MASK);
  }

  #u16 = (at: number): number => this.#bytes.readUInt16BE(at);
  #u32 = (at: number): number => this.#bytes.readUInt32BE(at);
  #u64 = (at: number): number => Number(this.#bytes.readBigUInt64BE(at));
}
