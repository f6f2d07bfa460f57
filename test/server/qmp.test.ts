/**
 * The monitor of `nvtpm run`: requests, malformed input, events, several clients.
 * @long
 */
import { once } from 'node:events';
import test from 'ava';
import { connected, Qemu, QTEST_PEERS } from '../../lab/peers/qtest.js';
import { JsonStream } from '../../src/server/json-stream.js';
import { peerTest } from '../_peers.js';
import { type Message, Monitor, Running } from './_running.js';

/** How QEMU 7.2 answers before qmp_capabilities, and then (recorded from it). */
// biome-ignore format: table
const RECORDED: readonly [string, Message][] = [
  ['{"execute":"query-status"}',                 { error: { class: 'CommandNotFound', desc: "Expecting capabilities negotiation with 'qmp_capabilities'" } }],
  ['{"execute":"foo","id":1}',                   { id: 1, error: { class: 'CommandNotFound', desc: "Expecting capabilities negotiation with 'qmp_capabilities'" } }],
  ['{"execute":"qmp_capabilities","id":1}',      { return: {}, id: 1 }],
  ['{"execute":"qmp_capabilities","id":[{"a":null}]}', { id: [{ a: null }], error: { class: 'CommandNotFound', desc: 'Capabilities negotiation is already complete, command ignored' } }],
  ['{"execute":"foo","id":"x"}',                 { id: 'x', error: { class: 'CommandNotFound', desc: 'The command foo has not been found' } }],
  ['[1]',                                        { error: { class: 'GenericError', desc: 'QMP input must be a JSON object' } }],
  ['5',                                          { error: { class: 'GenericError', desc: 'QMP input must be a JSON object' } }],
  ['"abc"',                                      { error: { class: 'GenericError', desc: 'QMP input must be a JSON object' } }],
  ['{"execute":5}',                              { error: { class: 'GenericError', desc: "QMP input member 'execute' must be a string" } }],
  ['{"arguments":{}}',                           { error: { class: 'GenericError', desc: "QMP input lacks member 'execute'" } }],
  ['{"execute":"query-status","foo":1}',         { error: { class: 'GenericError', desc: "QMP input member 'foo' is unexpected" } }],
  ['{"execute":"query-status","arguments":5}',   { error: { class: 'GenericError', desc: "QMP input member 'arguments' must be an object" } }],
  ['{"execute":"query-status","arguments":{"x":1}}', { error: { class: 'GenericError', desc: "Parameter 'x' is unexpected" } }],
  ['{"execute":\n"query-name"}',                 { return: {} }],
  ["{'execute':'query-uuid', 'id': 'it\\'s'}",   { return: { UUID: '00000000-0000-0000-0000-000000000000' }, id: "it's" }],
  ['}',                                          { error: { class: 'GenericError', desc: 'JSON parse error, expecting value' } }],
  ['{"execute":"query-migrate"}',                { return: {} }],
  ['{"execute":"migrate"}',                      { error: { class: 'GenericError', desc: "Parameter 'uri' is missing" } }],
  ['{"execute":"migrate","arguments":{"uri":5}}', { error: { class: 'GenericError', desc: "Invalid parameter type for 'uri', expected: string" } }],
  ['{"execute":"migrate","arguments":{"uri":"foo:bar"}}', { error: { class: 'GenericError', desc: "Parameter 'uri' expects a valid migration protocol" } }],
];

test('every request is answered as recorded', async t => {
  const monitor = await Running.start(t).monitor(false);
  t.is(typeof (monitor.greeting['QMP'] as Message)['version'], 'object');
  for (const [request, answer] of RECORDED)
    t.deepEqual(await monitor.ask(request), answer, request);
});

peerTest('every request is answered as recorded: QEMU', QTEST_PEERS, async t => {
  const qemu = await Qemu.start('1.2');
  t.teardown(() => qemu.close());
  const monitor = await Monitor.open(qemu.monitor, qemu.process, false);
  t.teardown(() => monitor.close());
  for (const [request, answer] of RECORDED)
    t.deepEqual(await monitor.ask(request), answer, request);
});

