/**
 * A machine as swtpm is one: a TPM that other programs send commands to, past the registers, from the
 * first of them to the end.
 * @module
 */
import type { BlockNode } from '../block/node.js';
import { type Machine, retryResponse, wasNotRun } from '../machine/index.js';
import { NvramError } from '../nvram/index.js';
import { decode, encode, struct, u16, u32 } from '../wire/codec.js';
import type { EndReason } from './host.js';
import { serveTpm, type TpmSocketOptions } from './tpm-socket.js';

/** TPM_STARTUP_TYPE (TPM Main Part 2 §3.1). */
export const STARTUP_TYPES = { clear: 1, state: 2, deactivated: 3 } as const;
export type StartupType = keyof typeof STARTUP_TYPES;

const startup = struct({ tag: u16, size: u32, ordinal: u32, type: u16 });
const response = struct({ tag: u16, size: u32, result: u32 });
const startupCommand = (type: StartupType): Uint8Array =>
  encode(startup, { tag: 0x00c1, size: 12, ordinal: 0x99, type: STARTUP_TYPES[type] });

export interface BackendOptions extends Pick<TpmSocketOptions, 'address' | 'disconnect'> {
  /** The TPM_Startup that is sent before any client's command, if one is. */
  readonly startup: StartupType | undefined;
  /** Whether it ends when the last client has gone. */
  readonly terminate: boolean;
  /** Opens the image for writing. It is closed here. */
  readonly openImage: () => BlockNode;
  readonly machine: (image: BlockNode) => Machine;
  /** Ends it in order. */
  readonly signal: AbortSignal;
  /** Called once clients can come. */
  readonly ready: (listening: Listening) => void;
}

export interface Listening {
  /** The TCP port that it has, where it was asked for port 0. */
  readonly port: number | undefined;
  /** What TPM_Startup was answered, if it was sent. */
  readonly startupResult: number | undefined;
}

/** How it ended, and the state of its store then. */
export interface BackendEnding {
  readonly reason: Extract<EndReason, 'host-signal'> | 'client-gone';
  readonly store: { readonly generation: number; readonly epoch: number };
}

/**
 * Runs a TPM until it is told to end. The address is taken first, so that a wrong one changes nothing
 * in the image. What the TPM holds besides its stored state is gone at the end, as after a power cut.
 * @throws FaceError; what powering on throws: NvramError, LockError, IoError; at the end, why the TPM
 *   was in failure mode
 */
export async function serveBackend(options: BackendOptions): Promise<BackendEnding> {
  let machine: Machine | undefined;
  let settle!: { end: (reason: BackendEnding['reason']) => void; fail: (error: unknown) => void };
  const ended = new Promise<BackendEnding['reason']>((end, fail) => {
    settle = { end, fail };
  });
  options.signal.addEventListener('abort', () => settle.end('host-signal'));
  if (options.signal.aborted) settle.end('host-signal');
  const socket = await serveTpm({
    ...options,
    // Nobody is heard before the next lines have run: they do not wait for anything.
    process: request => run(machine!, request, options.signal),
    fail: settle.fail,
    deserted: () => options.terminate && settle.end('client-gone'),
  });
  try {
    using image = options.openImage();
    machine = options.machine(image);
    machine.onFailure(error => {
      // Another instance has the TPM: nothing that this one answers would last.
      if (error instanceof NvramError && error.code === 'FENCED') settle.fail(error);
    });
    try {
      machine.powerOn();
      options.ready({ port: socket.port, startupResult: start(machine, options.startup) });
      const reason = await ended;
      await socket.close();
      const { generation, epoch } = machine.storeInfo;
      const { failure } = machine;
      machine.powerOff();
      if (failure !== undefined) throw failure;
      return { reason, store: { generation, epoch } };
    } finally {
      // After a fault nothing more is written: what was acknowledged is there.
      machine.cutPower();
    }
  } finally {
    await socket.close();
  }
}

/** A command that could not be run because the image stayed locked is answered with TPM_RETRY. */
function run(
  machine: Machine,
  request: Uint8Array,
  signal: AbortSignal,
): Uint8Array | Promise<Uint8Array> {
  const now = machine.tryProcess(request);
  if (now !== undefined) return now;
  const { version } = machine.engine;
  return machine.execute(request, 0, { signal }).catch((error: unknown) => {
    if (wasNotRun(error)) return retryResponse(version);
    throw error;
  });
}

function start(machine: Machine, type: StartupType | undefined): number | undefined {
  if (type === undefined) return undefined;
  return decode(response, machine.process(startupCommand(type))).result;
}
