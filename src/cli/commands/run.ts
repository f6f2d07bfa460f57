/**
 * `nvtpm run`: a machine with interfaces for other programs: qtest, QMP, migration. QMP's quit, SIGTERM
 * and SIGINT end it in order.
 * @module
 */
import { validateIncoming } from '../../migration/index.js';
import { type Address, parseAddress, runMachine } from '../../server/index.js';
import { systemClock as clock } from '../../system.js';
import { openNamed } from '../images.js';
import { machineOver } from '../machines.js';
import { flag, value, values } from '../options.js';
import { UsageError } from '../output.js';
import { untilSignal } from '../signals.js';
import { subcommand } from '../subcommand.js';
import { VERSION } from '../version.js';

/** The QMP release that is implemented, and the program that implements it. */
const QMP_VERSION = { qemu: { micro: 0, minor: 2, major: 7 }, package: `nvtpm ${VERSION}` };

export const run = subcommand({
  name: 'run',
  summary: 'power on and serve qtest and QMP until terminated',
  arguments: { '<file>': 'the image' },
  // biome-ignore format: table
  options: {
    qtest:          value('--qtest <address>', 'drives the registers: unix:PATH[,server=on] or stdio', text => text),
    qmp:            values('--qmp <address>', 'manages the machine; can be given several times', text => text),
    incoming:       value('--incoming <address>', 'wait at unix:PATH for a machine that migrates here', text => text),
    expectExisting: flag('--expect-existing', 'refuse an image without a TPM instead of making one'),
  },
  key: 'opens an encrypted store',
  isOnImage: true,
  example:
    'nvtpm run tpm.qcow2 --qtest unix:qtest.sock,server=on --qmp unix:qmp.sock,server=on,wait=off',
  page: 'docs/run.md',
  run: async ({ file, options, common, printer }) => {
    const { trace, lockTimeout, imageLock, key, keyUsed } = common;
    const faces = facesOf(options, printer.json);
    // Where an interface has standard output, nothing else is written there.
    const quiet = printer.json || faces.stdio;
    const { reason, store } = await untilSignal((signal, whenReady) =>
      runMachine({
        ...faces,
        openImage: () => openNamed(file, common),
        machine: (image, irq) =>
          machineOver(image, common, options.expectExisting, {
            irq,
            execution: 'when free',
          }),
        trace,
        validateIncoming: image => {
          validateIncoming(image, { trace, wait: { timeoutMs: lockTimeout }, imageLock, key });
        },
        version: QMP_VERSION,
        now: clock,
        signal,
        ready: () =>
          whenReady(() => {
            if (faces.incoming === undefined) keyUsed?.();
            if (quiet) return;
            printer.say(`${file}: running (${faces.summary}); SIGTERM, SIGINT or quit ends it`);
          }),
      }),
    );
    const state = store === undefined ? 'no stored state' : `generation ${store.generation}`;
    return {
      lines: quiet ? [] : [`${file}: ended by ${reason}, ${state}`],
      data: { ended: reason, ...store },
    };
  },
});

interface FaceOptions {
  readonly qtest: string | undefined;
  readonly qmp: readonly string[];
  readonly incoming: string | undefined;
}

interface Faces {
  readonly qtest: Address | undefined;
  readonly qmp: readonly Address[];
  readonly incoming: Address | undefined;
  readonly stdio: boolean;
  readonly summary: string;
}

/** @throws UsageError, EndpointError ADDRESS */
function facesOf({ qtest, qmp, incoming }: FaceOptions, json: boolean): Faces {
  const given = [...(qtest === undefined ? [] : [qtest]), ...qmp];
  if (given.length === 0) {
    throw new UsageError(
      '--qtest or --qmp is required: without them no program reaches the machine',
    );
  }
  const uses = given.filter(text => text === 'stdio').length;
  if (uses > 1) throw new UsageError('only one interface can use standard input and output');
  if (uses > 0 && json) {
    throw new UsageError(
      '--json and an interface at stdio exclude each other: both write to standard output',
    );
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

/** The Unix socket that an incoming machine connects to: `server` and `wait` of the address are ignored. */
function incomingOf(text: string): Address {
  const address = parseAddress(text);
  if (address.kind !== 'unix') throw new UsageError('invalid --incoming: expected unix:PATH');
  return { ...address, server: true, wait: false };
}
