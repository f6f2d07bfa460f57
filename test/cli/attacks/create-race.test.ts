/**
 * Fault A2 (attacks.md, row 2): `create` that loses a race for its image does not remove what another
 * instance has stored there. `create` is stopped at each of its fsyncs in turn (strace delivers the
 * signal), another instance starts a TPM in the image if it can, and `create` then goes on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { commands } from '../../../src/testing/guest/index.js';
import { scratch, toHex } from '../../_files.js';
import { peerTest } from '../../_peers.js';
import { nvtpm, PROGRAM } from '../_cli.js';
import { Serving } from '../_serving.js';
import { identityOf, Owner } from './_owned.js';

const NONCE = new Uint8Array(20);

/** `create` under strace, which stops it at the nth fsync or fdatasync of its main thread. */
class StoppedCreate {
  readonly #strace: ChildProcess;
  readonly #closed: Promise<unknown>;

  constructor(t: ExecutionContext, image: string, nth: number) {
    const calls = 'fsync,fdatasync';
    // biome-ignore format: table
    this.#strace = spawn('strace', [
      '-o', `${image}.strace`, '-e', `trace=${calls}`, '-e', `inject=${calls}:signal=SIGSTOP:when=${nth}`,
      process.execPath, PROGRAM, 'create', image,
    ], { stdio: 'ignore' });
    this.#closed = once(this.#strace, 'close');
    t.teardown(() => {
      this.resume();
      this.#strace.kill('SIGKILL');
    });
  }

  /** Its process id, once it is stopped; undefined if it ends before. */
  async stopped(): Promise<number | undefined> {
    while (this.#strace.exitCode === null) {
      const pid = this.#pid();
      if (pid !== undefined && /^State:\s+[tT]/m.test(statusOf(pid))) return pid;
      await sleep(5);
    }
    return undefined;
  }

  resume(): void {
    const pid = this.#pid();
    if (pid !== undefined) process.kill(pid, 'SIGCONT');
  }

  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#strace.exitCode;
  }

  /** The process that strace runs. */
  #pid(): number | undefined {
    const { pid } = this.#strace;
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      return children === '' ? undefined : Number(children.split(' ')[0]);
    } catch {
      return undefined;
    }
  }
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
