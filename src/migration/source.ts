/**
 * The source of a migration: hand over, send, wait for the answer, and then read the image, whatever
 * the answer was. Only the image says which of the two machines has the TPM.
 * @module
 */
import type { MachineState } from '../machine/state.js';
import { safeTrace, type Trace } from '../trace.js';
import { type Channel, ChannelError } from './channel.js';
import { makeManifest } from './manifest.js';
import { type Movable, takeBack } from './take-back.js';

/** How a migration ends for the source (docs/migration.md). */
// biome-ignore format: table
export type End =
  | 'moved'   // The target has the TPM, and said so.
  | 'kept'    // The target has not: the machine runs on.
  | 'fenced'  // The target has the TPM, although its answer did not arrive.
  | 'stuck'; // The image could not be asked: the machine is still handed over; see takeBack().

/** How a migration ended, and why. */
export interface MigrationEnd {
  readonly end: End;
  readonly why: string;
}

/** The limits of a migration, and its trace. */
export interface MigrateOptions {
  /** Milliseconds to wait for the target's answer. Default 10,000. */
  readonly timeoutMs?: number;
  /** Milliseconds to retry reading the image, after the answer or its absence. Default 10,000. */
  readonly askMs?: number;
  /** Ends the waiting, for the answer and for the image. */
  readonly signal?: AbortSignal;
  readonly trace?: Trace;
}

/**
 * Moves `machine` to the target at the other end of `channel`. Afterwards the machine is gone (moved,
 * fenced), on (kept), or handed over still (stuck).
 * @throws what Machine.handOver throws (the machine is on); NvramError CORRUPT (the machine is off)
 */
export async function migrate(
  machine: Movable,
  channel: Channel,
  options: MigrateOptions = {},
): Promise<MigrationEnd> {
  const { signal, askMs = 10_000 } = options;
  const trace = safeTrace(options.trace);
  await machine.whenIdle(signal === undefined ? {} : { signal });
  const state = await machine.handOver();
  trace({ event: 'migrate', step: 'handed over' });
  const answer = await offer(channel, state, options);
  const image = await takeBack(machine, { signal, timeoutMs: askMs });
  const found = endOf(answer, image);
  trace({ event: 'migrate', step: found.end, detail: found.why });
  return found;
}

interface Answer {
  readonly taken: boolean;
  readonly why: string;
}

function endOf(answer: Answer, image: Awaited<ReturnType<typeof takeBack>>): MigrationEnd {
  switch (image.is) {
    case 'back':
      return answer.taken
        ? { end: 'kept', why: 'the target said that it took over, and the image says otherwise' }
        : { end: 'kept', why: answer.why };
    case 'fenced':
      return { end: answer.taken ? 'moved' : 'fenced', why: answer.why };
    case 'unknown':
      return { end: 'stuck', why: `${answer.why}; the image cannot be asked: ${image.why}` };
  }
}

/** The destination's answer. No answer is an error here. */
async function offer(
  channel: Channel,
  state: MachineState,
  { timeoutMs = 10_000, signal }: MigrateOptions,
): Promise<Answer> {
  try {
    await channel.send(makeManifest(state), { timeoutMs, signal });
    return read(await channel.receive({ timeoutMs, signal }));
  } catch (error) {
    if (!(error instanceof ChannelError)) throw error;
    return { taken: false, why: error.message };
  }
}

function read(message: unknown): Answer {
  const { taken, why } = (message ?? {}) as { taken?: unknown; why?: unknown };
  if (taken === true) return { taken, why: 'the target said that it took over' };
  const said =
    taken === false ? 'the target refused' : 'the target does not know whether it took over';
  return { taken: false, why: `${said}: ${String(why).slice(0, 1000)}` };
}
