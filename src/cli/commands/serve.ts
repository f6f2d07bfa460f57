/**
 * `nvtpm serve`: a TPM for programs that speak raw TPM commands: trousers, swtpm's clients. SIGTERM
 * and SIGINT end it in order.
 * @module
 */
import { rmSync, writeFileSync } from 'node:fs';
import { openImage } from '../../block/index.js';
import { IoError } from '../../errors.js';
import { resultName } from '../../guest/index.js';
import { type Listening, serveMachine, type TpmAddress } from '../../server/index.js';
import type { Trace } from '../../trace.js';
import { parseFlags, parsePid, parseServer } from '../backend-options.js';
import { type CommonOptions, machineOver } from '../images.js';
import { demandOtherFile } from '../other-file.js';
import { type Result, say, warn } from '../output.js';
import { untilSignal } from '../signals.js';

export interface ServeOptions extends CommonOptions {
  readonly server?: string;
  readonly flags: string;
  readonly pid?: string;
  readonly terminate: boolean;
  readonly expectExisting: boolean;
  readonly json: boolean;
}

export async function serve(path: string, options: ServeOptions): Promise<Result> {
  const { address, disconnect } = parseServer(options.server);
  const startup = parseFlags(options.flags);
  const pidFile = options.pid === undefined ? undefined : parsePid(options.pid);
  if (pidFile !== undefined) demandOtherFile('--pid', pidFile, path);
  const trace = tellingOfFailure(path, options.trace);
  const backend = { ...options, trace };
  // With --json, standard output is for the one document at the end.
  const tell = options.json ? warn : say;
  let written: string | undefined;
  const ready = ({ port, startupResult }: Listening): void => {
    options.keyUsed?.();
    if (startupResult) {
      const why = `startup-${startup} was answered ${resultName(startupResult)}`;
      warn(`${path}: ${why}; where no state was saved, start it with startup-clear`);
    }
    if (pidFile !== undefined) writePid(pidFile);
    written = pidFile;
    tell(`${path}: listening at ${whereOf(address, port)}; SIGTERM or SIGINT ends it`);
  };
  try {
    const { reason, store } = await untilSignal(signal =>
      serveMachine({
        ...{ address, disconnect, startup, terminate: options.terminate, signal, ready },
        notice: sentence => warn(`${path}: ${sentence}`),
        openImage: () =>
          openImage(path, { readOnly: false, trace, backing: () => options.allowBacking }),
        machine: image => machineOver(image, backend, options.expectExisting),
      }),
    );
    return {
      lines: [`${path}: ended by ${reason}, generation ${store.generation}`],
      data: { ended: reason, ...store },
    };
  } finally {
    if (written !== undefined) rmSync(written, { force: true });
  }
}

/** Says once, on standard error, why the TPM answers no more. */
function tellingOfFailure(path: string, trace: Trace): Trace {
  let told = false;
  return event => {
    trace(event);
    if (event.event !== 'failure' || told) return;
    told = true;
    warn(`${path}: the TPM is in failure mode until it is started again: ${event.why}`);
  };
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
