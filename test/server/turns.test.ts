/** Clients of one TPM: turns, limits on connections and on incomplete commands, and the end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { hex, scratch, toHex } from '../../lab/files.js';
import { peerTest } from '../_peers.js';
import {
  ask,
  connected,
  echo,
  pipelined,
  READ,
  READ_ECHO,
  receive,
  STARTUP,
  STARTUP_ECHO,
  served,
} from './_tpm-socket.js';

/** As many commands as a chunk of a socket holds, roughly. */
const MANY = 5000;
/** Commands that may run while one travels from socket to socket of this process. */
const FEW = 50;
const PEERS = ['qemu-system-x86_64'] as const;
const ordinalOf = (command: Uint8Array): string => toHex(command.slice(6, 10));

test('a client waits for one command of another client, not for all that it has sent', async t => {
  const ran: string[] = [];
  let other: Socket | undefined;
  const { port } = await served(t, {
    process: command => {
      ran.push(ordinalOf(command));
      if (ran.length === 1) other?.write(READ);
      return echo(command);
    },
  });
  other = await connected(t, port);
  const pipelining = await connected(t, port);
  const all = receive(pipelining, 10 * MANY);
  pipelining.write(pipelined(STARTUP, MANY));
  t.is(await receive(other, 10), READ_ECHO);
  t.is(await all, STARTUP_ECHO.repeat(MANY));
  const before = ran.indexOf(ordinalOf(READ));
  t.true(before < FEW, `${before} commands of the other client ran first`);
});

test('two clients that both pipeline take turns', async t => {
  const ran: string[] = [];
  const { port } = await served(t, {
    process: command => {
      ran.push(ordinalOf(command));
      return echo(command);
    },
  });
  const clients = [await connected(t, port), await connected(t, port)];
  const answers = clients.map(client => receive(client, 10 * MANY));
  clients[0]?.write(pipelined(STARTUP, MANY));
  clients[1]?.write(pipelined(READ, MANY));
  await Promise.all(answers);
  // While both have commands; at the ends only one of them has.
  const middle = ran.slice(FEW, ran.length - 10 * FEW);
  const repeated = middle.filter((ordinal, i) => ordinal === middle[i - 1]).length;
  t.true(repeated < FEW, `${repeated} of ${middle.length} commands ran out of turn`);
});

test('the event loop runs between two commands of a client', async t => {
  let pass = 0;
  let counting = true;
  const count = (): void => {
    pass += 1;
    if (counting) setImmediate(count);
  };
  count();
  const passes: number[] = [];
  const { port } = await served(t, {
    process: command => {
      passes.push(pass);
      return echo(command);
    },
  });
  const client = await connected(t, port);
  client.write(pipelined(READ, 500));
  await receive(client, 5000);
  counting = false;
  t.is(new Set(passes).size, 500);
});

test('a command that ends later keeps the next one waiting, whichever client sent it', async t => {
  let running = 0;
  let most = 0;
  const { port } = await served(t, {
    process: async command => {
      running += 1;
      most = Math.max(most, running);
      for (let pass = 0; pass < 5; pass += 1) await new Promise(resolve => setImmediate(resolve));
      running -= 1;
      return echo(command);
    },
  });
  const clients = [await connected(t, port), await connected(t, port)];
  const answers = await Promise.all(
    clients.map(client => {
      client.write(pipelined(READ, 20));
      return receive(client, 200);
    }),
  );
  t.deepEqual(answers, [READ_ECHO.repeat(20), READ_ECHO.repeat(20)]);
  t.is(most, 1);
});

test('closing discards the commands that have not begun', async t => {
  let ran = 0;
  let closed: Promise<void> | undefined;
  const server = await served(t, {
    process: command => {
      ran += 1;
      if (ran === 3) closed = server.close();
      return echo(command);
    },
  });
  const client = await connected(t, server.port);
  client.resume();
  client.write(pipelined(READ, MANY));
  await once(client, 'close');
  await closed;
  t.is(ran, 3);
});

test('a client that sends its commands and the end of its input gets every response', async t => {
  const { port } = await served(t);
  const client = await connected(t, port);
  client.end(pipelined(READ, 100));
  t.is(await receive(client, 10_000), READ_ECHO.repeat(100));
});

