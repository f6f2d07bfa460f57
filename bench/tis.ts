/**
 * What the registers cost, and commands that store nothing through the whole TIS flow, beside the
 * same command to swtpm over its socket where that is installed.
 * @module
 */
import { join } from 'node:path';
import { createQcow2, openImage } from '../src/block/index.js';
import { machineOver } from '../src/cli/machines.js';
import { type Tis, TisDriver } from '../src/tis/index.js';
import { noTrace } from '../src/trace.js';
import { table, takeTurns } from './measure.js';
import { SwtpmSocket, swtpmVersion } from './swtpm-socket.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const STARTUP = hex('00c10000000c000000990001');
const PCR_READ = hex('00c10000000e0000001500000000');

const ACCESSES = 1000;

export async function benchTis(folder: string, rounds: number): Promise<string[]> {
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
  const texts = [
    table('Commands without a store', figures),
    registers(machine.tis, rounds / 10),
    await besideSwtpm(driver, join(folder, 'swtpm'), rounds / 10),
  ];
  machine.powerOff();
  return texts;
}

/** Nanoseconds of one access, from rounds of ACCESSES. */
function registers(tis: Tis, rounds: number): string {
  const many = (name: string, access: () => void) => ({
    name,
    run: () => {
      for (let i = 0; i < ACCESSES; i += 1) access();
    },
  });
  tis.write(0x0000, 1, 0x02);
  tis.write(0x0018, 1, 0x40);
  // biome-ignore format: table
  const figures = takeTurns([
    many('read STS, 4 bytes',                () => tis.read(0x0018, 4)),
    many('read ACCESS, 1 byte',              () => tis.read(0x0000, 1)),
    many('read DID_VID, 4 bytes',            () => tis.read(0x0f00, 4)),
    many('read DID_VID, 4 bytes, unaligned', () => tis.read(0x0f01, 4)),
    many('write INT_STATUS, 4 bytes',        () => tis.write(0x0010, 4, 0)),
    many('write DATA_FIFO, 1 byte',          () => tis.write(0x0024, 1, 0)),
  ], rounds);
  tis.write(0x0018, 1, 0x40);
  tis.write(0x0000, 1, 0x20);
  const rows = figures.map(({ name, median, quartiles: [low, high] }) => {
    // Microseconds of a thousand are nanoseconds of one.
    const [one, from, to] = [median, low, high].map(us => ((us * 1000) / ACCESSES).toFixed(0));
    return `| ${name} | ${one} | ${from} to ${to} |`;
  });
  const head = ['| what | median ns | quartiles ns |', '| --- | ---: | ---: |'];
  return ['### One register access', '', ...head, ...rows, ''].join('\n');
}

const TURNS = 20;

/** PCRRead in a row on either side, in turns: how many in a second. */
async function besideSwtpm(driver: TisDriver, folder: string, rounds: number): Promise<string> {
  const version = swtpmVersion();
  if (version === undefined) return 'swtpm is not installed: PCRRead is not compared with it.\n';
  const swtpm = await SwtpmSocket.start(folder);
  await swtpm.transmit(STARTUP);
  const rates: { ours: number; theirs: number }[] = [];
  for (let turn = 0; turn < 1 + TURNS; turn += 1) {
    const start = performance.now();
    for (let i = 0; i < rounds; i += 1) driver.transmit(PCR_READ);
    const middle = performance.now();
    for (let i = 0; i < rounds; i += 1) await swtpm.transmit(PCR_READ);
    const end = performance.now();
    const rate = (ms: number): number => rounds / (ms / 1000);
    // The first turn warms up.
    if (turn > 0) rates.push({ ours: rate(middle - start), theirs: rate(end - middle) });
  }
  await swtpm.stop();
  const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;
  const ours = median(rates.map(each => each.ours));
  const theirs = median(rates.map(each => each.theirs));
  return [
    `### TPM_PCRRead, ${TURNS} turns of ${rounds}`,
    '',
    '| what | a second | ratio |',
    '| --- | ---: | ---: |',
    `| ${version}, over its Unix socket | ${theirs.toFixed(0)} | 1.00 |`,
    `| here, through the TIS registers in process | ${ours.toFixed(0)} | ${(ours / theirs).toFixed(2)} |`,
    '',
  ].join('\n');
}
