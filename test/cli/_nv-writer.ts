/**
 * A machine that makes one NV write, with a word on standard error before and after it, so that a
 * trace of its system calls shows which of them belong to the write.
 */
import { writeSync } from 'node:fs';
import { openImage } from '../../src/block/index.js';
import { machineOver } from '../../src/cli/machines.js';
import {
  commands,
  NV_PER,
  nvPublic,
  STARTUP,
  Tpm12Client,
  WELL_KNOWN_SECRET,
} from '../../src/guest/index.js';
import { systemEntropy as entropy } from '../../src/system.js';
import { TisDriver } from '../../src/tis/index.js';
import { noTrace } from '../../src/trace.js';

const INDEX = 0x0001_1101;

using image = openImage(process.argv[2]!, { readOnly: false });
const machine = machineOver(image, {
  trace: noTrace,
  lockTimeout: 1000,
  imageLock: 'auto',
  allowBacking: false,
});
machine.powerOn();
const driver = new TisDriver(machine.tis);
const client = new Tpm12Client(command => driver.transmit(command), entropy);
client.run(commands.startup(STARTUP.CLEAR));
// Before there is an owner and before the NV lock, no authorisation is asked for.
client.run(commands.nvDefineSpace(nvPublic(INDEX, 32, NV_PER.PPWRITE), WELL_KNOWN_SECRET));
client.run(commands.nvWriteValue(INDEX, 0, new Uint8Array(32).fill(1)));
writeSync(2, 'NV write begins\n');
client.run(commands.nvWriteValue(INDEX, 0, new Uint8Array(32).fill(2)));
writeSync(2, 'NV write ends\n');
machine.powerOff();
