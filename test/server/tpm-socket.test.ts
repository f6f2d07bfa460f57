/** TPM commands over sockets: framing, addresses, and the end of connections. */
import { once } from 'node:events';
import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { hex, scratch } from '../../lab/files.js';
import {
  ask,
  connected,
  READ,
  READ_ECHO,
  receive,
  STARTUP,
  STARTUP_ECHO,
  served,
} from './_tpm-socket.js';

test('a command is answered however it is split into chunks', async t => {
  const { port } = await served(t);
  const socket = connect(port!, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const answer = receive(socket, 30);
  socket.setNoDelay();
  for (const byte of STARTUP) socket.write(Uint8Array.of(byte));
  socket.write(Uint8Array.of(...READ, ...STARTUP));
  t.is(await answer, STARTUP_ECHO + READ_ECHO + STARTUP_ECHO);
});

test('each of several clients gets the response to its own command', async t => {
  const { port } = await served(t);
  const clients = [READ, STARTUP, READ].map(request => {
    const socket = connect(port!, '127.0.0.1', () => socket.write(request));
    t.teardown(() => socket.destroy());
    return receive(socket, 10);
  });
  t.deepEqual(await Promise.all(clients), [READ_ECHO, STARTUP_ECHO, READ_ECHO]);
});

test('no command runs for a client that does not read its responses, until it reads', async t => {
  const asked = 20_000;
  const response = new Uint8Array(4096);
  let made = 0;
  const process = (): Uint8Array => {
    made += 1;
    return response;
  };
  const path = join(scratch(t), 'tpm.sock');
  await served(t, { process, address: { type: 'unixio', path } });
  const socket = connect(path);
  t.teardown(() => socket.destroy());
  for (let i = 0; i < asked; i += 1) socket.write(READ);
  // Until no response is made in many passes of the event loop, which carries both sides.
  for (let before = -1; before < made; ) {
    before = made;
    for (let pass = 0; pass < 1000; pass += 1) await setImmediate();
  }
  // What the kernel buffers of a Unix socket is far less; a chunk has more than 4,000 commands.
  t.true(made > 0 && made < 1000, `${made} responses were made`);
  let bytes = 0;
  for await (const chunk of socket) {
    bytes += (chunk as Uint8Array).length;
    if (bytes === asked * response.length) break;
  }
  t.is(made, asked);
});

test('the TPM answers a malformed frame, and only that connection ends', async t => {
  const { port } = await served(t);
  for (const size of ['00000009', '00001001', 'ffffffff']) {
    const socket = connect(port!, '127.0.0.1', () => socket.write(hex(`00c1 ${size} 00000099`)));
    t.is(await receive(socket, 100), STARTUP_ECHO, size);
  }
  const socket = connect(port!, '127.0.0.1', () => socket.write(READ));
  t.teardown(() => socket.destroy());
  t.is(await receive(socket, 10), READ_ECHO);
});

test('a frame is malformed beyond the size that the engine names', async t => {
  const { port } = await served(t, { commandBytes: () => READ.length });
  const socket = await connected(t, port);
  t.is(await ask(socket, READ), READ_ECHO);
  socket.write(hex('00c1 0000000f 00000099 00000001'));
  t.is(await receive(socket, 100), STARTUP_ECHO, 'answered, and the last one');
});

test('with disconnect, the connection ends after a response', async t => {
  const { port } = await served(t, { disconnect: true });
  const socket = connect(port!, '127.0.0.1', () => socket.write(READ));
  t.is(await receive(socket, 100), READ_ECHO);
});

test('with disconnect, the second of two commands in one write is not run', async t => {
  const { port } = await served(t, { disconnect: true });
  const both = Uint8Array.of(...READ, ...STARTUP);
  const socket = connect(port!, '127.0.0.1', () => socket.write(both));
  t.is(await receive(socket, 100), READ_ECHO);
});

test('an exception of the TPM is reported once, and no command runs after it', async t => {
  const told: unknown[] = [];
  const bug = new Error('a bug');
  const { port } = await served(t, {
    process: () => {
      throw bug;
    },
    fail: error => told.push(error),
  });
  for (const _ of [1, 2]) {
    const socket = connect(port!, '127.0.0.1', () => socket.write(READ));
    t.is(await receive(socket, 10), '');
  }
  t.deepEqual(told, [bug]);
});

test('it reports when the last client has disconnected', async t => {
  let times = 0;
  let tell = (): void => {};
  const told = new Promise<void>(resolve => {
    tell = resolve;
  });
  const { port } = await served(t, {
    deserted: () => {
      times += 1;
      tell();
    },
  });
  const looker = connect(port!, '127.0.0.1', () => looker.end());
  await once(looker, 'close');
  const clients = [1, 2].map(() => connect(port!, '127.0.0.1'));
  await Promise.all(
    clients.map(async client => {
      client.write(READ);
      await receive(client, 10);
    }),
  );
  t.is(times, 0, 'a connection without data does not count');
  for (const client of clients) client.end();
  await told;
  t.is(times, 1);
});

/** A server at a path, and where that is. */
async function servedAt(t: ExecutionContext, mode?: number) {
  const path = join(scratch(t), 'tpm.sock');
  const address = { type: 'unixio', path, ...(mode === undefined ? {} : { mode }) } as const;
  return { path, address, server: await served(t, { address }) };
}

test('a Unix socket is removed when it closes', async t => {
  const { path, server } = await servedAt(t);
  const socket = connect(path, () => socket.write(READ));
  t.is(await receive(socket, 10), READ_ECHO);
  await server.close();
  await t.throwsAsync(once(connect(path), 'connect'), { code: 'ENOENT' });
});

test('a Unix socket has mode 0600 or the mode given, whatever the umask', async t => {
  const before = process.umask(0o027);
  try {
    const modes = [undefined, 0o660, 0o666];
    const found = [];
    for (const mode of modes) found.push((await servedAt(t, mode)).path);
    t.deepEqual(
      found.map(path => lstatSync(path).mode & 0o777),
      [0o600, 0o660, 0o666],
    );
    t.is(process.umask(), 0o027, 'the umask is unchanged');
  } finally {
    process.umask(before);
  }
});

test('a Unix socket at which a program listens is not replaced', async t => {
  const { path, address } = await servedAt(t);
  const error = { code: 'LISTEN', message: /another program listens there/ };
  await t.throwsAsync(served(t, { address }), error);
  const socket = connect(path, () => socket.write(READ));
  t.teardown(() => socket.destroy());
  t.is(await receive(socket, 10), READ_ECHO);
});

test('a path that is not a socket, or cannot be one, is an error and is not changed', async t => {
  const folder = scratch(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'mine');
  const at = (path: string) => served(t, { address: { type: 'unixio', path } });
  await t.throwsAsync(at(path), { code: 'LISTEN', message: /is not a socket/ });
  t.is(readFileSync(path, 'utf8'), 'mine');
  await t.throwsAsync(at(join(folder, 'no', 'x')), { code: 'LISTEN', message: /no directory/ });
  await t.throwsAsync(at(`/${'a'.repeat(107)}`), { code: 'LISTEN', message: /at most 107 bytes/ });
});

test('an address in use is an error', async t => {
  const { port } = await served(t);
  const address = { type: 'tcp', port: port! } as const;
  await t.throwsAsync(served(t, { address }), { code: 'LISTEN', message: /EADDRINUSE/ });
});
