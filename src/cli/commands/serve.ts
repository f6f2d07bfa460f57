/**
 * `nvtpm serve`: a TPM for programs that speak raw TPM commands (trousers, swtpm's clients), and for QEMU,
 * which speaks swtpm's control protocol too. SIGTERM and SIGINT end it in order.
 * @module
 */
import { rmSync, writeFileSync } from 'node:fs';
import { errnoOf, IoError } from '../../errors.js';
import { resultName } from '../../guest/index.js';
import {
  type Listening,
  type MigrationOptions,
  serveMachine,
  type TpmAddress,
} from '../../server/index.js';
import type { Trace } from '../../trace.js';
import {
  CTRL_FORM,
  FLAGS_FORM,
  type Flags,
  LOCALITY_FORM,
  MIGRATION_FORM,
  parseCtrl,
  parseFlags,
  parseLocality,
  parseMigration,
  parsePid,
  parseServer,
  SERVER_FORM,
} from '../backend-options.js';
import { openNamed } from '../images.js';
import { machineOver } from '../machines.js';
import { flag, value } from '../options.js';
import { demandOtherFile } from '../other-file.js';
import { type Printer, UsageError } from '../output.js';
import { untilSignal } from '../signals.js';
import { subcommand } from '../subcommand.js';
import { SWTPM_OPTIONS } from '../swtpm-names.js';

export const serve = subcommand({
  name: 'serve',
  summary: 'power on and take TPM commands over a socket, as swtpm does, until terminated',
  arguments: { '<file>': 'the image' },
  // biome-ignore format: table
  options: {
    ...SWTPM_OPTIONS,
    server:         value('--server <address>', `TPM commands: ${SERVER_FORM}`, parseServer),
    ctrl:           value('--ctrl <address>', `swtpm’s control channel, as for QEMU: ${CTRL_FORM}`, parseCtrl),
    flags:          value('--flags <flags>', FLAGS_FORM, parseFlags),
    locality:       value('--locality <rule>', `${LOCALITY_FORM}: the control channel refuses locality 4`, parseLocality),
    migration:      value('--migration <rules>', `a shared image: ${MIGRATION_FORM}`, parseMigration),
    terminate:      flag('-t, --terminate', 'end when the last client has disconnected'),
    seccomp:        value('--seccomp <params>', 'accepted for swtpm’s sake, without effect', text => text),
    pidFile:        value('--pid <file>', 'file=PATH: has the process id while the server listens', parsePid),
    expectExisting: flag('--expect-existing', 'refuse an image without a TPM instead of making one'),
  },
  key: 'opens an encrypted store',
  isOnImage: true,
  example: 'nvtpm serve tpm.qcow2 --server type=tcp,port=6545 --flags startup-clear',
  page: 'docs/serve.md',
  run: async ({ file, options, common, printer }) => {
    const { server, ctrl, pidFile, terminate, locality: rejectLocality4 = false } = options;
    if (server === undefined && ctrl === undefined) {
      throw new UsageError(
        '--server or --ctrl is required: an address for TPM commands, or for QEMU',
      );
    }
    demandMigratable(options);
    if (options.seccomp !== undefined) {
      printer.warn(`${file}: --seccomp has no effect: no system call is blocked`);
    }
    // Without a control channel nothing else could switch it on.
    const { on, startup } = { ...options.flags, ...(ctrl === undefined ? { on: true } : {}) };
    if (pidFile !== undefined) demandOtherFile('--pid', pidFile, file);
    const trace = reporting(file, common.trace, printer);
    let written: string | undefined;
    const ready = (listening: Listening): void => {
      common.keyUsed?.();
      if (pidFile !== undefined) writePid(pidFile);
      written = pidFile;
      announce(`${file}: listening at ${placesOf(server?.address, ctrl, listening)}`, printer);
      if (listening.startupResult) {
        const why = `startup-${startup} was answered ${resultName(listening.startupResult)}`;
        printer.warn(`${file}: ${why}; if no state was saved, start it with startup-clear`);
      }
    };
    try {
      const { reason, store } = await untilSignal((signal, whenReady) =>
        serveMachine({
          ...{ server, on: on ?? false, startup, terminate, signal },
          control: ctrl && {
            ...{ address: ctrl, rejectLocality4 },
            ...(options.migration && { migration: options.migration }),
          },
          ready: listening => whenReady(() => ready(listening)),
          notice: sentence => printer.warn(`${file}: ${sentence}`),
          openImage: () => openNamed(file, { ...common, trace }),
          machine: image => machineOver(image, { ...common, trace }, options.expectExisting),
        }),
      );
      return {
        lines: [`${file}: ended by ${reason}${store ? `, generation ${store.generation}` : ''}`],
        data: { ended: reason, ...store },
      };
    } finally {
      if (written !== undefined) removePid(written, printer);
    }
  },
});

interface Migratable {
  readonly ctrl: TpmAddress | undefined;
  readonly flags: Flags | undefined;
  readonly migration: MigrationOptions | undefined;
}

/** @throws UsageError */
function demandMigratable({ ctrl, flags, migration }: Migratable): void {
  if (migration === undefined) return;
  if (ctrl === undefined) throw new UsageError('--migration needs --ctrl, which carries the state');
  if (!migration.incoming || !flags?.on) return;
  throw new UsageError(
    '--migration incoming and --flags exclude each other: the TPM is off until the state arrives',
  );
}

/** With --json, standard output is for the one document at the end. */
function announce(text: string, printer: Printer): void {
  const line = `${text}; SIGTERM or SIGINT ends it`;
  if (printer.json) printer.warn(line);
  else printer.say(line);
}

/** Reports on standard error each roll-back, and once why the TPM is in failure mode. */
function reporting(path: string, trace: Trace, printer: Printer): Trace {
  let isReported = false;
  return event => {
    trace(event);
    if (event.event === 'adopt' && event.origin === 'roll-back') {
      printer.warn(`${path}: ${rolledBack(event.replaced)}`);
    }
    if (event.event !== 'failure' || isReported) return;
    isReported = true;
    printer.warn(`${path}: the TPM is in failure mode until it is started again: ${event.why}`);
  };
}

const rolledBack = (kept: number | undefined): string =>
  kept === undefined
    ? 'a snapshot of the machine was loaded into the TPM; no generation keeps the state before'
    : `the TPM was rolled back to a snapshot of the machine; generation ${kept} keeps the state before`;

/** The address of the commands first, then that of the control channel. */
function placesOf(
  server: TpmAddress | undefined,
  ctrl: TpmAddress | undefined,
  { port, controlPort }: Listening,
): string {
  const places = server === undefined ? [] : [whereOf(server, port)];
  if (ctrl !== undefined) places.push(`${whereOf(ctrl, controlPort)} (control)`);
  return places.join(' and ');
}

function whereOf(address: TpmAddress, port: number | undefined): string {
  if (address.type === 'unixio') return address.path;
  const { bindaddr = '' } = address;
  return `${bindaddr.includes(':') ? `[${bindaddr}]` : bindaddr}:${port}`;
}

function writePid(file: string): void {
  try {
    writeFileSync(file, `${process.pid}\n`);
  } catch (error) {
    throw new IoError('write', file, error);
  }
}

/** The server has ended already: what is in the way of the file costs a warning, not the exit code. */
function removePid(file: string, printer: Printer): void {
  try {
    rmSync(file, { force: true });
  } catch (error) {
    printer.warn(`${file}: the pid file was not removed (${errnoOf(error)}); remove it`);
  }
}
