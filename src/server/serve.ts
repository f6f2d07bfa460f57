/**
 * A TPM behind a socket, as swtpm is one: commands reach it directly, without registers, from power on
 * to power off.
 * @module
 */
import type { BlockNode } from '../block/node.js';
import { type Machine, retryResponse, wasNotRun } from '../machine/index.js';
import { NvramError } from '../nvram/index.js';
import { decode, encode, struct, u16, u32 } from '../wire/codec.js';
import type { EndReason } from './host.js';
import { openTpmSocket, type TpmSocketOptions } from './tpm-socket.js';

/** TPM_STARTUP_TYPE (TPM Main Part 2 §3.1). */
export const STARTUP_TYPES = { clear: 1, state: 2, deactivated: 3 } as const;
export type StartupType = keyof typeof STARTUP_TYPES;

const startup = struct({ tag: u16, size: u32, ordinal: u32, type: u16 });
const response = struct({ tag: u16, size: u32, result: u32 });
const startupCommand = (type: StartupType): Uint8Array =>
  encode(startup, { tag: 0x00c1, size: 12, ordinal: 0x99, type: STARTUP_TYPES[type] });

export interface ServeOptions extends Pick<TpmSocketOptions, 'address' | 'disconnect' | 'notice'> {
  /** The TPM_Startup that is sent before any client's command; undefined sends none. */
  readonly startup: StartupType | undefined;
  /** Whether it ends when the last client has disconnected. */
  readonly terminate: boolean;
  /** Opens the image for writing. It is closed here. */
  readonly openImage: () => BlockNode;
  readonly machine: (image: BlockNode) => Machine;
  /** Ends it in order: after the command that runs, if one does. */
  readonly signal: AbortSignal;
  /** Called once it listens and the TPM is on. */
  readonly ready: (listening: Listening) => void;
}

export interface Listening {
  /** The TCP port that was bound, also where port 0 was requested. */
  readonly port: number | undefined;
  /** The result code of the TPM_Startup, if one was sent. */
  readonly startupResult: number | undefined;
}

/** Why it ended, and the state of its store then. */
export interface ServeEnding {
  readonly reason: Extract<EndReason, 'host-signal'> | 'client-gone';
  readonly store: { readonly generation: number; readonly epoch: number };
}

/**
 * Runs a TPM until the signal, or (with `terminate`) the last client's end. The address is bound first,
 * so that a wrong one changes nothing in the image. Volatile state is lost at the end, as in a power cut.
 * @throws EndpointError; what powering on throws: NvramError, LockError, IoError; at the end, why the TPM
 *   was in failure mode
 */
export async function serveMachine(options: ServeOptions): Promise<ServeEnding> {
  let machine: Machine | undefined;
  let settle!: { end: (reason: ServeEnding['reason']) => void; fail: (error: unknown) => void };
  const ended = new Promise<ServeEnding['reason']>((end, fail) => {
    settle = { end, fail };
  });
  options.signal.addEventListener('abort', () => settle.end('host-signal'));
  if (options.signal.aborted) settle.end('host-signal');
  const socket = await openTpmSocket({
    ...options,
    // No client can connect before the machine is there: the lines up to powerOn() are synchronous.
    process: request => run(machine!, request, options.signal),
    commandBytes: () => machine!.commandBytes,
    fail: settle.fail,
    deserted: () => options.terminate && settle.end('client-gone'),
  });
  try {
    using image = options.openImage();
    machine = options.machine(image);
    machine.onFailure(error => {
      // Another instance has the store: nothing that this one acknowledges would last.
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
      // After a fault nothing more is written: what was acknowledged is stored.
      machine.cutPower();
    }
  } finally {
    await socket.close();
  }
}

/** Where the image stays locked by another process, the response is TPM_RETRY. */
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
