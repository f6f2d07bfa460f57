/**
 * `nvtpm exec`: power on, run commands through the TIS registers, power off.
 * @module
 */
import { RESULT, resultName } from '../../guest/index.js';
import type { Machine } from '../../machine/index.js';
import { TisDriver, TisDriverError } from '../../tis/index.js';
import { readCommands } from '../command-input.js';
import { withImage } from '../images.js';
import { machineOver } from '../machines.js';
import { flag, valueOr } from '../options.js';
import type { Paint } from '../output.js';
import { subcommand } from '../subcommand.js';
import { parseHex, toHex, wholeNumber } from '../values.js';

const STARTUP_CLEAR = parseHex('00c10000000c000000990001');

export const exec = subcommand({
  name: 'exec',
  summary: 'power on, run TPM commands through the TIS registers, power off',
  arguments: {
    '<file>': 'the image',
    '<command...>': 'bytes in hex, one argument a command; @FILE or - for one command a line',
  },
  // biome-ignore format: table
  options: {
    noStartup:      flag('--no-startup', 'do not send TPM_Startup(ST_CLEAR) first'),
    strict:         flag('--strict', 'exit with 1 if the TPM refuses a command'),
    locality:       valueOr('--locality <n>', 'the locality to use', '0', wholeNumber('a locality', 0, 4)),
    expectExisting: flag('--expect-existing', 'refuse an image without a TPM instead of making one'),
  },
  key: 'opens an encrypted store',
  isOnImage: true,
  example: `nvtpm exec tpm.qcow2 00c10000000e0000004600000008
echo '00c1 0000000e 00000046 00000008  # TPM_GetRandom' | nvtpm exec tpm.qcow2 -`,
  run: async ({ file, rest, options, common, printer, stdin }) => {
    const requests = await readCommands(rest, stdin);
    return withImage(file, undefined, common, image => {
      const locality4 = options.locality === 4;
      const machine = machineOver(image, common, options.expectExisting, { locality4 });
      machine.powerOn();
      try {
        const send = (request: Uint8Array) => answerOf(run(machine, request, options.locality));
        const startup = options.noStartup ? undefined : send(STARTUP_CLEAR);
        if (startup?.result) printer.warn(`${file}: TPM_Startup was answered ${startup.name}`);
        const answers = requests.map(send);
        const { generation, epoch } = machine.storeInfo;
        const all = startup === undefined ? answers : [startup, ...answers];
        return {
          lines: answers.map(answer => lineOf(answer, printer.paint)),
          data: {
            responses: answers.map(({ response }) => response),
            results: answers.map(({ result, name }) => ({ result, name })),
            generation,
            epoch,
          },
          outcome: options.strict && all.some(({ result }) => result !== 0) ? 'FAILED' : 'OK',
        };
      } finally {
        machine.powerOff();
      }
    });
  },
});

interface Answer {
  readonly response: string;
  readonly result: number;
  readonly name: string;
}

function answerOf(bytes: Uint8Array): Answer {
  const result = Buffer.from(bytes).readUInt32BE(6);
  return { response: toHex(bytes), result, name: resultName(result) };
}

/** The bytes alone where they are what was asked for, with the name of the result where not. */
const lineOf = ({ response, result, name }: Answer, paint: Paint): string =>
  result === RESULT.SUCCESS ? response : `${response}  ${paint.red(name)}`;

/**
 * A command through the whole TIS flow. One whose size field is wrong cannot pass a FIFO, so it is
 * sent to the TPM as a socket would send it.
 */
function run(machine: Machine, request: Uint8Array, locality: number): Uint8Array {
  try {
    return new TisDriver(machine.tis, { locality }).transmit(request);
  } catch (error) {
    if (!(error instanceof TisDriverError && error.code === 'PROTOCOL')) throw error;
    return machine.process(request, locality);
  }
}
