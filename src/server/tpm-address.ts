/**
 * Where a server of nvtpm listens that is spelt as swtpm's: a TCP port, or a Unix socket.
 * @module
 */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { EndpointError } from './address.js';
import { listenAt } from './unix-socket.js';

/** Where a TPM listens. TCP listens on this machine only, unless `bindaddr` says otherwise. */
export type TpmAddress =
  | { readonly type: 'tcp'; readonly port: number; readonly bindaddr?: string }
  /** The mode of the socket's file. Default: 0600. */
  | { readonly type: 'unixio'; readonly path: string; readonly mode?: number };

const LOOPBACK = '127.0.0.1';

/** The TCP port that was bound. */
export function portOf(server: Server): number | undefined {
  const bound = server.address();
  return bound === null || typeof bound === 'string' ? undefined : bound.port;
}

/**
 * Listens at an address.
 * @throws EndpointError LISTEN
 */
export async function listenOn(server: Server, address: TpmAddress): Promise<void> {
  if (address.type === 'unixio') return listenAt(server, address.path, address.mode);
  const { port, bindaddr = LOOPBACK } = address;
  try {
    server.listen(port, bindaddr);
    await once(server, 'listening');
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    const where = `port ${port} of ${bindaddr}`;
    throw new EndpointError(
      'LISTEN',
      `cannot listen at ${where}: ${why}; choose another one`,
      error,
    );
  }
}
