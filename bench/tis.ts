/**
 * Commands that store nothing, through the whole TIS flow.
 * @module
 */
import { join } from 'node:path';
import { createQcow2, openImage } from '../src/block/index.js';
import { machineOver } from '../src/cli/images.js';
import { TisDriver } from '../src/tis/index.js';
import { noTrace } from '../src/trace.js';
import { table, takeTurns } from './measure.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const STARTUP = hex('00c10000000c000000990001');
const PCR_READ = hex('00c10000000e0000001500000000');

export function benchTis(folder: string, rounds: number): string[] {
  const path = join(folder, 'tis.qcow2');
  createQcow2(path, { size: 64 * 1024 * 1024 });
  using image = openImage(path, { readOnly: false });
  const machine = machineOver(image, {
    trace: noTrace,
    lockTimeout: 1000,
    imageLock: 'auto',
    allowBacking: false,
  });
  machine.powerOn();
  const driver = new TisDriver(machine.tis);
  driver.transmit(STARTUP);
  const figures = takeTurns(
    [
      {
        name: 'TPM_PCRRead through the TIS registers',
        run: () => {
          driver.transmit(PCR_READ);
        },
      },
      {
        name: 'TPM_PCRRead, the engine alone',
        run: () => {
          machine.process(PCR_READ);
        },
      },
    ],
    rounds,
  );
  machine.powerOff();
  return [table('Commands without a store', figures)];
}
