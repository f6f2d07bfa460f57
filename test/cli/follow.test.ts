/** `nvtpm trace -f`: a trace as it is written, until a signal, or until its reader is gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { PROGRAM } from '../../lab/program/program.js';
import { follow } from '../../src/cli/follow.js';
import { cli } from './_in-process.js';

const event = (at: number, to: string): string => JSON.stringify({ at, event: 'power', to });

class Following {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: ExecutionContext, file: string) {
    this.process = spawn(process.execPath, [PROGRAM, 'trace', '-f', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => this.process.kill('SIGKILL'));
    this.#lines = createInterface(this.process.stdout!)[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? '(ended)' : value.trim();
  }

  async exit(): Promise<unknown> {
    const { exitCode, signalCode } = this.process;
    if (exitCode !== null || signalCode !== null) return exitCode ?? signalCode;
    const [code, signal] = await once(this.process, 'exit');
    return code ?? signal;
  }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`a file is followed as it grows, until ${signal}`, async t => {
    const file = join(scratch(t), 'trace');
    writeFileSync(file, `${event(1, 'on')}\n`);
    const following = new Following(t, file);
    t.is(await following.line(), '1.000      power on');
    // Half of an event waits for the other half.
    const next = event(2, 'off');
    appendFileSync(file, `${next}\n${next.slice(0, 9)}`);
    t.is(await following.line(), '2.000      power off');
    appendFileSync(file, `${next.slice(9)}\n${event(3, 'on')}\n{"at":`);
    t.is(await following.line(), '2.000      power off');
    t.is(await following.line(), '3.000      power on');
    following.process.kill(signal);
    t.is(await following.line(), '(ended)');
    t.is(await following.exit(), 0, 'the event that is cut off is no error');
  });
}

test('a file that is truncated is read from its start, and said to be', async t => {
  const file = join(scratch(t), 'trace');
  writeFileSync(file, `${event(1, 'on')}\n${event(2, 'off')}\n`);
  const following = new Following(t, file);
  t.is(await following.line(), '1.000      power on');
  t.is(await following.line(), '2.000      power off');
  const warnings = createInterface(following.process.stderr!)[Symbol.asyncIterator]();
  truncateSync(file, 0);
  t.regex((await warnings.next()).value, /trace: the file was truncated/);
  appendFileSync(file, `${event(3, 'on')}\n`);
  t.is(await following.line(), '3.000      power on');
  appendFileSync(file, 'x\n');
  t.regex((await warnings.next()).value, /trace, line 2: not a trace event/);
  t.is(await following.exit(), 2);
});

test('it ends without a word once the reader of its output has closed it', async t => {
  const file = join(scratch(t), 'trace');
  writeFileSync(file, `${event(1, 'on')}\n`);
  const following = new Following(t, file);
  t.is(await following.line(), '1.000      power on');
  const closed = once(following.process.stdout!, 'close');
  following.process.stdout!.destroy();
  await closed;
  appendFileSync(file, `${event(2, 'off')}\n`);
  t.is(await following.exit(), 0);
  t.is(following.process.stderr!.read(), null);
});

test('a signal ends it while much is left to read', async t => {
  const file = join(scratch(t), 'trace');
  const total = 10_000;
  writeFileSync(file, `${event(1, 'on')}\n`.repeat(total));
  const quit = new AbortController();
  setImmediate(() => quit.abort());
  let read = 0;
  for await (const { kind } of follow(file, quit.signal)) if (kind === 'line') read += 1;
  t.true(read > 0 && read < total, `${read} of ${total} lines`);
});

test('a missing file is an error; standard input ends by itself', async t => {
  t.is((await cli(['trace', '-f', join(scratch(t), 'missing')])).exit, 12);
  const run = await cli(['trace', '-f', '-'], { input: `${event(1, 'on')}\n` });
  t.like(run, { exit: 0, out: '     1.000      power on\n' });
});
