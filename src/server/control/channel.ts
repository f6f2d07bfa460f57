/**
 * swtpm's control channel: one client at a time. A virtual machine is a client that has passed its data
 * channel (SET_DATAFD); its end is a power-off, whatever it has sent before. Tools such as swtpm_ioctl
 * connect for one message and leave the TPM as it is.
 * @module
 */
import { createServer, type Socket } from 'node:net';
import { setImmediate as pass } from 'node:timers/promises';
import { NativeError } from '../../native/error.js';
import { PARTIAL_MS } from '../deadline.js';
import { listenOn, portOf, type TpmAddress } from '../tpm-address.js';
import { ControlClient, type ControlClientOptions } from './client.js';
import { type FirstBytes, firstBytes } from './descriptor.js';

export interface ControlChannelOptions extends Omit<ControlClientOptions, 'partialMs'> {
  readonly address: TpmAddress;
  /** How long a message may stay incomplete before its connection is closed. Default: 10,000. */
  readonly partialMs?: number;
  /** Called when a virtual machine has ended: its data channel is closed then. */
  readonly poweredOff: () => void;
}

export interface ControlChannel {
  /** The TCP port that was bound. */
  readonly port: number | undefined;
  /** Stops listening and closes the connection. Removes a Unix socket. */
  close(): Promise<void>;
}

/** Turns of the event loop in which the end of a connection that has closed is seen. */
const TURNS = 4;

/** @throws EndpointError LISTEN */
export async function openControlChannel(options: ControlChannelOptions): Promise<ControlChannel> {
  const { address, notice, poweredOff } = options;
  const clientOptions = { partialMs: PARTIAL_MS, ...options };
  let current: ControlClient | undefined;
  const arrive = async (socket: Socket): Promise<void> => {
    // A tool that connects for one message after another: its last connection may be at its end.
    for (let turn = 0; current?.hasSpoken && !current.data && turn < TURNS; turn += 1) await pass();
    if (current?.hasSpoken) {
      notice('a second control client was turned away: another one is connected');
      socket.destroy();
      return;
    }
    // A connection that has sent nothing keeps no client out.
    current?.close();
    const client = new ControlClient(socket, clientOptions);
    current = client;
    socket.on('close', () => {
      client.data?.destroy();
      if (current !== client) return;
      current = undefined;
      if (client.data !== undefined) poweredOff();
    });
    client.start(startOf(socket, address, notice));
  };
  const server = createServer(
    { pauseOnConnect: true, allowHalfOpen: true },
    socket => void arrive(socket),
  );
  await listenOn(server, address);
  return {
    port: portOf(server),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        current?.close();
      }),
  };
}

/** A descriptor can come with the first message over a Unix socket only. */
function startOf(
  socket: Socket,
  { type }: TpmAddress,
  notice: (sentence: string) => void,
): FirstBytes | undefined {
  if (type === 'tcp') return undefined;
  try {
    return firstBytes(socket);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    notice(`no descriptor can be received, which QEMU needs: ${error.message}`);
    return undefined;
  }
}
