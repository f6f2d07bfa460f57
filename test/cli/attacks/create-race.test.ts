/**
 * Fault A2 (attacks.md, row 2): `create` that loses a race for its image does not remove what another
 * instance has stored there. `create` is stopped after each of its fdatasyncs and fsyncs in turn (strace delivers the
 * signal), another instance starts a TPM in the image if it can, and `create` then goes on.
 * @long
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import { PROGRAM } from '../../../lab/program/cli.js';
import { Serving } from '../../../lab/program/serving.js';
import { commands } from '../../../src/guest/index.js';
import { peerTest } from '../../_peers.js';
import { identityOf, Owner } from './_owned.js';

const NONCE = new Uint8Array(20);

/** `create` under strace, which stops it after the nth `call` of its main thread. */
class StoppedCreate {
  readonly #strace: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #log: string;

  constructor(t: ExecutionContext, image: string, call: string, nth: number) {
    this.#log = `${image}.strace`;
    const inject = `inject=${call}:signal=SIGSTOP:when=${nth}`;
    const command = [process.execPath, PROGRAM, 'create', image];
    const args = ['-o', this.#log, '-e', `trace=${call}`, '-e', inject, ...command];
    this.#strace = spawn('strace', args, { stdio: 'ignore' });
    this.#closed = once(this.#strace, 'close');
    t.teardown(() => {
      this.resume();
      this.#strace.kill('SIGKILL');
    });
  }

  /** Whether it has come to its stop; false if it ended before. */
  async stopped(): Promise<boolean> {
    for (;;) {
      if (readOrNothing(this.#log).includes('stopped by SIGSTOP')) return true;
      if (this.#strace.exitCode !== null) return false;
      await sleep(5);
    }
  }

  resume(): void {
    const { pid } = this.#strace;
    const [child] = readOrNothing(`/proc/${pid}/task/${pid}/children`).trim().split(' ');
    if (child) process.kill(Number(child), 'SIGCONT');
  }

  /** Its exit code. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#strace.exitCode;
  }
}

const readOrNothing = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Starts a TPM in the image and makes its EK; undefined where the image is refused. */
async function rival(t: ExecutionContext, image: string): Promise<Serving | undefined> {
  const socket = ['--server', `type=unixio,path=${image}.sock`, '--flags', 'startup-clear'];
  const serving = await Serving.start(image, ...socket, '--lock-timeout', '100').catch(
    () => undefined,
  );
  if (serving === undefined) return undefined;
  t.teardown(() => serving.process.kill('SIGKILL'));
  const client = serving.client();
  await new Owner(client).run(commands.createEndorsementKeyPair(NONCE));
  client.close();
  return serving;
}

for (const call of ['fdatasync', 'fsync']) {
  peerTest(
    `create that is overtaken at any ${call}: an EK that another instance has stored is kept`,
    ['strace'],
    async t => {
      for (let nth = 1; ; nth += 1) {
        const image = join(scratch(t), 'tpm.qcow2');
        const create = new StoppedCreate(t, image, call, nth);
        if (!(await create.stopped())) {
          t.true(nth > 1, `create makes no ${call}`);
          return;
        }
        const serving = await rival(t, image);
        create.resume();
        const exit = await create.ended();
        t.true(existsSync(image), `stopped at ${nth}: create ends with ${exit}, the file is gone`);
        // 0 where it had closed the image before it was stopped.
        t.true(exit === 0 || (exit === 9 && serving !== undefined), `stopped at ${nth}: ${exit}`);
        if (serving === undefined) continue;
        await serving.stop();
        t.not(identityOf(image).ek, undefined, `stopped at ${nth}: the EK is gone`);
      }
    },
  );
}
