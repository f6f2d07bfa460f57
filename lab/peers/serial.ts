/** The first serial port of a QEMU, as a stream of bytes in both directions. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Scope, scratch } from '../files.js';

export class SerialPort {
  /** What QEMU is started with. */
  readonly args: readonly string[];
  readonly #server: Server;
  readonly #socket: Promise<Socket>;

  private constructor(path: string, server: Server) {
    this.args = ['-chardev', `socket,id=serial0,path=${path}`, '-serial', 'chardev:serial0'];
    this.#server = server;
    this.#socket = once(server, 'connection').then(([socket]) => socket as Socket);
  }

  /** Listens for one QEMU, so that nothing it prints is lost. */
  static async listen(t: Scope): Promise<SerialPort> {
    const path = join(scratch(t), 'serial');
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    t.teardown(() => void server.close());
    return new SerialPort(path, server);
  }

  /** The connection of the QEMU. Paused until it is read. */
  async connected(): Promise<Socket> {
    const socket = await this.#socket;
    this.#server.close();
    socket.on('error', () => socket.destroy());
    return socket;
  }
}
