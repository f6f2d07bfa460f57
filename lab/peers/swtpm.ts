/**
 * swtpm as a reference TPM: a child process on a state folder of its own, spoken to synchronously.
 * Nothing is shut down in order: a restart is a power cut, as for a TPM on a board.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import { concat, encode, u8, u16, u32 } from '../../src/wire/codec.js';
import type { Scope } from '../files.js';
import { scratch } from '../files.js';
import type { Answer, Ask, HostData } from './swtpm-host.js';

/** swtpm's own header of a state file: 10 bytes, then 6 bytes of tag and length. */
const FILE_HEADER_BYTES = 10;
const BLOB_HEADER_BYTES = 6;
export const SWTPM_HEADER_BYTES = FILE_HEADER_BYTES + BLOB_HEADER_BYTES;

/** Control channel: command numbers of swtpm's protocol. */
const CTRL = {
  INIT: 2,
  GET_ESTABLISHED: 4,
  SET_LOCALITY: 5,
  HASH_START: 6,
  HASH_DATA: 7,
  HASH_END: 8,
  SET_STATEBLOB: 0xd,
  STOP: 0xe,
};
const NAMES = ['permall', 'volatilestate', 'savestate'] as const;
type Name = (typeof NAMES)[number];
/** Tags of swtpm's own around a blob: as it lies in a file, and as a migration carries it. */
const TAG_DATA = 1;
const TAG_MIGRATION_DATA = 4;

/** libtpms's blob out of a swtpm state file. */
export const unwrapState = (file: Uint8Array): Uint8Array => file.slice(SWTPM_HEADER_BYTES);

/** A plain swtpm state file around libtpms's blob. */
export const wrapState = (blob: Uint8Array): Uint8Array => withHead(tagged(TAG_DATA, blob));

/** The same as a migration carries it. */
const wrapForMigration = (blob: Uint8Array): Uint8Array =>
  withHead(tagged(TAG_MIGRATION_DATA, tagged(TAG_DATA, blob)));

const tagged = (tag: number, content: Uint8Array): Uint8Array =>
  concat(encode(u16, tag), encode(u32, content.length), content);

/** Version 2, readable by version 1, a header of 10 bytes, no flags: nothing is encrypted. */
function withHead(content: Uint8Array): Uint8Array {
  const total = encode(u32, FILE_HEADER_BYTES + content.length);
  return concat(Uint8Array.of(2, 1, 0, FILE_HEADER_BYTES, 0, 0), total, content);
}

export class Swtpm {
  readonly folder: string;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #signal = new Int32Array(new SharedArrayBuffer(4));
  readonly #options: readonly string[];
  #running = false;

  /**
   * Starts swtpm on `folder`, which may hold a state already. TPM_Startup is not sent.
   * @param options where its state lies, and how, in swtpm's words: in `folder` unless given
   */
  constructor(folder: string, options: readonly string[] = ['--tpmstate', `dir=${folder}`]) {
    this.folder = folder;
    this.#options = options;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const workerData: HostData = { port: port2, signal: this.#signal };
    const script = new URL('./swtpm-host.js', import.meta.url);
    this.#worker = new Worker(script, { workerData, transferList: [port2] });
    this.#worker.unref();
    this.#start();
  }

  /** Sends one command as one frame and gives its response. */
  readonly transmit = (request: Uint8Array): Uint8Array =>
    this.#ask({ do: 'exchange', channel: 'data', bytes: request, length: 'header' });

  /** The locality of every command from now on. */
  setLocality(locality: number): void {
    this.#control(CTRL.SET_LOCALITY, encode(u8, locality));
  }

  /** A measured launch: HASH_START, HASH_DATA and HASH_END of locality 4. */
  hash(data: Uint8Array): void {
    this.#control(CTRL.HASH_START);
    this.#control(CTRL.HASH_DATA, concat(encode(u32, data.length), data));
    this.#control(CTRL.HASH_END);
  }

  /** The TPM_ESTABLISHED flag. */
  established(): boolean {
    return this.#control(CTRL.GET_ESTABLISHED, new Uint8Array(), 8)[4] === 1;
  }

  /** Cuts the power and gives it back. */
  restart(): void {
    this.#ask({ do: 'stop' });
    this.#start();
  }

  /**
   * Powers on with these states, as after a migration, and with none where they are not given.
   * libtpms loads `permall`, and stores what it has loaded.
   */
  adopt(states: Partial<Record<'permall' | 'savestate', Uint8Array | undefined>>): void {
    this.#control(CTRL.STOP);
    for (const name of NAMES) rmSync(this.#path(name), { force: true });
    for (const name of ['permall', 'savestate'] as const) {
      const state = states[name];
      const sent = state === undefined ? new Uint8Array() : wrapForMigration(state);
      const head = concat(encode(u32, 0), encode(u32, NAMES.indexOf(name) + 1));
      this.#control(CTRL.SET_STATEBLOB, concat(head, encode(u32, sent.length), sent));
    }
    this.#control(CTRL.INIT, encode(u32, 0));
  }

  /** libtpms's permanent state as it lies in the file, without swtpm's header. */
  permall(): Uint8Array | undefined {
    return this.#blob('permall');
  }

  /** What TPM_SaveState stored, if it still lies there. */
  savestate(): Uint8Array | undefined {
    return this.#blob('savestate');
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#ask({ do: 'stop' });
    this.#port.close();
    void this.#worker.terminate();
  }

  #start(): void {
    this.#ask({ do: 'start', folder: this.folder, options: this.#options });
    this.#running = true;
  }

  #path(name: Name): string {
    return join(this.folder, `tpm-00.${name}`);
  }

  #blob(name: Name): Uint8Array | undefined {
    const path = this.#path(name);
    return existsSync(path) ? unwrapState(new Uint8Array(readFileSync(path))) : undefined;
  }

  #control(command: number, body: Uint8Array = new Uint8Array(), length = 4): Uint8Array {
    const bytes = concat(encode(u32, command), body);
    const answer = this.#ask({ do: 'exchange', channel: 'ctrl', bytes, length });
    const result = new DataView(answer.buffer, answer.byteOffset).getUint32(0);
    if (result !== 0) throw new Error(`swtpm answered control command ${command} with ${result}`);
    return answer;
  }

  #ask(ask: Ask): Uint8Array {
    this.#port.postMessage(ask);
    // A late wake-up of the answer before ends a wait too early, so the value decides. There is no
    // limit: the worker answers with an error where swtpm has ended.
    while (Atomics.load(this.#signal, 0) === 0) Atomics.wait(this.#signal, 0, 0);
    Atomics.store(this.#signal, 0, 0);
    const answer = receiveMessageOnPort(this.#port)?.message as Answer;
    if ('error' in answer) throw new Error(answer.error);
    return answer.bytes;
  }
}

/** Puts libtpms's `permall` into a state folder, as swtpm would have stored it. */
export const writePermall = (folder: string, permall: Uint8Array): void =>
  writeFileSync(join(folder, 'tpm-00.permall'), wrapState(permall));

/** swtpm on a folder of its own, from `permall` if one is given; stopped after the test. */
export function swtpm(t: Scope, permall?: Uint8Array): Swtpm {
  const folder = scratch(t);
  if (permall !== undefined) writePermall(folder, permall);
  const tpm = new Swtpm(folder);
  t.teardown(() => tpm.stop());
  return tpm;
}
