/**
 * Listening at a path. The socket has its mode from the moment it exists, and replaces one that a dead
 * program has left, but nothing else.
 * @module
 */
import { once } from 'node:events';
import { lstatSync, rmSync, statSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { errnoOf } from '../errors.js';
import { EndpointError, PATH_BYTES_MAX } from './address.js';

/** For its owner only: a client of the socket controls the TPM. */
export const OWNER_ONLY = 0o600;
const ALL_MODE_BITS = 0o777;

/**
 * Makes `server` listen at `path`; closing the server removes the path. For the main thread only, since
 * the mode is set by the umask, which a worker cannot change.
 * @throws EndpointError LISTEN
 */
export async function listenAt(server: Server, path: string, mode = OWNER_ONLY): Promise<void> {
  try {
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      throw new Error(`the path of a socket has at most ${PATH_BYTES_MAX} bytes`);
    }
    await makeRoom(path);
    const listening = once(server, 'listening');
    // The kernel makes the file in this call: with its mode, and not with a mode that is changed later.
    const umask = process.umask(ALL_MODE_BITS & ~mode);
    try {
      server.listen(path);
    } finally {
      process.umask(umask);
    }
    await listening;
  } catch (error) {
    const why = `cannot listen at ${path}: ${error instanceof Error ? error.message : error}`;
    throw new EndpointError('LISTEN', `${why}; choose another path`, error);
  }
}

/** Removes a socket at which no program listens. */
async function makeRoom(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    // listen() reports a missing folder as a lack of permission.
    const folder = dirname(path);
    if (statSync(folder, { throwIfNoEntry: false }) === undefined) {
      throw new Error(`there is no directory ${folder}`);
    }
    return;
  }
  if (!found.isSocket()) throw new Error('the file exists and is not a socket');
  if (await isAnswered(path)) throw new Error('another program listens there');
  rmSync(path, { force: true });
}

/** Whether a program listens at a socket; the only way to know is to connect. */
async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    // Any other error may come from a program that listens and is too busy.
    if (errnoOf(error) !== 'ECONNREFUSED' && errnoOf(error) !== 'ENOENT') throw error;
    return false;
  } finally {
    socket.destroy();
  }
}
