/**
 * A TPM behind a socket, as swtpm is one: commands reach it directly, without registers, from power on
 * to power off.
 * @module
 */
import type { BlockNode } from '../block/node.js';
import type { Machine } from '../machine/index.js';
import { NvramError } from '../nvram/index.js';
import { encode, struct, u16, u32 } from '../wire/codec.js';
import { type ControlChannelOptions, openControlChannel } from './control/channel.js';
import { BUFFER_BYTES, ControlledTpm } from './control/controlled.js';
import type { EndReason } from './host.js';
import type { TpmAddress } from './tpm-address.js';
import { TpmClients, type TpmClientsOptions } from './tpm-clients.js';
import { listenFor } from './tpm-socket.js';

/** TPM_STARTUP_TYPE (TPM Main Part 2 §3.1). */
export const STARTUP_TYPES = { clear: 1, state: 2, deactivated: 3 } as const;
export type StartupType = keyof typeof STARTUP_TYPES;

const startup = struct({ tag: u16, size: u32, ordinal: u32, type: u16 });
const startupCommand = (type: StartupType): Uint8Array =>
  encode(startup, { tag: 0x00c1, size: 12, ordinal: 0x99, type: STARTUP_TYPES[type] });

export interface ServeOptions {
  /** Where TPM commands are taken; undefined where they come over the control channel's descriptor only. */
  readonly server: ServerOptions | undefined;
  /** Where swtpm's control protocol is spoken. */
  readonly control: ControlOptions | undefined;
  /** Called with a sentence for the log. */
  readonly notice?: (sentence: string) => void;
  /** Whether the TPM is on from the start; else CMD_INIT of the control channel switches it on. */
  readonly on: boolean;
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

export interface ServerOptions {
  readonly address: TpmAddress;
  /** Whether the connection ends after each response. */
  readonly disconnect?: boolean;
}

export interface ControlOptions {
  readonly address: TpmAddress;
  readonly rejectLocality4?: boolean;
  readonly migration?: MigrationOptions;
}

/** What a virtual machine's migration does with an image that both of its servers can reach. */
export interface MigrationOptions {
  /**
   * A machine arrives: the image is validated at the start, beside the source, and again with the state.
   * That state is taken only where the source has handed over the image with it.
   */
  readonly incoming?: boolean;
  /** Whether the image is handed over with the last state blob. */
  readonly releaseLockOutgoing?: boolean;
}

export interface Listening {
  /** The TCP port that was bound for commands, also where port 0 was requested. */
  readonly port: number | undefined;
  /** The same for the control channel. */
  readonly controlPort: number | undefined;
  /** The result code of the TPM_Startup, if one was sent. */
  readonly startupResult: number | undefined;
}

/** Why it ended, and the state of its store then: undefined where the TPM was not on. */
export interface ServeEnding {
  /** `control-shutdown`: CMD_SHUTDOWN. */
  readonly reason: Extract<EndReason, 'host-signal'> | 'client-gone' | 'control-shutdown';
  readonly store: { readonly generation: number; readonly epoch: number } | undefined;
}

/**
 * Runs a TPM until the signal, CMD_SHUTDOWN, or (with `terminate`) the last client's end. The addresses
 * are bound first, so that a wrong one changes nothing in the image. Volatile state is lost at the end,
 * as in a power cut.
 * @throws EndpointError; what powering on throws: NvramError, LockError, IoError; at the end, why the TPM
 *   was in failure mode
 */
export async function serveMachine(options: ServeOptions): Promise<ServeEnding> {
  const { signal, notice = () => {} } = options;
  let tpm: ControlledTpm | undefined;
  let settle!: { end: (reason: ServeEnding['reason']) => void; fail: (error: unknown) => void };
  const ended = new Promise<ServeEnding['reason']>((end, fail) => {
    settle = { end, fail };
  });
  ended.catch(() => {});
  signal.addEventListener('abort', () => settle.end('host-signal'));
  if (signal.aborted) settle.end('host-signal');
  let begin!: () => void;
  const begun = new Promise<void>(resolve => {
    begin = resolve;
  });
  const sockets = await openSockets(options, {
    // No control message can arrive before: from the last address on, all is synchronous.
    tpm: () => tpm!,
    process: request => tpm?.process(request) ?? begun.then(() => tpm!.process(request)),
    // As long as the TPM has not been on, the size that is agreed on unless SET_BUFFERSIZE says less.
    commandBytes: () => tpm?.commandBytes ?? BUFFER_BYTES.max,
    ...{ end: settle.end, fail: settle.fail, notice },
  });
  try {
    using image = options.openImage();
    const { incoming = false, releaseLockOutgoing = false } = options.control?.migration ?? {};
    tpm = new ControlledTpm({
      ...{ signal, notice },
      machine: () => watched(options.machine(image), settle.fail),
      arrival: incoming ? 'hand-over' : 'migration',
      handsOver: releaseLockOutgoing,
    });
    try {
      if (incoming) tpm.validate();
      if (options.on) tpm.powerOn();
      const startupResult = start(tpm, options.startup);
      begin();
      options.ready({ ...sockets.ports, startupResult });
      const reason = await ended;
      await sockets.close();
      return { reason, store: tpm.end() };
    } finally {
      tpm.cutPower();
    }
  } finally {
    await sockets.close();
  }
}

function start(tpm: ControlledTpm, type: StartupType | undefined): number | undefined {
  return type === undefined ? undefined : tpm.command(startupCommand(type), 0);
}

/** Another instance may have the store: nothing that this one acknowledges would last then. */
function watched(machine: Machine, fail: (error: unknown) => void): Machine {
  machine.onFailure(error => {
    if (error instanceof NvramError && error.code === 'FENCED') fail(error);
  });
  return machine;
}

interface Ending {
  readonly tpm: () => ControlledTpm;
  readonly process: TpmClientsOptions['process'];
  readonly commandBytes: TpmClientsOptions['commandBytes'];
  readonly end: (reason: ServeEnding['reason']) => void;
  readonly fail: (error: unknown) => void;
  readonly notice: (sentence: string) => void;
}

interface Sockets {
  readonly ports: Omit<Listening, 'startupResult'>;
  close(): Promise<void>;
}

/** Listens at every address, or at none. @throws EndpointError */
async function openSockets(options: ServeOptions, ending: Ending): Promise<Sockets> {
  const { server, control, terminate } = options;
  const { process, commandBytes, end, fail, notice } = ending;
  const clients = new TpmClients({
    ...{ process, commandBytes, fail, notice, disconnect: server?.disconnect ?? false },
    // The data channel of a virtual machine ends before its control channel does.
    deserted: () => terminate && server !== undefined && end('client-gone'),
  });
  const open: { readonly port: number | undefined; close(): Promise<void> }[] = [];
  const close = async (): Promise<void> => {
    clients.end();
    clients.close();
    await Promise.all(open.map(each => each.close()));
  };
  try {
    const commands = server && (await listenFor(clients, server.address));
    if (commands !== undefined) open.push(commands);
    const channel =
      control && (await openControlChannel(channelOptions(control, ending, clients, terminate)));
    if (channel !== undefined) open.push(channel);
    return { ports: { port: commands?.port, controlPort: channel?.port }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function channelOptions(
  { address, rejectLocality4 = false }: ControlOptions,
  { tpm, end, fail, notice }: Ending,
  clients: TpmClients,
  terminate: boolean,
): ControlChannelOptions {
  const scene = {
    get tpm() {
      return tpm();
    },
    shutdown: () => void setImmediate(() => end('control-shutdown')),
    rejectLocality4,
  };
  return {
    ...{ address, notice, fail },
    scene,
    attach: socket => clients.admit(socket),
    poweredOff: () => {
      try {
        tpm().release();
        notice('the virtual machine has ended: the TPM is off, and its image released');
      } catch (error) {
        fail(error);
      }
      if (terminate) end('client-gone');
    },
  };
}
