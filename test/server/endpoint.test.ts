/** Clients of a text interface in this process: turns, limits, and the end. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { Lines as Reader } from '../../lab/peers/qtest.js';
import type { Attach } from '../../src/server/conversation.js';
import { Endpoint, type Serving } from '../../src/server/endpoint.js';
import { Lines } from '../../src/server/lines.js';

/** An interface that returns each line, and reports it before. */
const echoing =
  (handle: (line: string) => void): Attach =>
  output => {
    const lines = new Lines(100);
    return {
      *take(chunk) {
        for (const line of lines.push(chunk)) {
          handle(String(line));
          output.write(`${String(line)}\n`);
          yield;
        }
      },
      isPartial: () => lines.partial,
      close: () => {},
    };
  };

interface Given extends Partial<Serving> {
  readonly handle?: (line: string) => void;
}

async function served(t: ExecutionContext, { handle = () => {}, ...serving }: Given = {}) {
  const path = join(scratch(t), 'socket');
  const address = { kind: 'unix', path, server: true, wait: false } as const;
  const endpoint = await Endpoint.open(address, new AbortController().signal);
  t.teardown(() => endpoint.close());
  const fail = (error: unknown): void => t.fail(String(error));
  endpoint.serve({ attach: echoing(handle), exclusive: false, fail, ...serving });
  return { path, endpoint };
}

async function connected(t: ExecutionContext, path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => socket.destroy());
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket, line: string): Promise<string> {
  const reader = new Reader(socket);
  reader.send(`${line}\n`);
  return reader.next();
}

test('a client waits for few requests of another client, not for all that it has sent', async t => {
  const handled: string[] = [];
  let other: Socket | undefined;
  const { path } = await served(t, {
    handle: line => {
      handled.push(line);
      if (handled.length === 1) other?.write('b\n');
    },
  });
  other = await connected(t, path);
  const answer = new Reader(other).next();
  const pipelining = await connected(t, path);
  pipelining.resume();
  pipelining.write('a\n'.repeat(5000));
  t.is(await answer, 'b');
  t.true(handled.indexOf('b') < 50, `${handled.indexOf('b')} requests were handled first`);
});

for (const exclusive of [false, true]) {
  const kind = exclusive ? 'of one client at a time' : 'of several clients';
  test(`40 silent connections do not lock a client out: an interface ${kind}`, async t => {
    const { path } = await served(t, { exclusive });
    for (let i = 0; i < 40; i += 1) await connected(t, path);
    t.is(await ask(await connected(t, path), 'a'), 'a');
  });

  test(`half a request ends its connection after the limit: an interface ${kind}`, async t => {
    const { path } = await served(t, { exclusive, partialMs: 20 });
    const partial = await connected(t, path);
    partial.resume();
    partial.write('half');
    const next = ask(await connected(t, path), 'a');
    await once(partial, 'close');
    t.is(await next, 'a');
  });
}

test('an interface of one client at a time serves them in the order of their requests', async t => {
  const handled: string[] = [];
  const { path } = await served(t, { exclusive: true, handle: line => handled.push(line) });
  const clients = [await connected(t, path), await connected(t, path), await connected(t, path)];
  const [a, b, c] = clients.map(socket => new Reader(socket));
  b?.send('b\n');
  t.is(await b?.next(), 'b');
  c?.send('c\n');
  a?.send('a\n');
  b?.send('bb\n');
  t.is(await b?.next(), 'bb');
  b?.close();
  t.is(await c?.next(), 'c');
  c?.close();
  t.is(await a?.next(), 'a');
  t.deepEqual(handled, ['b', 'bb', 'c', 'a']);
});

test('closing discards the requests that have not begun', async t => {
  let count = 0;
  const { path, endpoint } = await served(t, {
    handle: () => {
      count += 1;
      if (count === 3) endpoint.close();
    },
  });
  const client = await connected(t, path);
  client.resume();
  client.write('a\n'.repeat(5000));
  await once(client, 'close');
  t.is(count, 3);
});

test('a client that does not read its output is closed, and the others are served', async t => {
  const outputs: { write(text: string): void }[] = [];
  const { path } = await served(t, {
    attach: output => {
      outputs.push(output);
      return echoing(() => {})(output);
    },
  });
  const lazy = await connected(t, path);
  t.is(await ask(await connected(t, path), 'a'), 'a');
  // As an event goes to every client.
  for (let i = 0; i < 100; i += 1) outputs[0]?.write('x'.repeat(64 * 1024));
  const closed = once(lazy, 'close');
  lazy.resume();
  await closed;
  t.true(lazy.bytesRead < 50 * 64 * 1024, `${lazy.bytesRead} bytes were kept for it`);
  t.is(await ask(await connected(t, path), 'a'), 'a');
});

test('a migration arrives although other connections send nothing', async t => {
  const path = join(scratch(t), 'socket');
  const address = { kind: 'unix', path, server: true, wait: false } as const;
  const endpoint = await Endpoint.open(address, new AbortController().signal);
  t.teardown(() => endpoint.close());
  await connected(t, path);
  const next = endpoint.next(new AbortController().signal);
  await connected(t, path);
  // As a script looks whether a program listens.
  const probe = await connected(t, path);
  probe.end();
  const source = await connected(t, path);
  source.write('{}\n');
  const socket = await next;
  const [data] = socket === undefined ? [] : await once(socket, 'data');
  t.is(String(data), '{}\n');
});

test('a wait for a migration ends with its signal', async t => {
  const path = join(scratch(t), 'socket');
  const address = { kind: 'unix', path, server: true, wait: false } as const;
  const endpoint = await Endpoint.open(address, new AbortController().signal);
  t.teardown(() => endpoint.close());
  const quit = new AbortController();
  const next = endpoint.next(quit.signal);
  await connected(t, path);
  quit.abort();
  t.is(await next, undefined);
});

test('an exception of a session is reported', async t => {
  const bug = new Error('a bug');
  const handle = (): never => {
    throw bug;
  };
  const failed = new Promise(resolve => {
    void served(t, { handle, fail: resolve }).then(async ({ path }) => {
      (await connected(t, path)).write('a\n');
    });
  });
  t.is(await failed, bug);
});
