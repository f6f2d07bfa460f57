/**
 * recvmsg(2) of a Unix socket, with the descriptors that travel beside the bytes (SCM_RIGHTS), and the
 * wait for its bytes. node:net reads with read(2), at which the kernel drops the descriptors.
 *
 * The structures are declared once and compared with koffi's layout when they are loaded. Linux only.
 * @module
 */
import { closeSync } from 'node:fs';
import { constants, endianness } from 'node:os';
import { NativeError } from './error.js';
import { assertLayout, loadKoffi, type StructLayout, structOf } from './koffi.js';

/** <sys/socket.h> and <poll.h> of Linux on 64 bits. */
export const MSGHDR: StructLayout = {
  name: 'struct msghdr',
  fields: [
    ['msg_name', 'void *', 0],
    ['msg_namelen', 'uint32', 8],
    ['msg_iov', 'void *', 16],
    ['msg_iovlen', 'size_t', 24],
    ['msg_control', 'void *', 32],
    ['msg_controllen', 'size_t', 40],
    ['msg_flags', 'int', 48],
  ],
  bytes: 56,
};
export const IOVEC: StructLayout = {
  name: 'struct iovec',
  fields: [
    ['iov_base', 'void *', 0],
    ['iov_len', 'size_t', 8],
  ],
  bytes: 16,
};
const POLLFD: StructLayout = {
  name: 'struct pollfd',
  fields: [
    ['fd', 'int', 0],
    ['events', 'short', 4],
    ['revents', 'short', 6],
  ],
  bytes: 8,
};
/** struct cmsghdr: cmsg_len (size_t), cmsg_level, cmsg_type (int); then the descriptors. */
export const CMSGHDR_BYTES = 16;
const FD_BYTES = 4;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const SHUT_RDWR = 2;
/** Room for the descriptors of one message; the kernel closes those beyond it. */
const DESCRIPTORS_MAX = 4;
const LITTLE = endianness() === 'LE';

/** What one recvmsg(2) has brought. */
export type Received =
  | { readonly is: 'bytes'; readonly bytes: Uint8Array; readonly descriptors: readonly number[] }
  | { readonly is: 'nothing yet' }
  /** The other side has closed the connection, or it is broken. */
  | { readonly is: 'end' };

export interface MessageSocket {
  /** Resolves once the socket has something to read, is at its end, or was shut down. Uses a thread of libuv's pool. */
  readable(fd: number): Promise<void>;
  /** Receives at most `length` bytes without waiting. The descriptors are the caller's to close. */
  receive(fd: number, length: number): Received;
  /** Ends both directions, and with them the wait of readable(). */
  shutdown(fd: number): void;
}

let loaded: MessageSocket | undefined;

/** @throws NativeError where the layouts are not known, or koffi cannot be loaded */
export function loadMessageSocket(): MessageSocket {
  loaded ??= load();
  return loaded;
}

function load(): MessageSocket {
  const { platform, arch } = process;
  if (
    platform !== 'linux' ||
    !['x64', 'arm64', 'ppc64', 'riscv64', 's390x', 'loong64'].includes(arch)
  ) {
    throw new NativeError(
      `descriptors cannot be received on ${platform} on ${arch}; use Linux on 64 bits`,
    );
  }
  const koffi = loadKoffi();
  for (const layout of [MSGHDR, IOVEC, POLLFD]) assertLayout(layout);
  const [msghdr, iovec] = [structOf(MSGHDR), structOf(IOVEC)];
  const libc = koffi.load(null);
  const recvmsg = libc.func('recvmsg', 'long', ['int', koffi.inout(koffi.pointer(msghdr)), 'int']);
  const poll = libc.func('int poll(void *fds, unsigned long count, int timeout)');
  const shutdown = libc.func('int shutdown(int fd, int how)');
  return {
    readable: fd =>
      new Promise(resolve => {
        const waited = pollfdOf(fd);
        // Named in the callback, so that it is not collected while the thread writes to it.
        poll.async(waited, 1, -1, () => resolve(void waited));
      }),
    receive: (fd, length) => {
      const [bytes, control] = [new Uint8Array(length), new Uint8Array(CONTROL_BYTES)];
      const vector = new Uint8Array(IOVEC.bytes);
      koffi.encode(vector, iovec, { iov_base: bytes, iov_len: length });
      const message = {
        ...{ msg_name: null, msg_namelen: 0, msg_iov: vector, msg_iovlen: 1 },
        ...{ msg_control: control, msg_controllen: control.length, msg_flags: 0 },
      };
      const count = Number(recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
      if (count < 0) return { is: WAITS.has(koffi.errno()) ? 'nothing yet' : 'end' };
      const descriptors = descriptorsIn(control.subarray(0, Number(message.msg_controllen)));
      if (count > 0) return { is: 'bytes', bytes: bytes.subarray(0, count), descriptors };
      descriptors.forEach(closeSync);
      return { is: 'end' };
    },
    shutdown: fd => void shutdown(fd, SHUT_RDWR),
  };
}

const CONTROL_BYTES = CMSGHDR_BYTES + FD_BYTES * DESCRIPTORS_MAX;
const WAITS = new Set([constants.errno.EAGAIN, constants.errno.EWOULDBLOCK, constants.errno.EINTR]);

function pollfdOf(fd: number): Uint8Array {
  const bytes = new Uint8Array(POLLFD.bytes);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, LITTLE);
  view.setInt16(4, POLLIN, LITTLE);
  return bytes;
}

/** The descriptors of the SCM_RIGHTS messages in ancillary data. */
function descriptorsIn(control: Uint8Array): number[] {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const found: number[] = [];
  for (let at = 0; at + CMSGHDR_BYTES <= control.length; ) {
    const length = Math.min(Number(view.getBigUint64(at, LITTLE)), control.length - at);
    if (length < CMSGHDR_BYTES) break;
    const isRights =
      view.getInt32(at + 8, LITTLE) === SOL_SOCKET && view.getInt32(at + 12, LITTLE) === SCM_RIGHTS;
    for (let fd = at + CMSGHDR_BYTES; isRights && fd + FD_BYTES <= at + length; fd += FD_BYTES) {
      found.push(view.getInt32(fd, LITTLE));
    }
    at += (length + 7) & ~7;
  }
  return found;
}
