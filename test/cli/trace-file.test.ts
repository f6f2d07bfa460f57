/**
 * `--trace` under a slow reader, a full disk and a closed pipe: events are lost and counted, and the
 * TPM answers as without it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { PROGRAM } from '../../lab/program/cli.js';
import { Client } from '../../lab/program/serving.js';
import { LineWriter, PENDING_BYTES_MAX } from '../../src/cli/line-writer.js';
import type { Output } from '../../src/cli/surroundings.js';
import { cli, failing, Sink } from './_in-process.js';

const PCR_READ = '00c10000000e0000001500000000';
const PCR_ZERO = `00c40000001e00000000${'00'.repeat(20)}`;

async function madeImage(t: ExecutionContext): Promise<string> {
  const image = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', image, '--size', '1M'])).exit, 0);
  return image;
}

test('serve --trace - under a reader that never reads: every command is answered', async t => {
  const image = await madeImage(t);
  const args = ['serve', image, '--server', 'port=0', '--flags', 'startup-clear', '--trace', '-'];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  const [said] = await once(child.stdout, 'data');
  const client = new Client(Number(/:(\d+);/.exec(`${said}`)?.[1]));
  // About 1 KiB of events each: more than a pipe and its reader's buffer hold.
  for (let count = 0; count < 1000; count += 1) t.is(await client.ask(PCR_READ), PCR_ZERO);
  client.close();
  child.kill('SIGTERM');
  let err = '';
  child.stderr.on('data', chunk => (err += chunk));
  t.is((await closed)[0], 0);
  // It was kept, and a reader that comes late still gets all of it.
  const commands = err.split('\n').filter(line => line.includes('"event":"command"'));
  t.is(commands.length, 1001, 'with TPM_Startup');
});

test('exec --trace on a full disk: the answers come, and one line counts what was lost', async t => {
  if (!existsSync('/dev/full')) {
    t.pass('there is no /dev/full here');
    return;
  }
  const run = await cli(['exec', await madeImage(t), PCR_READ, PCR_READ, '--trace', '/dev/full']);
  t.is(run.exit, 0, run.err);
  t.is(run.out, `${PCR_ZERO}\n${PCR_ZERO}\n`);
  t.regex(run.err, /^nvtpm: \/dev\/full: \d+ lines were lost \(ENOSPC\)\n$/);
});

test('exec --trace - into a closed pipe: the answers come', async t => {
  class Closed extends Sink {
    override write(): number {
      throw failing('EPIPE');
    }
  }
  const args = ['exec', await madeImage(t), PCR_READ, '--trace', '-'];
  const run = await cli(args, { stderr: new Closed() });
  t.is(run.exit, 0);
  t.is(run.out, `${PCR_ZERO}\n`);
});

test('a FIFO that no program reads is refused, and does not wait for a reader', async t => {
  const image = await madeImage(t);
  const fifo = `${image}.fifo`;
  if (spawnSync('mkfifo', [fifo]).status !== 0) {
    t.pass('there is no mkfifo here');
    return;
  }
  const run = await cli(['exec', image, PCR_READ, '--trace', fifo]);
  t.is(run.exit, 12);
  t.regex(run.err, /no program reads this FIFO/);
});

test('a trace is the owner’s only, and has whole lines', async t => {
  const image = await madeImage(t);
  const file = `${image}.trace`;
  t.is((await cli(['exec', image, PCR_READ, '--trace', file])).exit, 0);
  const lines = readFileSync(file, 'utf8').split('\n');
  t.is(lines.pop(), '');
  const events = new Set(lines.map(line => JSON.parse(line).event));
  for (const kind of 'lock unlock read validate write flush command register'.split(' ')) {
    t.true(events.has(kind), kind);
  }
});

/** An output whose next writes take so many bytes each, or fail; then it takes everything. */
function scripted(script: (number | string)[]): Pick<Output, 'write'> & { text: () => string } {
  const sink = new Sink();
  return {
    text: () => sink.text,
    write: bytes => {
      const step = script.shift() ?? bytes.length;
      if (typeof step === 'string') throw failing(step);
      return sink.write(bytes.subarray(0, step));
    },
  };
}

test('a line that was written in part is completed before the next one', t => {
  for (const refusal of ['EAGAIN', 'ENOSPC', 'EIO']) {
    const output = scripted([3, refusal, 2, refusal]);
    const writer = new LineWriter(output);
    writer.push('first line');
    t.is(output.text(), 'fir');
    writer.push('second');
    writer.push('third');
    t.is(writer.drain(0), undefined);
    t.is(output.text(), 'first line\nsecond\nthird\n', refusal);
  }
});

test('what waits is bounded; lines beyond the limit are dropped and counted', t => {
  const script = Array.from({ length: 10_000 }, () => 'EAGAIN');
  const output = scripted(script);
  const writer = new LineWriter(output);
  const line = 'x'.repeat(2 ** 16 - 1);
  const fit = PENDING_BYTES_MAX / 2 ** 16;
  for (let count = 0; count < fit + 7; count += 1) writer.push(line);
  t.deepEqual(writer.drain(0), { lines: fit + 7, errno: 'EAGAIN' });
  t.is(writer.drain(0), undefined, 'a loss is reported once');

  for (let count = 0; count < fit + 7; count += 1) writer.push(line);
  script.length = 0;
  t.deepEqual(writer.drain(0), { lines: 7, errno: 'EAGAIN' }, 'what waited is written late');
  t.is(output.text().length, fit * 2 ** 16);
});

test('after a loss in the middle of a line, the next one still begins on its own', t => {
  const output = scripted([3, ...Array.from({ length: 9 }, () => 'EAGAIN')]);
  const writer = new LineWriter(output);
  writer.push('first');
  writer.push('second');
  t.is(writer.drain(0)?.lines, 2);
  writer.push('third');
  writer.drain(1000);
  t.is(output.text(), 'first\nthird\n');
});
