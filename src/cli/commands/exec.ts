/**
 * `nvtpm exec`: power on, run commands through the TIS registers, power off.
 * @module
 */
import type { Machine } from '../../machine/index.js';
import { TisDriver, TisDriverError } from '../../tis/index.js';
import { type CommonOptions, machineOver, withImage } from '../images.js';
import { parseHex, type Result, toHex, UsageError } from '../output.js';

/** TPM_Startup(ST_CLEAR). */
const STARTUP_CLEAR = '00c10000000c000000990001';

export interface ExecOptions extends CommonOptions {
  /** Whether TPM_Startup(ST_CLEAR) goes first. */
  readonly startup: boolean;
  readonly expectExisting: boolean;
  readonly locality?: string;
}

export function exec(path: string, commands: readonly string[], options: ExecOptions): Result {
  const requests = commands.map(parseHex);
  const locality = localityOf(options.locality ?? '0');
  return withImage(path, undefined, options, image => {
    const machine = machineOver(image, options, options.expectExisting);
    machine.powerOn();
    try {
      if (options.startup) run(machine, parseHex(STARTUP_CLEAR), locality);
      const responses = requests.map(request => toHex(run(machine, request, locality)));
      const { generation, epoch } = machine.storeInfo;
      return { lines: responses, data: { responses, generation, epoch } };
    } finally {
      machine.powerOff();
    }
  });
}

/**
 * A command through the whole TIS flow. One whose size field lies about its length cannot pass a
 * FIFO, so the TPM's own answer to it comes the way that a socket would bring it.
 */
function run(machine: Machine, request: Uint8Array, locality: number): Uint8Array {
  try {
    return new TisDriver(machine.tis, { locality }).transmit(request);
  } catch (error) {
    if (!(error instanceof TisDriverError && error.code === 'PROTOCOL')) throw error;
    return machine.process(request, locality);
  }
}

function localityOf(text: string): number {
  if (/^[0-4]$/.test(text)) return Number(text);
  throw new UsageError(`${text} is not a locality; they are 0 to 4`);
}
