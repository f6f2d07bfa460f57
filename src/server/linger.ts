/**
 * Lingering on a connection: a client that runs one command after the other sends the next within
 * microseconds of its response. By then the event loop has gone to sleep, and waking up, on a processor
 * that may sleep too, takes longer than most commands of a TPM. So what arrives in the first moment
 * after a chunk was handled is read from the descriptor itself (recv(2)), and handed to the socket as if
 * the event loop had read it. Other processes get the processor in between (sched_yield(2)).
 *
 * The end of the connection, an error and later data are left for the event loop to find, and nothing but
 * this waiting delays it. On Linux only, and only where koffi can be loaded.
 * @module
 */
import type { Socket } from 'node:net';
import { loadKoffi } from '../native/koffi.js';

/** How long the next chunk is waited for, in milliseconds: a response and a command, on one machine. */
const MOMENT_MS = 0.1;
/** After how long the event loop runs again, however much a client sends. */
const TURN_MS = 10;
const CHUNK_BYTES = 4096;
/** <sys/socket.h> of Linux. */
const MSG_DONTWAIT = 0x40;

interface Calls {
  recv(fd: number, into: Uint8Array, length: number, flags: number): number | bigint;
  yieldProcessor(): number;
}

let loaded: Calls | 'none' | undefined;

/** koffi is loaded with the first connection, never at import. */
function load(): Calls | 'none' {
  if (process.platform !== 'linux') return 'none';
  try {
    const libc = loadKoffi().load(null);
    return {
      recv: libc.func('long recv(int fd, void *into, size_t length, int flags)'),
      yieldProcessor: libc.func('int sched_yield()'),
    };
  } catch {
    return 'none';
  }
}

/**
 * Lingers on a connection after each chunk that its listeners have handled.
 * @param mayLinger whether no other client is connected
 */
export function linger(socket: Socket, mayLinger: () => boolean): void {
  loaded ??= load();
  const fd = descriptorOf(socket);
  if (loaded === 'none' || fd === undefined) return;
  const { recv, yieldProcessor } = loaded;
  const buffer = new Uint8Array(CHUNK_BYTES);

  const next = (): Uint8Array | undefined => {
    const end = performance.now() + MOMENT_MS;
    do {
      const length = Number(recv(fd, buffer, CHUNK_BYTES, MSG_DONTWAIT));
      if (length > 0) return buffer.slice(0, length);
      if (length === 0) return undefined;
      yieldProcessor();
    } while (performance.now() < end);
    return undefined;
  };
  /** Not where the client reads no responses, has sent more than one command, or has closed. */
  const mayRead = (): boolean =>
    !socket.destroyed && !socket.isPaused() && socket.writable && socket.writableLength === 0;

  let lingering = false;
  socket.on('data', () => {
    if (lingering) return;
    lingering = true;
    const end = performance.now() + TURN_MS;
    while (mayRead() && mayLinger() && performance.now() < end) {
      const chunk = next();
      if (chunk === undefined) break;
      socket.push(chunk);
    }
    lingering = false;
  });
}

/** node:net does not expose the descriptor of a connection; its handle does, where it has one. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
