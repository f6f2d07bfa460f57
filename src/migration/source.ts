/**
 * The side that a machine leaves. Design: hand over, send, wait for yes. On no, or silence, the
 * machine takes its state back, unless the image says that somebody else has it: the image is the
 * judge, and not the network.
 * @module
 */
import type { Socket } from 'node:net';
import type { Machine } from '../machine.js';
import { noTrace, type Trace } from '../trace.js';
import { receive, send } from './channel.js';
import { MigrationError, makeManifest } from './manifest.js';

export interface MigrateOptions {
  /** How long to wait for the answer, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  readonly trace?: Trace;
}

/**
 * Migrates `machine` to whoever listens at the other end of `socket`. Once it returns, the machine
 * is gone. If it throws, the machine runs on as if nothing had happened, unless `machine.power` is
 * 'gone': then the target has the state, although its answer did not arrive.
 * @throws MigrationError FAILED with the target's reason
 */
export async function migrate(
  machine: Machine,
  socket: Socket,
  { timeoutMs = 10_000, trace = noTrace }: MigrateOptions = {},
): Promise<void> {
  const state = machine.handOver();
  trace({ event: 'migrate', step: 'handed over' });
  const refusal = await offer(machine, socket, state, timeoutMs);
  if (refusal === undefined) {
    machine.finish();
    trace({ event: 'migrate', step: 'completed' });
    return;
  }
  machine.takeBack();
  trace({ event: 'migrate', step: 'taken back', detail: refusal });
  throw new MigrationError('FAILED', [refusal]);
}

/** Undefined if the target took over; else why not. */
async function offer(
  machine: Machine,
  socket: Socket,
  state: ReturnType<Machine['handOver']>,
  timeoutMs: number,
): Promise<string | undefined> {
  try {
    send(socket, makeManifest(machine.store, state));
    const answer = (await receive(socket, timeoutMs)) as { taken?: unknown; why?: unknown } | null;
    return answer?.taken === true ? undefined : `the target said no: ${String(answer?.why)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