test('malformed JSON is refused, and the next client is answered', async t => {
  const running = Running.start(t);
  // biome-ignore format: table
  for (const text of ['{foo}', 'junk', ']', '{"execute":"query-name"}]', '{"a":"b\n', `"${'x'.repeat(100_000)}`,
    '['.repeat(100_000), `{"id":"${'y'.repeat(200_000)}"}`]) {
    const monitor = await running.monitor();
    let answer = await monitor.ask(text);
    if ('return' in answer) answer = await monitor.reply();
    t.like(answer, { error: { class: 'GenericError' } }, text.slice(0, 20));
    t.regex((answer['error'] as { desc: string }).desc, /^JSON parse error, /);
    monitor.close();
  }
  const monitor = await running.monitor();
  t.is((await monitor.ask('{foo} {"execute":"query-name","id":2}'))['id'], undefined);
  t.is((await monitor.reply())['id'], 2);
});

test('the state of the machine, and the events of its changes', async t => {
  const running = Running.start(t);
  const monitor = await running.monitor();
  const other = await running.monitor();
  const deaf = await running.monitor(false);
  const status = (): Promise<unknown> => monitor.run('query-status');
  t.deepEqual(await status(), { status: 'running', singlestep: false, running: true });
  await monitor.run('stop');
  t.deepEqual(await status(), { status: 'paused', singlestep: false, running: false });
  await monitor.run('stop');
  await monitor.run('cont');
  await monitor.run('cont');
  await monitor.run('system_reset');
  await monitor.run('system_powerdown');
  await status();
  const expected = ['STOP', 'RESUME', 'RESET', 'POWERDOWN'];
  t.deepEqual(
    monitor.events.map(({ event }) => event),
    expected,
  );
  t.deepEqual(monitor.events[2]!['data'], { guest: false, reason: 'host-qmp-system-reset' });
  await other.run('query-status');
  t.deepEqual(other.events, monitor.events);
  await deaf.ask('{"execute":"qmp_capabilities"}');
  t.deepEqual(deaf.events, [], 'events need negotiated capabilities');
  const { seconds, microseconds } = monitor.events[0]!['timestamp'] as Record<string, number>;
  t.true(Math.abs(seconds! - Date.now() / 1000) < 600);
  t.true(Number.isInteger(microseconds) && microseconds! >= 0 && microseconds! < 1e6);
});

test('queries about the machine', async t => {
  const running = Running.start(t);
  const monitor = await running.monitor();
  const version = (await monitor.run('query-version')) as { package: string };
  t.like(version, { qemu: { major: 7, minor: 2 } });
  t.regex(version.package, /^nvtpm \d+\.\d+\.\d+$/);
  t.deepEqual((monitor.greeting['QMP'] as Message)['version'], version);
  t.like(await monitor.run('query-tpm'), [{ model: 'tpm-tis', options: { type: 'emulator' } }]);
  t.deepEqual(await monitor.run('query-tpm-models'), ['tpm-tis']);
  t.deepEqual(await monitor.run('query-tpm-types'), ['emulator']);
  const names = ((await monitor.run('query-commands')) as { name: string }[]).map(c => c.name);
  for (const name of ['quit', 'stop', 'cont', 'system_reset', 'query-status', 'migrate']) {
    t.true(names.includes(name), name);
  }
});

test('system_reset starts the TPM from its stored state', async t => {
  const running = Running.start(t);
  const client = await running.qtest();
  const monitor = await running.monitor();
  const startup = async (): Promise<string> => {
    const words = ['writeb 0xfed40000 2', 'writeb 0xfed40018 0x40'];
    for (const byte of '00c10000000c000000990001'.match(/../g)!) {
      words.push(`writeb 0xfed40024 0x${byte}`);
    }
    for (const word of [...words, 'writeb 0xfed40018 0x20']) await client.ask(word);
    let reply = '';
    for (let i = 0; i < 10; i += 1) reply += (await client.ask('read 0xfed40024 1')).slice(5);
    return reply;
  };
  t.is(await startup(), '00c40000000a00000000');
  t.is(await startup(), '00c40000000a00000026', 'TPM_INVALID_POSTINIT, as swtpm 0.7.1 has it');
  await monitor.run('system_reset');
  t.is(await startup(), '00c40000000a00000000');
});

