/**
 * The worker thread behind swtpm.ts. It owns the swtpm process and both of its sockets, so
 * that the thread of the test can wait for an answer without an event loop of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MessagePort, workerData } from 'node:worker_threads';

/** What the test asks for. An answer is complete after `length` bytes, or by its TPM header. */
export type Ask =
  | { readonly do: 'start'; readonly folder: string; readonly options: readonly string[] }
  | {
      readonly do: 'exchange';
      readonly channel: 'data' | 'ctrl';
      readonly bytes: Uint8Array;
      readonly length: number | 'header';
    }
  | { readonly do: 'stop' };
export type Answer = { readonly bytes: Uint8Array } | { readonly error: string };
export interface HostData {
  readonly port: MessagePort;
  readonly signal: Int32Array;
}

const { port, signal } = workerData as HostData;
const sockets: Record<'data' | 'ctrl', Socket | undefined> = { data: undefined, ctrl: undefined };
let child: ChildProcess | undefined;
const NOTHING = new Uint8Array();

port.on('message', async (ask: Ask) => {
  let answer: Answer;
  try {
    answer = { bytes: await serve(ask) };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(answer);
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
});

async function serve(ask: Ask): Promise<Uint8Array> {
  if (ask.do === 'start') return start(ask.folder, ask.options);
  if (ask.do === 'stop') return stop();
  return exchange(ask.channel, ask.bytes, ask.length);
}

async function start(folder: string, options: readonly string[]): Promise<Uint8Array> {
  const data = join(folder, 'data.sock');
  const ctrl = join(folder, 'ctrl.sock');
  for (const path of [data, ctrl]) rmSync(path, { force: true });
  // biome-ignore format: one option and its value a line
  child = spawn('swtpm', [
    'socket',
    ...options,
    '--server', `type=unixio,path=${data}`,
    '--ctrl', `type=unixio,path=${ctrl}`,
    '--flags', 'not-need-init',
    // It ends with the data connection, and so with this thread, however that ends.
    '--terminate',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.on('error', error => {
    said += error.message;
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  sockets.ctrl = await connect(ctrl, child, () => said);
  sockets.data = await connect(data, child, () => said);
  return NOTHING;
}

/** Connects as soon as the process listens. @throws Error if it ends before */
async function connect(path: string, to: ChildProcess, said: () => string): Promise<Socket> {
  for (;;) {
    if (to.pid === undefined || to.exitCode !== null || to.signalCode !== null)
      throw new Error(`swtpm does not run (exit code ${to.exitCode}): ${said()}`);
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await sleep(10);
    }
  }
}

async function stop(): Promise<Uint8Array> {
  const ending = child;
  child = undefined;
  for (const socket of Object.values(sockets)) socket?.destroy();
  if (ending !== undefined && ending.exitCode === null && ending.signalCode === null) {
    const ended = once(ending, 'exit');
    ending.kill('SIGKILL');
    await ended;
  }
  return NOTHING;
}

function exchange(
  channel: 'data' | 'ctrl',
  bytes: Uint8Array,
  length: number | 'header',
): Promise<Uint8Array> {
  const socket = sockets[channel];
  if (socket === undefined || socket.destroyed) throw new Error('swtpm is not running');
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const finish = (): void => {
      socket.off('data', take);
      socket.off('close', closed);
    };
    const closed = (): void => {
      finish();
      reject(new Error(`swtpm closed its ${channel} channel`));
    };
    const take = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      const due = length !== 'header' ? length : got.length < 6 ? 6 : got.readUInt32BE(2);
      if (got.length < due) return;
      finish();
      resolve(new Uint8Array(got));
    };
    socket.on('data', take);
    socket.on('close', closed);
    socket.write(bytes);
  });
}
