/**
 * `nvtpm run` from its start to its end: addresses, signals, exit codes, and moving away.
 * @long
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { Lines } from '../../lab/peers/qtest.js';
import { nvtpm, PROGRAM } from '../../lab/program/cli.js';
import { parseAddress } from '../../src/server/index.js';
import { type Monitor, QtestClient, Running } from './_running.js';

test('addresses are spelt as QEMU spells them', t => {
  // biome-ignore format: table
  const good: [string, unknown][] = [
    ['stdio',                             { kind: 'stdio' }],
    ['unix:/a',                           { kind: 'unix', path: '/a', server: false, wait: true }],
    ['unix:/a,server=on,wait=off',        { kind: 'unix', path: '/a', server: true, wait: false }],
    ['unix:/a,server=on',                 { kind: 'unix', path: '/a', server: true, wait: true }],
    ['unix:/a,server,nowait',             { kind: 'unix', path: '/a', server: true, wait: false }],
    ['unix:/a,server=off',                { kind: 'unix', path: '/a', server: false, wait: true }],
    ['unix:/a,,b,,,server=on',            { kind: 'unix', path: '/a,b,', server: true, wait: true }],
  ];
  for (const [text, address] of good) t.deepEqual(parseAddress(text), address as never, text);
  // biome-ignore format: table
  for (const text of ['', 'unix:', 'unix:,server=on', '/a', 'tcp:127.0.0.1:1', 'unix:/a,server=yes', 'unix:/a,constructor',
    `unix:/${'a'.repeat(107)}`, 'unix:/a,']) {
    t.throws(() => parseAddress(text), { code: 'ADDRESS' }, text);
  }
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} switches the machine off in order`, async t => {
    const running = Running.start(t, undefined, '--json');
    const monitor = await running.monitor();
    t.is(lstatSync(running.at('qmp')).mode & 0o777, 0o600);
    running.process.kill(signal);
    const event = await monitor.event('SHUTDOWN');
    t.deepEqual(event['data'], { guest: false, reason: 'host-signal' });
    const { exit, out, err } = await running.ended();
    t.is(exit, 0, err);
    const { ended, generation } = JSON.parse(out);
    t.is(ended, 'host-signal');
    t.true(generation > 0);
    const { nvram } = nvtpm(['info', running.image, '--json']).json() as never;
    t.like(nvram, { outcome: 'OK', generation, mark: 'clean' });
    t.is(lstatSync(running.at('qmp'), { throwIfNoEntry: false }), undefined, 'the socket is gone');
  });
}

test('quit ends it, after its reply', async t => {
  const running = Running.start(t);
  const monitor = await running.monitor();
  t.deepEqual(await monitor.ask('{"execute":"quit","id":9}'), { return: {}, id: 9 });
  t.deepEqual(monitor.events[0]!['data'], { guest: false, reason: 'host-qmp-quit' });
  const { exit, out } = await running.ended();
  t.is(exit, 0);
  t.regex(out, /running .*\n.*ended by host-qmp-quit, generation \d+\n$/);
});

test('a socket at which a program listens is not replaced', async t => {
  const first = Running.start(t);
  const monitor = await first.monitor();
  const other = join(first.folder, 'other.qcow2');
  nvtpm(['create', other]);
  const args = ['run', other, '--qmp', `unix:${first.at('qmp')},server=on,wait=off`];
  const { exit, err } = nvtpm(args);
  t.is(exit, 12);
  t.regex(err, /another program listens there/);
  t.like(await monitor.run('query-status'), { status: 'running' });
});

test('the state outlives the run', async t => {
  const first = Running.start(t);
  await (await first.monitor()).run('quit');
  await first.ended();
  const before = nvtpm(['info', first.image, '--json']).json();
  const second = Running.start(t, first.image, '--expect-existing');
  t.is(await (await second.qtest()).ask('readl 0xfed40f00'), 'OK 0x0000000000011014');
  second.process.kill('SIGTERM');
  t.is((await second.ended()).exit, 0);
  const after = nvtpm(['info', first.image, '--json']).json();
  t.is(uuidOf(after), uuidOf(before));
});

const uuidOf = (info: unknown): string => (info as { nvram: { uuid: string } }).nvram.uuid;

test('a faulty image ends it with the fault’s exit code, and no socket is left', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  nvtpm(['create', image]);
  const empty = Running.start(t, image, '--expect-existing');
  t.is((await empty.ended()).exit, 3);
  t.is(lstatSync(empty.at('qtest'), { throwIfNoEntry: false }), undefined);
  nvtpm(['exec', image, '00c10000000a00000053']);
  const bytes = readFileSync(image);
  const at = bytes.indexOf('permall');
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(image, bytes);
  t.is((await Running.start(t, image).ended()).exit, 4);
  t.is((await Running.start(t, join(folder, 'missing')).ended()).exit, 12);
});

test('the command line is checked before anything is touched', t => {
  const image = join(scratch(t), 'tpm.qcow2');
  nvtpm(['create', image]);
  const before = readFileSync(image);
  // biome-ignore format: table
  for (const args of [[], ['--qtest', 'nowhere'], ['--qmp', 'unix:'], ['--qtest', 'stdio', '--qmp', 'stdio'],
    ['--qtest', 'stdio', '--json'], ['--qmp', 'stdio', '--incoming', 'stdio'], ['--qmp', 'tcp:0.0.0.0:4444']]) {
    t.is(nvtpm(['run', image, ...args]).exit, 2, args.join(' '));
  }
  t.deepEqual(readFileSync(image), before);
});

test('qtest over standard input and output, where nothing else is printed', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  nvtpm(['create', image]);
  const child = spawn(process.execPath, [PROGRAM, 'run', image, '--qtest', 'stdio']);
  t.teardown(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', chunk => (out += chunk));
  child.stdin.write('readl 0xfed40f00\nendianness\n');
  child.stdin.end();
  while (out.split('\n').length < 3) await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [exit] = await once(child, 'exit');
  t.is(exit, 0);
  t.is(out, 'OK 0x0000000000011014\nOK little\n');
});

test('it connects to sockets as libqtest expects it: qtest first, then QMP', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  nvtpm(['create', image]);
  const order: string[] = [];
  const waiting = ['q', 'm'].map(async name => {
    const server = createServer().listen(join(folder, name));
    const [socket] = (await once(server, 'connection')) as [Socket];
    order.push(name);
    server.close();
    return new Lines(socket);
  });
  // biome-ignore format: table
  const child = spawn(process.execPath, [PROGRAM, 'run', image,
    '--qtest', `unix:${join(folder, 'q')}`, '--qmp', `unix:${join(folder, 'm')}`], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const [qtest, qmp] = await Promise.all(waiting);
  t.deepEqual(order, ['q', 'm']);
  t.is(await new QtestClient(qtest!).ask('endianness'), 'OK little');
  t.true(JSON.parse(await qmp!.next()).QMP !== undefined);
  child.kill('SIGTERM');
  const [exit] = await once(child, 'exit');
  t.is(exit, 0);
});

test('with wait=on nothing starts before the client has connected; a signal ends the wait', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  nvtpm(['create', image]);
  const before = readFileSync(image);
  const child = spawn(process.execPath, [
    PROGRAM,
    'run',
    image,
    '--qtest',
    `unix:${join(folder, 'q')},server=on`,
  ]);
  t.teardown(() => child.kill('SIGKILL'));
  while (lstatSync(join(folder, 'q'), { throwIfNoEntry: false }) === undefined) {
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  t.deepEqual(readFileSync(image), before);
  child.kill('SIGTERM');
  const [exit] = await once(child, 'exit');
  t.is(exit, 0);
  t.deepEqual(readFileSync(image), before);
});

test('a file that is not a socket is not replaced; a socket that a killed run left is', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  nvtpm(['create', image]);
  const file = join(folder, 'precious');
  writeFileSync(file, 'x');
  const refused = nvtpm(['run', image, '--qmp', `unix:${file},server=on,wait=off`]);
  t.is(refused.exit, 12);
  t.is(readFileSync(file, 'utf8'), 'x');
  const killed = Running.start(t, image);
  await killed.monitor();
  killed.process.kill('SIGKILL');
  await killed.ended();
  t.true(lstatSync(killed.at('qmp')).isSocket());
  const again = Running.start(t, image, '--qmp', `unix:${killed.at('qmp')},server=on,wait=off`);
  t.like(await (await again.monitor()).run('query-status'), { running: true });
});

/** Waits until a migration has ended, and gives its end. */
async function migrated(monitor: Monitor, path: string): Promise<Record<string, unknown>> {
  await monitor.run('migrate', { uri: `unix:${path}` });
  for (;;) {
    const now = (await monitor.run('query-migrate')) as Record<string, unknown>;
    if (now['status'] !== 'active') return now;
  }
}