test('connections that break do not affect later clients', async t => {
  const running = Running.start(t);
  for (let i = 0; i < 20; i += 1) {
    const socket = await connected(running.at('qmp'), running.process);
    socket.write('{"execute":"qmp_capabilities"}{"execute":"query-commands"}'.repeat(i));
    if (i % 2 === 0) socket.destroy();
    else socket.end();
  }
  const monitor = await running.monitor();
  t.like(await monitor.run('query-status'), { running: true });
});

test('a client that does not read is closed, and the others are served', async t => {
  const running = Running.start(t);
  const lazy = await connected(running.at('qmp'), running.process);
  lazy.on('error', () => {});
  lazy.pause();
  lazy.write('{"execute":"qmp_capabilities"}');
  const monitor = await running.monitor();
  const cycle = '{"execute":"stop"}{"execute":"cont"}';
  // About 2 MB of events.
  for (let i = 0; i < 100; i += 1) {
    monitor.send(cycle.repeat(100));
    for (let n = 0; n < 200; n += 1) await monitor.reply();
    monitor.events.length = 0;
  }
  t.like(await monitor.run('query-status'), { running: true });
  const closed = once(lazy, 'close');
  lazy.resume();
  await closed;
});

/** The values and faults in a stream of these chunks. */
function parse(...chunks: readonly string[]): unknown[] {
  const stream = new JsonStream();
  return chunks.flatMap(chunk =>
    [...stream.push(new TextEncoder().encode(chunk))].map(parsed =>
      'value' in parsed ? parsed.value : 'fault',
    ),
  );
}

test('JSON values are found wherever they end', t => {
  t.deepEqual(parse('{"a":[1,{"b":"}]"}]}{}', ' [] 5 null "x"'), [
    { a: [1, { b: '}]' }] },
    {},
    [],
    5,
    null,
    'x',
  ]);
  t.deepEqual(parse('{"a"', ':"\\', '"\\\\', '"}'), [{ a: '"\\' }]);
  t.deepEqual(parse(`{'a':'"\\'\\u0041\\\\'}`), [{ a: `"'A\\` }]);
  t.deepEqual(parse('{"a":1 2}{"b":1}'), ['fault', { b: 1 }]);
  t.deepEqual(parse('tru', 'e\n'), [true]);
});

test('a malformed value is one fault, and the next line is read', t => {
  const next = '\n{"a":1}';
  // biome-ignore format: table
  for (const bad of ['['.repeat(200), '{"a":'.repeat(1000), `"${'x'.repeat(70_000)}"`, '}]}]', '"a\u0001b" [1] {}',
    '{"a":"b', '\uFFFD\uFFFD\uFFFD']) {
    t.deepEqual(parse(bad + next), ['fault', { a: 1 }], bad.slice(0, 20));
    t.deepEqual(parse(...bad, ...next), ['fault', { a: 1 }], `${bad.slice(0, 20)} in pieces`);
  }
});

test('an incomplete value takes a bounded amount of memory', t => {
  const stream = new JsonStream();
  const chunk = new TextEncoder().encode('a'.repeat(20_000));
  t.deepEqual([...stream.push(new TextEncoder().encode('"'))], []);
  let faults = 0;
  let held = 0;
  for (let i = 0; i < 100; i += 1) {
    for (const parsed of stream.push(chunk)) if ('fault' in parsed) faults += 1;
    held += Number(stream.partial);
  }
  t.is(faults, 1);
  t.true(held < 5, 'a fault discards what came before it');
});
