/**
 * A machine with its interfaces for other programs, qtest and QMP, from power on to power off.
 * @module
 */
import type { BlockNode } from '../block/node.js';
import type { Machine } from '../machine/index.js';
import type { InterruptLine } from '../tis/index.js';
import type { Trace } from '../trace.js';
import type { Address } from './address.js';
import { Endpoint } from './endpoint.js';
import { type EndReason, Host } from './host.js';
import { Qmp } from './qmp.js';
import type { QmpVersion } from './qmp-commands.js';
import { Qtest } from './qtest.js';

export interface RunOptions {
  readonly qtest: Address | undefined;
  readonly qmp: readonly Address[];
  /** Where a machine arrives by migration, instead of being switched on here. */
  readonly incoming: Address | undefined;
  /** Opens the image for writing, once the clients that `wait` names are connected. Closed here. */
  readonly openImage: () => BlockNode;
  readonly machine: (image: BlockNode, irq: InterruptLine) => Machine;
  /** Validates the image that a machine will arrive on; throws the fault. */
  readonly validateIncoming: (image: BlockNode) => void;
  readonly trace: Trace;
  readonly version: QmpVersion;
  /** Microseconds since 1970. */
  readonly now: () => number;
  /** Ends the machine in order. */
  readonly signal: AbortSignal;
  /** Called once the machine runs, or waits for one that arrives. */
  readonly ready: () => void;
}

/** Why a run ended, and the state of its store then: undefined if the machine left or never arrived. */
export interface RunEnding {
  readonly reason: EndReason;
  readonly store: { readonly generation: number; readonly epoch: number } | undefined;
}

/**
 * Runs a machine until QMP's quit or the signal.
 * @throws EndpointError; what ended the machine: NvramError, LockError, IoError, MigrationError
 */
export async function runMachine(options: RunOptions): Promise<RunEnding> {
  const endpoints: Endpoint[] = [];
  // Keeps the process alive when every connection has closed: only quit and the signal end the run.
  const alive = setInterval(() => {}, 2 ** 31 - 1);
  const open = async (address: Address): Promise<Endpoint> => {
    const endpoint = await Endpoint.open(address, options.signal);
    endpoints.push(endpoint);
    return endpoint;
  };
  try {
    // The order in which libqtest accepts them.
    const qtest = options.qtest && (await open(options.qtest));
    const monitors: Endpoint[] = [];
    for (const address of options.qmp) monitors.push(await open(address));
    const incoming = options.incoming && (await open(options.incoming));
    using image = options.openImage();
    const host = new Host({
      machine: irq => options.machine(image, irq),
      trace: options.trace,
      now: options.now,
    });
    const fail = (error: unknown): void => host.fail(error);
    begin(host, image, incoming, options);
    qtest?.serve({ attach: new Qtest(host).attach, exclusive: true, fail });
    const qmp = new Qmp({ host, version: options.version });
    for (const monitor of monitors) monitor.serve({ attach: qmp.attach, exclusive: false, fail });
    options.ready();
    try {
      const reason = await host.ended;
      return { reason, store: switchOff(host.machine) };
    } finally {
      // After a fault nothing more is written: what was acknowledged is stored.
      host.machine.cutPower();
    }
  } finally {
    clearInterval(alive);
    for (const endpoint of endpoints) endpoint.close();
  }
}

/** Switches the machine on, or waits for one that arrives. */
function begin(
  host: Host,
  image: BlockNode,
  incoming: Endpoint | undefined,
  { signal, validateIncoming }: RunOptions,
): void {
  const quit = (): void => host.quit('host-signal');
  signal.addEventListener('abort', quit);
  if (signal.aborted) {
    quit();
  } else if (incoming === undefined) {
    host.powerOn();
  } else {
    validateIncoming(image);
    host.awaitIncoming();
    incoming
      .next(signal)
      .then(socket => socket && host.takeOver(socket))
      .catch(error => host.fail(error));
  }
}

/** @throws why the TPM was in failure mode; what powering off throws */
function switchOff(machine: Machine): RunEnding['store'] {
  if (machine.power !== 'on') {
    machine.powerOff();
    return undefined;
  }
  const { failure } = machine;
  const { generation, epoch } = machine.storeInfo;
  machine.powerOff();
  if (failure !== undefined) throw failure;
  return { generation, epoch };
}
