/**
 * A machine with its faces, from the first client to the end.
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

export interface ServeOptions {
  readonly qtest: Address | undefined;
  readonly qmp: readonly Address[];
  /** Where a machine arrives from another host, instead of being switched on here. */
  readonly incoming: Address | undefined;
  /** Opens the image for writing, once whoever has to be waited for is there. It is closed here. */
  readonly openImage: () => BlockNode;
  readonly machine: (image: BlockNode, irq: InterruptLine) => Machine;
  /** The first look at the image that a machine will arrive on; throws if it is no good. */
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

/** How a machine ended, and the state of its store then: none if it left, or never was here. */
export interface Ending {
  readonly reason: EndReason;
  readonly store: { readonly generation: number; readonly epoch: number } | undefined;
}

/** Clients of a monitor at the same time; more wait for their turn. */
const QMP_CLIENTS_MAX = 8;

/** @throws FaceError; whatever ends the machine: NvramError, LockError, IoError, MigrationError */
export async function serve(options: ServeOptions): Promise<Ending> {
  const endpoints: Endpoint[] = [];
  // The machine runs on where nobody can reach it any more: a signal is what ends it then.
  const alive = setInterval(() => {}, 2 ** 31 - 1);
  const open = async (address: Address): Promise<Endpoint> => {
    const endpoint = await Endpoint.open(address, options.signal);
    endpoints.push(endpoint);
    return endpoint;
  };
  try {
    // libqtest awaits them in this order.
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
    qtest?.serve(new Qtest(host).attach, 1, fail);
    const qmp = new Qmp({ host, version: options.version });
    for (const monitor of monitors) monitor.serve(qmp.attach, QMP_CLIENTS_MAX, fail);
    options.ready();
    try {
      const reason = await host.ended;
      return { reason, store: switchOff(host.machine) };
    } finally {
      // After a fault nothing more is written: what was acknowledged is there.
      host.machine.cutPower();
    }
  } finally {
    clearInterval(alive);
    for (const endpoint of endpoints) endpoint.close();
  }
}

/** Switches the machine on, or has it wait for one that arrives. */
function begin(
  host: Host,
  image: BlockNode,
  incoming: Endpoint | undefined,
  { signal, validateIncoming }: ServeOptions,
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
function switchOff(machine: Machine): Ending['store'] {
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
