/** Raw TPM frames over sockets: however they are cut, by however many clients. */
import { once } from 'node:events';
import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { hex, scratch, toHex } from '../../lab/files.js';
import { serveTpm, type TpmSocketOptions } from '../../src/server/tpm-socket.js';

const STARTUP = hex('00c1 0000000c 00000099 0001');
const READ = hex('00c1 0000000e 00000015 00000001');
/** Answers with the ordinal, so that a response tells which request it is for. */
const echo = (request: Uint8Array): Uint8Array =>
  Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, ...request.slice(6, 10));
const STARTUP_ECHO = '00c40000000a00000099';
const READ_ECHO = '00c40000000a00000015';

async function served(t: ExecutionContext, options: Partial<TpmSocketOptions> = {}) {
  const address = { type: 'tcp', port: 0 } as const;
  const fail = (error: unknown): void => t.fail(String(error));
  const server = await serveTpm({ process: echo, address, fail, ...options });
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

test('who does not read its responses gets no more of them made, until it reads', async t => {
  const asked = 20_000;
  const response = new Uint8Array(4096);
  let made = 0;
  const process = (): Uint8Array => {
    made += 1;
    return response;
  };
  const { port } = await served(t, { process });
  const socket = connect(port!, '127.0.0.1');
  t.teardown(() => socket.destroy());
  for (let i = 0; i < asked; i += 1) socket.write(READ);
  for (let before = -1; before < made; ) {
    before = made;
    await sleep(500);
  }
  // What the kernel buffers is its own affair; 80 MB it does not.
  t.true(made < asked / 2, `${made} responses were made`);
  let bytes = 0;
  for await (const chunk of socket) {
    bytes += (chunk as Uint8Array).length;
    if (bytes === asked * response.length) break;
  }
  t.is(made, asked);
});

test('of too many clients, the last are not let in, and the others are served', async t => {
  const { port } = await served(t);
  const clients = Array.from({ length: 64 }, () => connect(port!, '127.0.0.1'));
  t.teardown(() => {
    for (const client of clients) client.destroy();
  });
  for (const client of clients) {
    client.write(READ);
    t.is(await receive(client, 10), READ_ECHO);
  }
  const late = connect(port!, '127.0.0.1');
  late.on('error', () => late.destroy());
  t.is(await receive(late, 10), '');
  clients.pop()!.destroy();
  clients[0]!.write(STARTUP);
  t.is(await receive(clients[0]!, 10), STARTUP_ECHO);
});

test('what is no frame is given to the TPM, and ends the connection, and no other', async t => {
  const { port } = await served(t);
  for (const size of ['00000009', '00001001', 'ffffffff']) {
    const socket = connect(port!, '127.0.0.1', () => socket.write(hex(`00c1 ${size} 00000099`)));
    t.is(await receive(socket, 100), STARTUP_ECHO, size);
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

test('of two frames in one, it answers the first before it closes', async t => {
  const { port } = await served(t, { disconnect: true });
  const both = Uint8Array.of(...READ, ...STARTUP);
  const socket = connect(port!, '127.0.0.1', () => socket.write(both));
  t.is(await receive(socket, 100), READ_ECHO);
});

test('what the TPM throws is told, once, and it answers nobody any more', async t => {
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

test('it says when the last client has gone', async t => {
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
  t.is(times, 0, 'who only looked whether somebody listens was no client');
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

test('a Unix socket, and nothing is left when it closes', async t => {
  const { path, server } = await servedAt(t);
  const socket = connect(path, () => socket.write(READ));
  t.is(await receive(socket, 10), READ_ECHO);
  await server.close();
  await t.throwsAsync(once(connect(path), 'connect'), { code: 'ENOENT' });
});

test('a Unix socket is its owner’s, or has the mode that it is given, whatever the umask', async t => {
  const before = process.umask(0o027);
  try {
    const modes = [undefined, 0o660, 0o666];
    const found = [];
    for (const mode of modes) found.push((await servedAt(t, mode)).path);
    t.deepEqual(
      found.map(path => lstatSync(path).mode & 0o777),
      [0o600, 0o660, 0o666],
    );
    t.is(process.umask(), 0o027, 'and the umask is as it was');
  } finally {
    process.umask(before);
  }
});

test('a Unix socket that somebody listens at stays theirs', async t => {
  const { path, address } = await servedAt(t);
  const error = { code: 'LISTEN', message: /another program listens there/ };
  await t.throwsAsync(served(t, { address }), error);
  const socket = connect(path, () => socket.write(READ));
  t.teardown(() => socket.destroy());
  t.is(await receive(socket, 10), READ_ECHO);
});

test('what is no socket, or cannot be one, is an error and stays as it is', async t => {
  const folder = scratch(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'mine');
  const at = (path: string) => served(t, { address: { type: 'unixio', path } });
  await t.throwsAsync(at(path), { code: 'LISTEN', message: /it is no socket/ });
  t.is(readFileSync(path, 'utf8'), 'mine');
  await t.throwsAsync(at(join(folder, 'no', 'folder')), { code: 'LISTEN', message: /ENOENT/ });
  await t.throwsAsync(at(`/${'a'.repeat(107)}`), { code: 'LISTEN', message: /at most 107 bytes/ });
});

test('an address that is taken is an error', async t => {
  const { port } = await served(t);
  const address = { type: 'tcp', port: port! } as const;
  await t.throwsAsync(served(t, { address }), { code: 'LISTEN', message: /EADDRINUSE/ });
});
