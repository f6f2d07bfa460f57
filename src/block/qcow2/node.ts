/**
 * The qcow2 node: a disk of its own size inside another node. It holds no image bytes: the first use
 * under an outermost lock makes a `Qcow2Disk`, and the release drops it.
 * @module
 */
import type { LockHolder, LockType } from '../../lock/lock.js';
import { LockableNode, type LowerLock } from '../lockable.js';
import { type BlockNode, ImageError, type LockedNode, type ProtocolNode } from '../node.js';
import { Qcow2Disk } from './disk.js';
import type { Purpose } from './header.js';
import type { OverlapMemory } from './overlap.js';
import { type FirstCluster, readFirstCluster } from './view.js';

/** How a qcow2 image is opened above a node. */
export interface OpenQcow2Options {
  readonly readOnly?: boolean;
  /** What shows through where an overlay has nothing; the node then owns it. */
  readonly backing?: BlockNode | undefined;
  /** Allows opening a corrupt or dirty image for repair. */
  readonly forRepair?: boolean;
  /** How many bytes of metadata to keep in memory while the lock is held. Default 4 MiB. */
  readonly cacheBytes?: number;
}

/**
 * Opens the qcow2 image inside `file`, which the node then owns. Nothing is locked or written: what a
 * writer has to do first (a dirty image is repaired, as QEMU does) is part of the first write.
 * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, DAMAGED; IoError
 */
export function openQcow2(file: ProtocolNode, options: OpenQcow2Options = {}): Qcow2Node {
  return new Qcow2Node(file, options);
}

/** The first cluster of the image in `file`, read without a lock: to find what it names. */
export function peekQcow2(file: ProtocolNode, purpose: Purpose): FirstCluster {
  const host = {
    length: Number.MAX_SAFE_INTEGER,
    read(offset: number, length: number): Uint8Array {
      const bytes = new Uint8Array(length);
      bytes.set(file.peek(offset, length));
      return bytes;
    },
  };
  return readFirstCluster(file.path, host, purpose);
}

/** The lock of the file, and of the disk below an overlay. */
class ChainLock implements LowerLock {
  readonly file: LockedNode;
  readonly backing: LockedNode | undefined;

  constructor(file: LockedNode, backing: LockedNode | undefined) {
    this.file = file;
    this.backing = backing;
  }

  release(): void {
    this.backing?.abandon();
    this.file.release();
  }

  abandon(): void {
    this.backing?.abandon();
    this.file.abandon();
  }
}

/** A qcow2 image: its bytes are those of the guest's disk. */
export class Qcow2Node extends LockableNode<ChainLock> {
  readonly driver = 'qcow2';
  readonly file: ProtocolNode;
  readonly readOnly: boolean;
  readonly #backing: BlockNode | undefined;
  readonly #purpose: Purpose;
  readonly #cacheBytes: number | undefined;
  /** The backing file by its name on opening: `#backing` is that one. */
  readonly #backingName: string | undefined;
  #known: { readonly first: FirstCluster; readonly overlap: OverlapMemory | undefined };
  #below: ChainLock | undefined;
  #disk: Qcow2Disk | undefined;
  #damage: ImageError | undefined;

  constructor(file: ProtocolNode, options: OpenQcow2Options) {
    super();
    this.file = file;
    this.readOnly = options.readOnly ?? file.readOnly;
    this.#backing = options.backing;
    this.#purpose = options.forRepair ? 'repair' : this.readOnly ? 'read' : 'write';
    this.#cacheBytes = options.cacheBytes;
    this.#known = { first: peekQcow2(file, this.#purpose), overlap: undefined };
    this.#backingName = this.#known.first.backingName;
  }

  /** The image that a lock is held of; undefined for a node of another format. */
  static diskOf(locked: LockedNode): Qcow2Disk | undefined {
    let node: BlockNode | undefined = locked.node;
    while (node !== undefined && !(node instanceof Qcow2Node)) node = node.file;
    return node?.bytes;
  }

  get path(): string {
    return this.file.path;
  }

  /** The holder that forbids a lock of this type: of the image, or of a backing file. */
  lockHolder(type: LockType): LockHolder | undefined {
    return this.file.lockHolder(type) ?? this.#backing?.lockHolder('shared');
  }

  /** Reads the image on first use: many locks are held only to keep others out. */
  protected get bytes(): Qcow2Disk {
    this.#disk ??= this.#readDisk(this.#below!);
    return this.#disk;
  }

  protected acquire(type: LockType): ChainLock | undefined {
    const file = this.file.tryLock(type);
    if (file === undefined) return undefined;
    try {
      const backing = this.#backing?.tryLock('shared');
      if (this.#backing === undefined || backing !== undefined) return new ChainLock(file, backing);
    } catch (error) {
      file.abandon();
      throw error;
    }
    file.abandon();
    return undefined;
  }

  protected override begin(below: ChainLock): void {
    if (this.#damage !== undefined) throw this.#damage;
    this.#below = below;
    this.#disk = undefined;
  }

  protected override writeBack(): void {
    this.#disk?.writeBack();
  }

  protected override drop(): void {
    const disk = this.#disk;
    this.#below = undefined;
    this.#disk = undefined;
    if (disk === undefined) return;
    const { bytes, header, geometry, extensions, backingName } = disk.view;
    const first = { bytes, header, geometry, extensions, backingName };
    this.#known = { first, overlap: disk.overlap.memory };
    this.#damage ??= disk.damage;
    if (disk.view.host.failure !== undefined) this.break(disk.view.host.failure);
  }

  protected closeBelow(): void {
    this.#backing?.close();
    this.file.close();
  }

  #readDisk({ file, backing }: ChainLock): Qcow2Disk {
    const disk = new Qcow2Disk(file, {
      path: this.path,
      purpose: this.#purpose,
      readOnly: this.readOnly,
      cacheBytes: this.#cacheBytes,
      backing,
      known: this.#known,
    });
    this.#demandSameBacking(disk);
    return disk;
  }

  #demandSameBacking(disk: Qcow2Disk): void {
    if (this.#backing === undefined || disk.view.backingName === this.#backingName) return;
    throw new ImageError(
      'BROKEN',
      this.path,
      ['the image names another backing file than when it was opened'],
      'close the image and open it again',
    );
  }
}
