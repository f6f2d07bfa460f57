/** Messages over a socket, whatever the peer does with it. */
import test, { type ExecutionContext } from 'ava';
import { Channel, ChannelError } from '../../src/migration/index.js';
import { connection } from './_hosts.js';

const WAIT = { timeoutMs: 5000 };
const fails = (code: ChannelError['code']) => ({ instanceOf: ChannelError, code }) as const;

async function ends(t: ExecutionContext) {
  const [near, far] = await connection(t);
  near.on('error', () => {});
  return { near, far, channel: new Channel(far) };
}

test('lines are messages, however they arrive', async t => {
  const { near, channel } = await ends(t);
  near.write('{"a":1}\n[2]\n"th');
  t.deepEqual(await channel.receive(WAIT), { a: 1 });
  t.deepEqual(await channel.receive(WAIT), [2]);
  const third = channel.receive(WAIT);
  near.write('ree"\n');
  t.is(await third, 'three');
});

test('what arrived before the peer went is received; then the channel is closed', async t => {
  const { near, channel } = await ends(t);
  near.end('1\n2\n');
  t.is(await channel.receive(WAIT), 1);
  t.is(await channel.receive(WAIT), 2);
  await t.throwsAsync(channel.receive(WAIT), fails('CLOSED'));
});

test('silence, an abort and nonsense are told apart, and a later message is received', async t => {
  const { near, channel } = await ends(t);
  await t.throwsAsync(channel.receive({ timeoutMs: 1 }), fails('TIMEOUT'));
  const stop = new AbortController();
  const waiting = channel.receive({ ...WAIT, signal: stop.signal });
  stop.abort();
  await t.throwsAsync(waiting, fails('ABORTED'));
  await t.throwsAsync(channel.receive({ ...WAIT, signal: stop.signal }), fails('ABORTED'));
  near.write('no JSON\n"later"\n');
  await t.throwsAsync(channel.receive(WAIT), fails('MESSAGE'));
  t.is(await channel.receive(WAIT), 'later');
});

test('a line without an end is bounded, and a peer that sends more is not read', async t => {
  const { near, far, channel } = await ends(t);
  near.write(Buffer.alloc(1024 * 1024 + 1, 0x20));
  await t.throwsAsync(channel.receive(WAIT), fails('MESSAGE'));
  t.true(far.destroyed);

  const flood = await ends(t);
  flood.near.write(`1\n${'2\n'.repeat(2 * 1024 * 1024)}`);
  t.is(await flood.channel.receive(WAIT), 1);
  t.true(flood.far.bytesRead < 1024 * 1024, `${flood.far.bytesRead} bytes were read`);
});

test('a message to a peer that does not read has a limit; to one that is gone, an error', async t => {
  const { near, channel } = await ends(t);
  near.pause();
  const large = 'x'.repeat(8 * 1024 * 1024);
  await t.throwsAsync(channel.send(large, { timeoutMs: 20 }), fails('TIMEOUT'));
  near.destroy();
  await t.throwsAsync(channel.receive(WAIT), fails('CLOSED'));
  await t.throwsAsync(channel.send('x', WAIT), fails('CLOSED'));
  channel.close();
  channel.close();
});

test('what was sent arrives although the channel is closed at once', async t => {
  const { near, channel } = await ends(t);
  const sent = channel.send('last', WAIT);
  channel.close();
  const parts: Buffer[] = [];
  for await (const part of near) parts.push(part as Buffer);
  await sent;
  t.is(Buffer.concat(parts).toString(), '"last"\n');
});
