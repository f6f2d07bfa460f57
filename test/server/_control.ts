/** A TPM with a control channel in this process. */
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { ControlClient } from '../../lab/peers/control.js';
import type { BlockNode } from '../../src/block/index.js';
import {
  type Listening,
  type MigrationOptions,
  type ServeEnding,
  type ServeOptions,
  serveMachine,
} from '../../src/server/index.js';
import { blankDisk, type More, machineOn } from '../machine/_machines.js';

export interface Controlled {
  readonly path: string;
  readonly disk: BlockNode;
  readonly listening: Listening;
  /** The sentences for the log. */
  readonly notices: readonly string[];
  readonly ended: Promise<ServeEnding>;
  open(): Promise<ControlClient>;
  quit(): void;
}

export async function controlled(
  t: ExecutionContext,
  {
    migration = {},
    ...options
  }: Partial<ServeOptions> & { readonly migration?: MigrationOptions } = {},
  disk: BlockNode = blankDisk(),
  more: More = {},
): Promise<Controlled> {
  const path = join(scratch(t), 'ctrl');
  const quit = new AbortController();
  const notices: string[] = [];
  let ended!: Promise<ServeEnding>;
  const listening = await new Promise<Listening>((ready, failed) => {
    ended = serveMachine({
      ...{ server: undefined, on: false, startup: undefined, terminate: false, ready },
      control: { address: { type: 'unixio', path }, migration },
      openImage: () => disk,
      machine: image => machineOn(image, more),
      signal: quit.signal,
      notice: sentence => void notices.push(sentence),
      ...options,
    });
    ended.catch(failed);
  });
  const clients: ControlClient[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    quit.abort();
    await ended.catch(() => {});
  });
  const open = async (): Promise<ControlClient> => {
    const client = await ControlClient.open(path);
    clients.push(client);
    return client;
  };
  return { path, disk, listening, notices, ended, open, quit: () => quit.abort() };
}
