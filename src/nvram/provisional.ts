/**
 * The states of a store as types, on top of the class of before. Goes when the new store comes.
 * @module
 */
import type { LockedNode } from '../block/node.js';
import { judge } from './cycle.js';
import { NvramError } from './errors.js';
import { formatStore } from './format.js';
import type { MarkState } from './layout.js';
import { type ActivateOptions, type Blob, type Changes, NvramStore } from './store.js';

export interface BlobStore {
  readonly path: string;
  readonly can: {
    readonly fencing: boolean;
    readonly atomicChanges: boolean;
    readonly history: boolean;
    readonly handOver: boolean;
  };
  readonly pristine: boolean;
  load(name: string): Uint8Array | undefined;
  commit(changes: Changes): void;
  close(): void;
  abandon(): void;
  handOver?(): HandedOverStore;
}

export interface OpenOptions extends ActivateOptions {
  readonly whenEmpty?: 'refuse' | 'format';
}

export function openStore(disk: LockedNode, options: OpenOptions): Candidate {
  const found = judge(disk, options);
  if (found.verdict === 'EMPTY' && options.whenEmpty !== 'format') {
    throw new NvramError('EMPTY', disk.path, ['there is no TPM in it']);
  }
  if (found.verdict === 'EMPTY' && found.state === undefined) {
    return new Candidate(disk, options, undefined);
  }
  return new Candidate(disk, options, NvramStore.peek(disk, options));
}

export class Candidate {
  readonly #disk: LockedNode;
  readonly #options: OpenOptions;
  readonly #store: NvramStore | undefined;

  constructor(disk: LockedNode, options: OpenOptions, store: NvramStore | undefined) {
    this.#disk = disk;
    this.#options = options;
    this.#store = store;
  }

  get uuid(): Uint8Array {
    return this.#store?.uuid ?? new Uint8Array(16);
  }
  get generation(): number {
    return this.#store?.generation ?? 0;
  }
  get epoch(): number {
    return this.#store?.epoch ?? 0;
  }
  get pristine(): boolean {
    return this.#store?.pristine ?? true;
  }
  get ackState(): MarkState | undefined {
    return this.#store?.markState;
  }

  load(name: string): Uint8Array | undefined {
    return this.#store?.load(name);
  }

  activate(): ActiveStore {
    const node = this.#disk.node;
    if (this.#store !== undefined) {
      this.#store.takeOver();
      return new ActiveStore(this.#store, node.path);
    }
    formatStore(node, this.#options as never);
    return new ActiveStore(NvramStore.activate(node, this.#options), node.path);
  }

  discard(): void {
    this.#store?.abandon();
  }
}

export class ActiveStore implements BlobStore {
  readonly can = { fencing: true, atomicChanges: true, history: true, handOver: true };
  readonly path: string;
  readonly #store: NvramStore;

  constructor(store: NvramStore, path: string) {
    this.#store = store;
    this.path = path;
  }

  get uuid(): Uint8Array {
    return this.#store.uuid;
  }
  get generation(): number {
    return this.#store.generation;
  }
  get epoch(): number {
    return this.#store.epoch;
  }
  get pristine(): boolean {
    return this.#store.pristine;
  }
  get encrypted(): boolean {
    return this.#store.sealed;
  }
  get blobs(): readonly Blob[] {
    return this.#store.blobs;
  }
  get kept(): readonly number[] {
    return this.#store.kept;
  }
  get failed(): boolean {
    return this.#store.failed;
  }
  load(name: string): Uint8Array | undefined {
    return this.#store.load(name);
  }
  store(name: string, bytes: Uint8Array): void {
    this.#store.store(name, bytes);
  }
  delete(name: string): void {
    this.#store.delete(name);
  }
  commit(changes: Changes): void {
    this.#store.commit(changes);
  }
  handOver(): HandedOverStore {
    this.#store.handOver();
    return new HandedOverStore(this.#store, this.path);
  }
  close(): void {
    this.#store.close();
  }
  abandon(): void {
    this.#store.abandon();
  }
  isOurs(): boolean {
    return this.#store.isOurs();
  }
}

export class HandedOverStore {
  readonly #store: NvramStore;
  readonly path: string;

  constructor(store: NvramStore, path: string) {
    this.#store = store;
    this.path = path;
  }
  get uuid(): Uint8Array {
    return this.#store.uuid;
  }
  get generation(): number {
    return this.#store.generation;
  }
  get epoch(): number {
    return this.#store.epoch;
  }
  resume(): ActiveStore {
    this.#store.resume();
    return new ActiveStore(this.#store, this.path);
  }
  finish(): void {
    this.#store.abandon();
  }
  isOurs(): boolean {
    return this.#store.isOurs();
  }
  abandon(): void {
    this.#store.abandon();
  }
}
