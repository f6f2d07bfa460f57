/** What the command prints arrives whole, however its reader behaves. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { PROGRAM } from '../../lab/program/cli.js';
import { cli, failing, Sink } from './_in-process.js';

/** More than a pipe holds: 64 KiB on Linux. */
const EVENTS = 4000;

function longTrace(folder: string): string {
  const file = join(folder, 'trace');
  const lines = Array.from({ length: EVENTS }, (_, at) =>
    JSON.stringify({ at, event: 'power', to: `on ${at}` }),
  );
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Takes a few bytes at a time, and nothing every other time. */
class SlowPipe extends Sink {
  #calls = 0;

  override write(bytes: Uint8Array): number {
    this.#calls += 1;
    if (this.#calls % 50 === 0) throw failing('EAGAIN');
    return super.write(bytes.subarray(0, 1 + (this.#calls % 701)));
  }
}

class ClosedPipe extends Sink {
  readonly #linesMax: number;
  #writes = 0;

  constructor(linesMax: number) {
    super();
    this.#linesMax = linesMax;
  }

  override write(bytes: Uint8Array): number {
    this.#writes += 1;
    if (this.#writes > this.#linesMax) throw failing('EPIPE');
    return super.write(bytes);
  }
}

test('partial writes and EAGAIN are continued', async t => {
  const file = longTrace(scratch(t));
  for (const args of [
    ['trace', file],
    ['trace', file, '--json'],
  ]) {
    const whole = await cli(args);
    const slow = await cli(args, { stdout: new SlowPipe() });
    t.is(slow.exit, 0);
    t.is(slow.out, whole.out);
  }
});

test('a pipe whose reader is slow gets a document that is larger than the pipe', t => {
  const command = `"${process.execPath}" "${PROGRAM}" trace "${longTrace(scratch(t))}" --json`;
  const piped = `${command} | { sleep 1; cat; }; exit "\${PIPESTATUS[0]}"`;
  const { status, stdout } = spawnSync('bash', ['-c', piped], { encoding: 'utf8' });
  t.is(status, 0);
  t.true(stdout.length > 64 * 1024, `${stdout.length} bytes`);
  t.is(JSON.parse(stdout).events, EVENTS);
});

test('a reader that closes its pipe ends the output without a message', async t => {
  const file = longTrace(scratch(t));
  const run = await cli(['trace', file], { stdout: new ClosedPipe(3) });
  t.is(run.exit, 0);
  t.is(run.err, '');
  t.is(run.out.split('\n').length, 4);
});

test('trace - ends when its reader closes the pipe, whatever still comes in', async t => {
  const endless = Readable.from(
    (function* events() {
      for (let at = 0; ; at += 1) yield `{"at":${at},"event":"power","to":"${at}"}\n`;
    })(),
  );
  const run = await cli(['trace', '-'], { input: endless, stdout: new ClosedPipe(2) });
  t.is(run.exit, 0);
  t.is(run.err, '');
  t.true(endless.destroyed);
});

test('a full disk under standard output is IO, with --json too', async t => {
  class FullDisk extends Sink {
    override write(): number {
      throw failing('ENOSPC');
    }
  }
  const file = longTrace(scratch(t));
  for (const more of [[], ['--json']]) {
    const run = await cli(['trace', file, ...more], { stdout: new FullDisk() });
    t.is(run.exit, 12);
    t.regex(run.err, /^nvtpm: cannot write standard output: no space left[^\n]*\n$/);
  }
});
