/**
 * A TPM for programs: raw TPM 1.2 frames over TCP or a Unix socket, as trousers' tcsd and swtpm's
 * clients speak it. The size in a frame's header is all the framing that there is. A response goes
 * out in one write, since tcsd reads it with one read; clients may connect anew for each command, and
 * several may be connected at once, whose commands run one after another.
 * @module
 */
import { createServer, type Server, type Socket } from 'node:net';
import { concat } from '../wire/codec.js';
import { linger } from './linger.js';

/** Where a TPM listens. TCP listens on this machine only, unless it is told otherwise. */
export type TpmAddress =
  | { readonly type: 'tcp'; readonly port: number; readonly bindaddr?: string }
  | { readonly type: 'unixio'; readonly path: string };

export interface TpmSocketOptions {
  /** Runs one command to its end. What it throws is passed on: it is a bug. */
  readonly process: (request: Uint8Array) => Uint8Array;
  readonly address: TpmAddress;
  /** Whether the connection is closed after each response, as tcsd wants of a TPM for one client. */
  readonly disconnect?: boolean;
}

/** A TPM that listens. */
export interface TpmSocket {
  /** The TCP port that it has, where it was asked for port 0. */
  readonly port: number | undefined;
  /** Stops listening, and lets go of every connection. */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
const HEADER_BYTES = 10;
/** The largest command that a TPM takes; more is not a TPM's client. */
const REQUEST_BYTES_MAX = 4096;
const CONNECTIONS_MAX = 64;

/** Listens at an address. @throws the error of node:net where it cannot */
export async function serveTpm(options: TpmSocketOptions): Promise<TpmSocket> {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, socket => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    attend(socket, options);
    linger(socket, () => open.size === 1);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, options.address);
  const bound = server.address();
  return {
    port: bound === null || typeof bound === 'string' ? undefined : bound.port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function listen(server: Server, address: TpmAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.off('error', reject);
      resolve();
    };
    if (address.type === 'unixio') server.listen(address.path, listening);
    else server.listen(address.port, address.bindaddr ?? LOOPBACK, listening);
  });
}

/** Answers one client for as long as it stays. */
function attend(socket: Socket, { process, disconnect = false }: TpmSocketOptions): void {
  let pending: Uint8Array = new Uint8Array();
  const answer = (): void => {
    while (!socket.destroyed && !socket.writableNeedDrain) {
      const length = frameLength(pending);
      if (length === 'none') socket.destroy();
      if (length === 'none' || length === undefined || pending.length < length) return;
      const request = pending.slice(0, length);
      pending = pending.slice(length);
      const response = process(request);
      if (disconnect) socket.end(response);
      else socket.write(response);
      if (disconnect) return;
    }
    // A client that does not take its responses gets no more of them made.
    if (socket.writableNeedDrain) socket.pause();
  };
  socket.on('data', chunk => {
    pending = concat(pending, chunk);
    answer();
  });
  socket.on('drain', () => {
    socket.resume();
    answer();
  });
  socket.on('error', () => socket.destroy());
}

/** How long the frame is that begins here; 'none' where it is none, undefined where that is not known. */
function frameLength(bytes: Uint8Array): number | 'none' | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2);
  return length < HEADER_BYTES || length > REQUEST_BYTES_MAX ? 'none' : length;
}
