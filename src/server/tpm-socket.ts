/**
 * A TPM for programs: raw TPM 1.2 frames over TCP or a Unix socket, as trousers' tcsd and swtpm's
 * clients speak it. The size in a frame's header is all the framing that there is. A response goes
 * out in one write, since tcsd reads it with one read; clients may connect anew for each command, and
 * several may be connected at once, whose commands run one after another.
 * @module
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { concat } from '../wire/codec.js';
import { FaceError } from './address.js';
import { linger } from './linger.js';
import { listenAt } from './unix-socket.js';

/** Where a TPM listens. TCP listens on this machine only, unless it is told otherwise. */
export type TpmAddress =
  | { readonly type: 'tcp'; readonly port: number; readonly bindaddr?: string }
  /** The mode is that of the file; 0600 unless it is given. */
  | { readonly type: 'unixio'; readonly path: string; readonly mode?: number };

export interface TpmSocketOptions {
  /**
   * Runs one command to its end, at once or (with a promise) later: while the image is locked by
   * another process. Every request has a response.
   */
  readonly process: (request: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  readonly address: TpmAddress;
  /** Whether the connection is closed after each response, as swtpm's option of that name has it. */
  readonly disconnect?: boolean;
  /** Called with what `process` throws, which is a bug; no command is run after it. */
  readonly fail: (error: unknown) => void;
  /** Called whenever the last client has gone; who only connected and left was none. */
  readonly deserted?: () => void;
}

/** A TPM that listens. */
export interface TpmSocket {
  /** The TCP port that it has, where it was asked for port 0. */
  readonly port: number | undefined;
  /** Stops listening, and lets go of every connection. A Unix socket is gone then. */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
const HEADER_BYTES = 10;
/** The largest command that a TPM takes; more is not a TPM's client. */
const REQUEST_BYTES_MAX = 4096;
const CONNECTIONS_MAX = 64;

/**
 * Listens at an address.
 * @throws FaceError LISTEN
 */
export async function serveTpm(options: TpmSocketOptions): Promise<TpmSocket> {
  const { process, fail, deserted } = options;
  const open = new Set<Socket>();
  let broken = false;
  let heard = false;
  const breakDown = (error: unknown): undefined => {
    broken = true;
    fail(error);
  };
  const run: Run = request => {
    if (broken) return undefined;
    try {
      const response = process(request);
      return response instanceof Promise ? response.catch(breakDown) : response;
    } catch (error) {
      return breakDown(error);
    }
  };
  const server = createServer({ noDelay: true }, socket => {
    open.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      heard ||= socket.bytesRead > 0;
      if (open.size > 0 || !heard) return;
      heard = false;
      deserted?.();
    });
    attend(socket, run, options.disconnect ?? false);
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

async function listen(server: Server, address: TpmAddress): Promise<void> {
  if (address.type === 'unixio') return listenAt(server, address.path, address.mode);
  const { port, bindaddr = LOOPBACK } = address;
  try {
    server.listen(port, bindaddr);
    await once(server, 'listening');
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    const where = `port ${port} of ${bindaddr}`;
    throw new FaceError('LISTEN', `cannot listen at ${where}: ${why}; choose another`, error);
  }
}

/** Runs a command; undefined once the TPM is broken. */
type Run = (request: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array | undefined>;

/** Answers one client for as long as it is connected. */
function attend(socket: Socket, run: Run, disconnect: boolean): void {
  let pending: Uint8Array = new Uint8Array();
  let waiting = false;
  const respond = (response: Uint8Array | undefined, isFrame: boolean): void => {
    if (socket.destroyed) return;
    if (response !== undefined) socket.write(response);
    // Where the next frame begins after what is none is not known.
    if (response === undefined || disconnect || !isFrame) socket.destroySoon();
  };
  const answer = (): void => {
    while (!waiting && !socket.destroyed && socket.writable && !socket.writableNeedDrain) {
      const length = frameLength(pending);
      if (length === undefined || (length !== 'none' && pending.length < length)) return;
      const request = pending.slice(0, length === 'none' ? REQUEST_BYTES_MAX : length);
      pending = pending.subarray(request.length);
      const response = run(request);
      if (!(response instanceof Promise)) {
        respond(response, length !== 'none');
        continue;
      }
      // The responses keep the order of the commands.
      waiting = true;
      socket.pause();
      void response.then(late => {
        waiting = false;
        respond(late, length !== 'none');
        socket.resume();
        answer();
      });
    }
    // A client that does not read its responses gets no more of them made.
    if (socket.writableNeedDrain) socket.pause();
  };
  socket.on('data', chunk => {
    pending = concat(pending, chunk);
    answer();
  });
  socket.on('drain', () => {
    if (!waiting) socket.resume();
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