test('a machine moves from one process to another', async t => {
  const source = Running.start(t);
  const monitor = await source.monitor();
  const client = await source.qtest();
  // Half a command: it goes with the machine.
  for (const [at, value] of [
    [0x00, 0x02],
    [0x18, 0x40],
    [0x24, 0x00],
    [0x24, 0xc1],
  ] as const) {
    await client.write(0xfed4_0000 + at, 1, value);
  }
  const path = join(source.folder, 'incoming');
  const target = Running.start(t, source.image, '--incoming', `unix:${path}`);
  const arrival = await target.monitor();
  t.like(await arrival.run('query-status'), { status: 'inmigrate', running: false });
  const there = await target.qtest();
  t.is(await there.read(0xfed4_0000, 1), 0, 'no registers before the machine arrives');
  t.like(await arrival.ask('{"execute":"system_reset"}'), { error: { class: 'GenericError' } });
  t.deepEqual(await migrated(monitor, path), { status: 'completed' });
  t.like(await monitor.run('query-status'), { status: 'postmigrate' });
  t.is(monitor.events[0]!['event'], 'STOP');
  t.is(await client.read(0xfed4_0000, 1), 0);
  t.like(await monitor.ask('{"execute":"cont"}'), { error: { class: 'GenericError' } });
  await arrival.event('RESUME');
  t.like(await arrival.run('query-status'), { status: 'running' });
  t.is(await there.read(0xfed4_0000, 1), 0xa1);
  t.is(await there.read(0xfed4_0018, 4), 0x000f_fe88);
  source.process.kill('SIGTERM');
  t.is((await source.ended()).exit, 0);
  target.process.kill('SIGTERM');
  t.is((await target.ended()).exit, 0);
  t.is(nvtpm(['check', source.image]).exit, 0);
});

