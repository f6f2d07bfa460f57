/** Passing descriptors over Unix sockets (SCM_RIGHTS), as QEMU passes its data channel. */
import { Socket } from 'node:net';
import { loadKoffi, structOf } from '../../src/native/koffi.js';
import { CMSGHDR_BYTES, IOVEC, MSGHDR, SCM_RIGHTS, SOL_SOCKET } from '../../src/native/recvmsg.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;

type Message = Readonly<Record<string, unknown>>;

interface Calls {
  readonly sendmsg: (fd: number, message: Message) => number;
  readonly socketpair: (into: Int32Array) => number;
  readonly vectorOf: (bytes: Uint8Array) => Uint8Array;
}

let loaded: Calls | undefined;

function load(): Calls {
  const koffi = loadKoffi();
  const libc = koffi.load(null);
  const iovec = structOf(IOVEC);
  const send = libc.func('sendmsg', 'long', ['int', koffi.pointer(structOf(MSGHDR)), 'int']);
  const pair = libc.func('int socketpair(int domain, int type, int protocol, void *into)');
  return {
    sendmsg: (fd, message) => Number(send(fd, message, 0)),
    socketpair: into => pair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, into),
    vectorOf: bytes => {
      const vector = new Uint8Array(IOVEC.bytes);
      koffi.encode(vector, iovec, { iov_base: bytes, iov_len: bytes.length });
      return vector;
    },
  };
}

/** Two connected stream sockets, as descriptors. */
export function socketPair(): [number, number] {
  loaded ??= load();
  const pair = new Int32Array(2);
  if (loaded.socketpair(pair) !== 0) throw new Error('socketpair failed');
  return [pair[0]!, pair[1]!];
}

/** Sends bytes with descriptors beside them, in one message. The descriptors stay open here. */
export function sendWith(socket: Socket, bytes: Uint8Array, descriptors: readonly number[]): void {
  loaded ??= load();
  const control = Buffer.alloc(CMSGHDR_BYTES + Math.ceil((4 * descriptors.length) / 8) * 8);
  control.writeBigUInt64LE(BigInt(CMSGHDR_BYTES + 4 * descriptors.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  descriptors.forEach((fd, i) => void control.writeInt32LE(fd, CMSGHDR_BYTES + 4 * i));
  const message = {
    ...{ msg_name: null, msg_namelen: 0, msg_iov: loaded.vectorOf(bytes), msg_iovlen: 1 },
    ...{ msg_control: control, msg_controllen: control.length, msg_flags: 0 },
  };
  const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
  if (loaded.sendmsg(fd, message) !== bytes.length) throw new Error('sendmsg failed');
}

export const overDescriptor = (fd: number): Socket =>
  new Socket({ fd, readable: true, writable: true });
