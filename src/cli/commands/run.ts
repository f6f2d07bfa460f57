/**
 * `nvtpm run`: a machine that runs until it is told to end, with faces for other programs. QMP's quit,
 * SIGTERM and SIGINT end it in order.
 * @module
 */
import { openImage } from '../../block/index.js';
import { validateIncoming } from '../../migration/index.js';
import { type Address, parseAddress, runMachine } from '../../server/index.js';
import { systemClock as clock } from '../../system.js';
import { type CommonOptions, machineOver } from '../images.js';
import { type Result, say, UsageError } from '../output.js';
import { untilSignal } from '../signals.js';
import { VERSION } from '../version.js';

export interface RunOptions extends CommonOptions {
  readonly qtest?: string;
  /** Any number of monitors. */
  readonly qmp: readonly string[];
  /** Where a machine arrives from another host, instead of being switched on here. */
  readonly incoming?: string;
  readonly expectExisting: boolean;
  readonly json: boolean;
}

/** The release of QEMU whose QMP this is, and who it really is. */
const QMP_VERSION = { qemu: { micro: 0, minor: 2, major: 7 }, package: `nvtpm ${VERSION}` };

export async function run(path: string, options: RunOptions): Promise<Result> {
  const { trace, lockTimeout, imageLock, allowBacking, key, keyUsed, expectExisting, incoming } =
    options;
  const faces = facesOf(options);
  // Where a face has the standard output, nothing else is written there.
  const quiet = options.json || faces.stdio;
  const { reason, store } = await untilSignal(signal =>
    runMachine({
      ...faces,
      openImage: () => openImage(path, { readOnly: false, trace, backing: () => allowBacking }),
      // Software on a PC does not reach locality 4.
      machine: (image, irq) =>
        machineOver(image, options, expectExisting, {
          irq,
          locality4: false,
          execution: 'when free',
        }),
      trace,
      validateIncoming: image => {
        validateIncoming(image, { trace, wait: { timeoutMs: lockTimeout }, imageLock, key });
      },
      version: QMP_VERSION,
      now: clock,
      signal,
      ready: () => {
        if (incoming === undefined) keyUsed?.();
        if (!quiet) say(`${path}: running (${faces.summary}); SIGTERM, SIGINT or quit ends it`);
      },
    }),
  );
  const state = store === undefined ? 'no state to keep' : `generation ${store.generation}`;
  return {
    lines: quiet ? [] : [`${path}: ended by ${reason}, ${state}`],
    data: { ended: reason, ...store },
  };
}

interface Faces {
  readonly qtest: Address | undefined;
  readonly qmp: readonly Address[];
  readonly incoming: Address | undefined;
  readonly stdio: boolean;
  readonly summary: string;
}

/** @throws UsageError, EndpointError ADDRESS */
function facesOf({ qtest, qmp, incoming, json }: RunOptions): Faces {
  const given = [...(qtest === undefined ? [] : [qtest]), ...qmp];
  if (given.length === 0) {
    throw new UsageError('nobody could reach the machine: give it --qtest or --qmp');
  }
  const uses = given.filter(text => text === 'stdio').length;
  if (uses > 1) throw new UsageError('only one face can have the standard input and output');
  if (uses > 0 && json) {
    throw new UsageError('--json prints where the face at stdio writes: give only one of them');
  }
  return {
    qtest: qtest === undefined ? undefined : parseAddress(qtest),
    qmp: qmp.map(parseAddress),
    incoming: incoming === undefined ? undefined : incomingOf(incoming),
    stdio: uses > 0,
    summary: [...(qtest === undefined ? [] : [`qtest ${qtest}`]), ...qmp.map(t => `qmp ${t}`)].join(
      ', ',
    ),
  };
}

/** Who waits for a machine listens, whatever else is said. */
function incomingOf(text: string): Address {
  const address = parseAddress(text);
  if (address.kind !== 'unix') throw new UsageError('a machine arrives at unix:PATH');
  return { ...address, server: true, wait: false };
}