/** Connections that have sent `bytes` and nothing else. */
async function silent(t: Parameters<typeof connected>[0], port: number | undefined, count: number) {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i += 1) {
    const socket = await connected(t, port);
    socket.write(READ.subarray(0, 4));
    sockets.push(socket);
  }
  return sockets;
}

test('64 connections with half a command do not lock a client out', async t => {
  const notices: string[] = [];
  const { port } = await served(t, { notice: sentence => notices.push(sentence) });
  const [first, second] = await silent(t, port, 64);
  const client = await connected(t, port);
  t.is(await ask(client, READ), READ_ECHO);
  if (!first?.destroyed && first !== undefined) await once(first, 'close');
  t.true(first?.destroyed, 'the oldest one made room');
  t.false(second?.destroyed);
  t.deepEqual(notices, ['more than 64 connections: the one idle longest was closed']);
});

test('silent connections displace each other, and no client that has used the TPM', async t => {
  const { port } = await served(t);
  const client = await connected(t, port);
  t.is(await ask(client, READ), READ_ECHO);
  await silent(t, port, 130);
  t.is(await ask(client, STARTUP), STARTUP_ECHO);
});

test('an incomplete command ends its connection after the limit, and an idle one stays', async t => {
  const notices: string[] = [];
  const { port } = await served(t, {
    partialMs: 20,
    notice: sentence => notices.push(sentence),
  });
  const idle = await connected(t, port);
  const partial = await connected(t, port);
  // The header of a command of 4096 bytes, then one byte at a time: these do not extend the limit.
  partial.write(hex('00c1 00001000 00000099'));
  let left = 4000;
  const trickle = setInterval(() => {
    partial.write(Uint8Array.of(0));
    left -= 1;
    if (left === 0) partial.destroy();
  }, 1);
  await once(partial, 'close');
  clearInterval(trickle);
  t.true(left > 0, 'the server closed it');
  t.is(await ask(idle, READ), READ_ECHO);
  t.deepEqual(notices, ['a connection was closed: its command was incomplete for 20 ms']);
});

test('a message of swtpm’s control protocol ends the connection with a notice that names it', async t => {
  const notices: string[] = [];
  const { port } = await served(t, { notice: sentence => notices.push(sentence) });
  // CMD_SET_DATAFD, the first message of QEMU 7.2 (recorded); twice, as QEMU is started again.
  for (const _ of [1, 2]) {
    const qemu = await connected(t, port);
    t.is(await ask(qemu, hex('00000010')), '');
  }
  t.is(notices.length, 1);
  t.regex(notices[0] ?? '', /received CMD_SET_DATAFD of swtpm's control protocol/);
  t.regex(notices[0] ?? '', /this socket is --server/);
  const client = await connected(t, port);
  t.is(await ask(client, READ), READ_ECHO);
});

peerTest('a real QEMU at this socket fails at once, and the notice says why', PEERS, async t => {
  const notices: string[] = [];
  const path = join(scratch(t), 'tpm.sock');
  await served(t, {
    address: { type: 'unixio', path },
    notice: sentence => notices.push(sentence),
  });
  // biome-ignore format: table
  const qemu = spawn('qemu-system-x86_64', [
    '-S', '-nodefaults', '-display', 'none', '-m', '16', '-chardev', `socket,id=c,path=${path}`,
    '-tpmdev', 'emulator,id=t,chardev=c', '-device', 'tpm-tis,tpmdev=t',
  ], { stdio: 'ignore' });
  t.teardown(() => qemu.kill('SIGKILL'));
  const [exit] = await once(qemu, 'exit');
  t.is(exit, 1);
  t.regex(notices.join(), /received CMD_SET_DATAFD/);
});

test('words that are not control messages are malformed commands', async t => {
  const notices: string[] = [];
  const { port } = await served(t, { notice: sentence => notices.push(sentence) });
  for (const word of ['00000014', '0000ffff', '00010000']) {
    const client = await connected(t, port);
    client.end(hex(`${word} 0000 00000099`));
    t.is(await receive(client, 100), STARTUP_ECHO, word);
  }
  t.deepEqual(notices, []);
});

test('a command with tag 0x0000 goes to the TPM', async t => {
  const { port } = await served(t);
  const client = await connected(t, port);
  t.is(await ask(client, hex('0000 0000000a 00000099')), STARTUP_ECHO);
});
