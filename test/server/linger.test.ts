/** Bytes that are read past the event loop: in order with the others, and only while that is allowed. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { linger } from '../../src/server/linger.js';

/** What the event loop reads in one piece, and still reads after pause(). */
const PIECE_BYTES = 64 * 1024;
/** More than that, so that there is more when it has. */
const BYTES = 150_000;
const sent = Uint8Array.from({ length: BYTES }, (_, at) => (at * 7919) % 251);

/** What a server receives of one write of a client, and how much the event loop read. */
async function receive(t: ExecutionContext, attach: (socket: Socket) => void) {
  const path = join(scratch(t), 'socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const client = connect(path, () => client.end(sent));
  t.teardown(() => {
    client.destroy();
    server.close();
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  const chunks: Uint8Array[] = [];
  socket.on('data', chunk => chunks.push(chunk));
  attach(socket);
  await once(socket, 'end');
  return { bytes: Buffer.concat(chunks), readByLoop: socket.bytesRead };
}

test('bytes that are read past the event loop arrive in order, and so does the end', async t => {
  const { bytes, readByLoop } = await receive(t, socket => linger(socket, () => true));
  t.is(Buffer.compare(bytes, sent), 0);
  const past = process.platform === 'linux';
  t.is(readByLoop < BYTES, past, 'some of it was read past the event loop, on Linux');
});

test('where another client is connected, the event loop reads everything', async t => {
  const { bytes, readByLoop } = await receive(t, socket => linger(socket, () => false));
  t.is(Buffer.compare(bytes, sent), 0);
  t.is(readByLoop, BYTES);
});

test('a paused connection is not read', async t => {
  let first = 0;
  const { bytes } = await receive(t, socket => {
    socket.once('data', chunk => {
      first = chunk.length;
      socket.pause();
      setImmediate(() => {
        t.true(socket.readableLength <= PIECE_BYTES, 'more than that stays with the system');
        socket.resume();
      });
    });
    linger(socket, () => true);
  });
  t.true(first > 0 && first < BYTES);
  t.is(Buffer.compare(bytes, sent), 0);
});
