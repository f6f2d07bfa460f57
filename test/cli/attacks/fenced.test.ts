/**
 * Fault A8 (attacks.md, row 8): a server that lost its image ends with the exit code that says so, and a
 * source of a migration does not believe that its machine was taken over before it has looked at the image.
 * @long
 */
import { truncateSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { scratch } from '../../../lab/files.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { type Monitor, Running } from '../../server/_running.js';
import { DISABLE, storingServer, TPM_FAIL } from './_server.js';
import { GET_RANDOM } from './_verdicts.js';

const FENCED = 10;
const UNLOCKED = ['--image-lock', 'off'] as const;

test('a server that another instance has fenced ends with FENCED', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  const serving = await storingServer(t, image, ...UNLOCKED);
  t.is(nvtpm(['exec', image, GET_RANDOM, ...UNLOCKED]).exit, 0);
  t.is(await serving.ask(DISABLE), TPM_FAIL);
  // It ends by itself. Signals that arrive all the while, up to its last moment, change nothing.
  const ended = serving.ended();
  while (serving.process.exitCode === null && serving.process.signalCode === null) {
    serving.process.kill('SIGTERM');
    await setImmediate();
  }
  const { exit, err } = await ended;
  t.is(exit, FENCED, err);
});

test('a server whose image was truncated does not end with 0', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  const serving = await storingServer(t, image);
  truncateSync(image, 300_000);
  t.is(await serving.ask(DISABLE), TPM_FAIL);
  const { exit, err } = await serving.stop();
  t.true([4, 11, 12].includes(exit!), `${exit}: ${err}`);
});

/** Waits until a migration has ended, and gives its end. */
async function migrated(monitor: Monitor, path: string): Promise<Record<string, unknown>> {
  await monitor.run('migrate', { uri: `unix:${path}` });
  for (;;) {
    const now = (await monitor.run('query-migrate')) as Record<string, unknown>;
    if (now['status'] !== 'active') return now;
  }
}

test('a target that claims to have taken the machine and has not: the source runs on', async t => {
  const source = Running.start(t);
  const monitor = await source.monitor();
  const client = await source.qtest();
  await client.write(0xfed4_0000, 1, 0x02);
  const path = join(source.folder, 'liar');
  const server = createServer(socket => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('{"taken":true}\n'));
  }).listen(path);
  t.teardown(() => server.close());
  t.is((await migrated(monitor, path))['status'], 'failed');
  t.like(await monitor.run('query-status'), { status: 'running' });
  t.is(await client.read(0xfed4_0000, 1), 0xa1, 'the locality is still active');
  source.process.kill('SIGTERM');
  t.is((await source.ended()).exit, 0);
  t.is(nvtpm(['check', source.image, '--expect-existing']).exit, 0);
});
