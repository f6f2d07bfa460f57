/**
 * A TPM for programs: raw TPM 1.2 commands over TCP or a Unix socket, as trousers' tcsd and swtpm's
 * clients send them. A response is one write, since tcsd reads it with one read; clients may connect
 * anew for each command, and several may be connected at once, which take turns.
 * @module
 */
import { createServer } from 'node:net';
import { listenOn, portOf, type TpmAddress } from './tpm-address.js';
import { TpmClients, type TpmClientsOptions } from './tpm-clients.js';

export interface TpmSocketOptions extends TpmClientsOptions {
  readonly address: TpmAddress;
}

/** A TPM that listens. */
export interface TpmSocket {
  /** The TCP port that was bound, also where port 0 was requested. */
  readonly port: number | undefined;
  /**
   * Stops listening, discards the commands that have not begun, and closes every connection. Removes
   * a Unix socket.
   */
  close(): Promise<void>;
}

/**
 * Takes the commands of the clients that connect to an address.
 * @throws EndpointError LISTEN
 */
export const openTpmSocket = ({ address, ...options }: TpmSocketOptions): Promise<TpmSocket> =>
  listenFor(new TpmClients(options), address);

/** The same for clients that have other connections too. @throws EndpointError LISTEN */
export async function listenFor(clients: TpmClients, address: TpmAddress): Promise<TpmSocket> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket =>
    clients.admit(socket),
  );
  await listenOn(server, address);
  return {
    port: portOf(server),
    close: () =>
      new Promise(resolve => {
        clients.end();
        server.close(() => resolve());
        clients.close();
      }),
  };
}
