/** Raw TPM frames over sockets: however they are cut, by however many clients. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { serveTpm, type TpmSocketOptions } from '../../src/server/tpm-socket.js';
import { hex, scratch, toHex } from '../_files.js';

const STARTUP = hex('00c1 0000000c 00000099 0001');
const READ = hex('00c1 0000000e 00000015 00000001');
/** Answers with the ordinal, so that a response tells which request it is for. */
const echo = (request: Uint8Array): Uint8Array =>
  Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, ...request.slice(6, 10));
const STARTUP_ECHO = '00c40000000a00000099';
const READ_ECHO = '00c40000000a00000015';

async function served(t: ExecutionContext, options: Partial<TpmSocketOptions> = {}) {
  const address = { type: 'tcp', port: 0 } as const;
  const server = await serveTpm({ process: echo, address, ...options });
  t.teardown(() => server.close());
  return server;
}

/** What comes back until `bytes` are there, or the connection ends. */
async function receive(socket: Socket, bytes: number): Promise<string> {
  let all = '';
  while (all.length < 2 * bytes && !socket.destroyed) {
    const chunk = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    if (!(chunk[0] instanceof Uint8Array)) break;
    all += toHex(new Uint8Array(chunk[0]));
  }
  return all;
}

test('a frame is answered, however it is cut', async t => {
  const { port } = await served(t);
  const socket = connect(port!, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const answer = receive(socket, 30);
  socket.setNoDelay();
  for (const byte of STARTUP) socket.write(Uint8Array.of(byte));
  socket.write(Uint8Array.of(...READ, ...STARTUP));
  t.is(await answer, STARTUP_ECHO + READ_ECHO + STARTUP_ECHO);
});

test('several clients are answered, each its own', async t => {
  const { port } = await served(t);
  const clients = [READ, STARTUP, READ].map(request => {
    const socket = connect(port!, '127.0.0.1', () => socket.write(request));
    t.teardown(() => socket.destroy());
    return receive(socket, 10);
  });
  t.deepEqual(await Promise.all(clients), [READ_ECHO, STARTUP_ECHO, READ_ECHO]);
});

test('what is no frame ends the connection, and no other', async t => {
  const { port } = await served(t);
  for (const size of ['00000009', '00001001', 'ffffffff']) {
    const socket = connect(port!, '127.0.0.1', () => socket.write(hex(`00c1 ${size} 00000099`)));
    t.is(await receive(socket, 10), '', size);
  }
  const socket = connect(port!, '127.0.0.1', () => socket.write(READ));
  t.teardown(() => socket.destroy());
  t.is(await receive(socket, 10), READ_ECHO);
});

test('it closes after each response where that is asked for', async t => {
  const { port } = await served(t, { disconnect: true });
  const socket = connect(port!, '127.0.0.1', () => socket.write(READ));
  t.is(await receive(socket, 100), READ_ECHO);
});

test('a Unix socket, and nothing is left when it closes', async t => {
  const path = join(scratch(t), 'tpm.sock');
  const server = await serveTpm({ process: echo, address: { type: 'unixio', path } });
  const socket = connect(path, () => socket.write(READ));
  t.is(await receive(socket, 10), READ_ECHO);
  await server.close();
  await t.throwsAsync(once(connect(path), 'connect'), { code: 'ENOENT' });
});

test('an address that is taken is an error', async t => {
  const { port } = await served(t);
  await t.throwsAsync(serveTpm({ process: echo, address: { type: 'tcp', port: port! } }), {
    code: 'EADDRINUSE',
  });
});
