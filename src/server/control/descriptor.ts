/**
 * The descriptor of SET_DATAFD. It travels beside the bytes of the message (SCM_RIGHTS), and the event
 * loop's read(2) would drop it. So a connection is accepted paused; the first four bytes, the number of
 * its first message, are read here with recvmsg(2), and no byte beyond them. Then the event loop reads, as
 * from any socket. QEMU sends SET_DATAFD first of all; a descriptor with a later message is dropped by the
 * kernel, and a SET_DATAFD without one is refused.
 *
 * The wait for the first byte is a poll(2) in a thread of libuv's pool, one at most, since a channel has
 * one client. Closing a connection shuts it down, which ends that wait.
 * @module
 */
import { closeSync, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { loadMessageSocket, type MessageSocket } from '../../native/recvmsg.js';
import { concat } from '../../wire/codec.js';
import { NUMBER_BYTES } from '../control-messages.js';

/** The start of a connection: the first bytes, and the descriptors that came with them. */
export interface Opening {
  readonly bytes: Uint8Array;
  readonly descriptors: readonly number[];
}

export interface FirstBytes {
  /** Resolves with four bytes; undefined where the connection ends before. Never rejects. */
  readonly opening: Promise<Opening | undefined>;
  /** Ends the wait. */
  cancel(): void;
}

/**
 * Reads the start of a paused connection over a Unix socket.
 * @throws NativeError where the system cannot, or koffi is missing
 */
export function firstBytes(socket: Socket): FirstBytes | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  const native = loadMessageSocket();
  let isCancelled = false;
  return {
    opening: receiveOpening(native, fd, () => isCancelled),
    cancel: () => {
      isCancelled = true;
      native.shutdown(fd);
    },
  };
}

async function receiveOpening(
  { readable, receive }: MessageSocket,
  fd: number,
  isCancelled: () => boolean,
): Promise<Opening | undefined> {
  let bytes = new Uint8Array();
  const descriptors: number[] = [];
  while (bytes.length < NUMBER_BYTES) {
    const received = receive(fd, NUMBER_BYTES - bytes.length);
    if (received.is === 'bytes') {
      bytes = concat(bytes, received.bytes) as Uint8Array<ArrayBuffer>;
      descriptors.push(...received.descriptors);
    } else if (received.is === 'nothing yet') {
      await readable(fd);
    }
    if (received.is === 'end' || isCancelled()) {
      closeAll(descriptors);
      return undefined;
    }
  }
  return { bytes, descriptors };
}

export const closeAll = (descriptors: readonly number[]): void => {
  for (const fd of descriptors) closeSync(fd);
};

/** A connection over a descriptor, which is closed with it, or at once where it is no socket. */
export function socketOver(fd: number): Socket | undefined {
  if (fstatSync(fd).isSocket()) {
    try {
      return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    } catch {
      // A datagram socket.
    }
  }
  closeSync(fd);
  return undefined;
}

/** node:net does not expose the descriptor of a connection; its handle does. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
