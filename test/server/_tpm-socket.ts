/** A TPM's socket in this process, with a TPM that echoes ordinals. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ExecutionContext } from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { openTpmSocket, type TpmSocketOptions } from '../../src/server/tpm-socket.js';

export const STARTUP = hex('00c1 0000000c 00000099 0001');
export const READ = hex('00c1 0000000e 00000015 00000001');
/** A TPM that responds with the ordinal, so that a response shows which command it is for. */
export const echo = (request: Uint8Array): Uint8Array =>
  Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, ...request.slice(6, 10));
export const STARTUP_ECHO = '00c40000000a00000099';
export const READ_ECHO = '00c40000000a00000015';

export async function served(t: ExecutionContext, options: Partial<TpmSocketOptions> = {}) {
  const address = { type: 'tcp', port: 0 } as const;
  const fail = (error: unknown): void => t.fail(String(error));
  const commandBytes = () => 4096;
  const server = await openTpmSocket({ process: echo, commandBytes, address, fail, ...options });
  t.teardown(() => server.close());
  return server;
}

/** In hex, what is received until `bytes` have arrived or the connection ends. */
export function receive(socket: Socket, bytes: number): Promise<string> {
  return new Promise(resolve => {
    let all = '';
    const take = (chunk: Uint8Array): void => {
      all += toHex(chunk);
      if (all.length >= 2 * bytes) done();
    };
    const done = (): void => {
      socket.off('data', take).off('close', done);
      resolve(all);
    };
    socket.on('data', take).on('close', done);
    if (socket.destroyed) done();
  });
}

/** A client that is connected. */
export async function connected(t: ExecutionContext, port: number | undefined): Promise<Socket> {
  if (port === undefined) throw new Error('it does not listen at a port');
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Sends a command and returns the response in hex; empty if the connection ends. */
export function ask(socket: Socket, command: Uint8Array): Promise<string> {
  socket.write(command);
  return receive(socket, 10);
}

/** So many times the same command, for one write. */
export const pipelined = (command: Uint8Array, times: number): Uint8Array =>
  Uint8Array.from({ length: times * command.length }, (_, i) => command[i % command.length] ?? 0);