test('a target that refuses leaves the machine running at the source', async t => {
  const source = Running.start(t);
  const monitor = await source.monitor();
  const client = await source.qtest();
  await client.write(0xfed4_0000, 1, 0x02);
  const path = join(source.folder, 'refuses');
  const server = createServer(socket => {
    socket.once('data', () => socket.end('{"taken":false,"why":"no room"}\n'));
  }).listen(path);
  t.teardown(() => server.close());
  const refused = await migrated(monitor, path);
  t.is(refused['status'], 'failed');
  t.regex(refused['error-desc'] as string, /no room/);
  t.like(await monitor.run('query-status'), { status: 'running' });
  t.deepEqual(
    monitor.events.map(({ event }) => event),
    ['STOP', 'RESUME'],
  );
  t.is(await client.read(0xfed4_0000, 1), 0xa1);
  const unreachable = await migrated(monitor, join(source.folder, 'missing'));
  t.regex(unreachable['error-desc'] as string, /no program listens there/);
  t.like(await monitor.run('query-status'), { status: 'running' });
});

test('a target that receives a malformed manifest ends, and has written nothing', async t => {
  const first = Running.start(t);
  await (await first.monitor()).run('quit');
  await first.ended();
  const before = readFileSync(first.image);
  const path = join(first.folder, 'incoming');
  const target = Running.start(t, first.image, '--incoming', `unix:${path}`);
  await target.monitor();
  connect(path).end('{"kind":"nonsense"}\n');
  const { exit, err } = await target.ended();
  t.is(exit, 1, err);
  t.regex(err, /the migration was refused/);
  t.deepEqual(readFileSync(first.image), before);
});
