/**
 * `nvtpm trace`: a trace as a time line for people.
 * @long
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { cli } from './_in-process.js';

/** The time line of these events, without its times. */
async function told(
  folder: string,
  events: readonly object[],
  ...more: string[]
): Promise<string[]> {
  const file = join(folder, 'trace');
  writeFileSync(file, events.map((event, at) => `${JSON.stringify({ at, ...event })}\n`).join(''));
  const { exit, out, err } = await cli(['trace', file, ...more]);
  if (exit !== 0) throw new Error(err);
  return out
    .split('\n')
    .slice(0, -1)
    .map(line => line.slice(12));
}

const access = (word: string, offset: number, size: number, value?: number) => ({
  event: 'register',
  access: word,
  address: 0xfed4_0000 + offset,
  size,
  value,
});

test('a command through the registers', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  const trace = join(folder, 'trace');
  await cli(['create', image]);
  t.is(
    (await cli(['exec', image, '00c10000000e0000001500000000', '--no-startup', '--trace', trace]))
      .exit,
    0,
  );
  const { exit, out } = await cli(['trace', trace]);
  t.is(exit, 0);
  // The values of STS are those that were recorded from QEMU 7.2 for commands and answers as long.
  const lines = out.split('\n').map(line => line.slice(12));
  const from = lines.findIndex(line => /^L0 {2}ACCESS +<- 02 +requestUse$/.test(line));
  const to = lines.findIndex(line => /no locality is active/.test(line));
  t.deepEqual(
    lines.slice(from, to + 1).map(line => line.replace(/ +/g, ' ').replace(/ × \d+$/, '')),
    [
      'L0 ACCESS <- 02 requestUse',
      'L0 is active',
      'L0 ACCESS -> a1 activeLocality',
      'L0 STS -> 00100000 burstCount 4096',
      'L0 STS <- 40 commandReady',
      'L0 STS -> 00100040 commandReady, burstCount 4096',
      'L0 DATA_FIFO <- 13 bytes',
      'L0 STS -> 000ff388 expect, stsValid, burstCount 4083',
      'L0 DATA_FIFO <- 1 byte',
      'L0 STS -> 000ff280 stsValid, burstCount 4082',
      'L0 STS <- 20 tpmGo',
      'L0 TPM_PcrRead: TPM_INVALID_POSTINIT',
      'L0 STS -> 00000a90 dataAvail, stsValid, burstCount 10',
      'L0 DATA_FIFO -> 10 bytes',
      'L0 STS -> 000ff680 stsValid, burstCount 4086',
      'L0 STS <- 40 commandReady',
      'L0 ACCESS <- 20 activeLocality',
      '-- no locality is active',
    ],
  );
});

test('registers and fields by name, repetitions in one line', async t => {
  const folder = scratch(t);
  t.deepEqual(
    await told(folder, [
      access('read', 0x0000, 1, 0x81),
      access('read', 0x3000, 1, 0x80),
      access('read', 0x0019, 1, 0xff),
      access('read', 0x0018, 1, 0x90),
      access('read', 0x0018, 1, 0x90),
      access('read', 0x0018, 1, 0x90),
      access('write', 0x1080, 4),
      access('write', 0x1084, 4),
      access('write', 0x1008, 4, 0x8000_0083),
      access('read', 0x0034, 4, 0xffff_ffff),
      access('write', 0x5000, 2, 1),
      { event: 'locality', active: 2 },
      { event: 'locality' },
      { event: 'something', new: 'unheard of' },
    ]),
    [
      'L0  ACCESS          -> 81',
      'L3  ACCESS          -> 80        tpmEstablishment 0',
      'L0  STS             -> ff',
      'L0  STS             -> 90        dataAvail, stsValid  × 3',
      'L1  XDATA_FIFO      <- 8 bytes',
      'L1  INT_ENABLE      <- 80000083  dataAvailIntEnable, stsValidIntEnable, commandReadyEnable, globalIntEnable',
      'L0  0xfed40034      -> ffffffff',
      '    0xfed45000      <- 0001',
      'L2  is active',
      '--  no locality is active',
      '    something new unheard of',
    ],
  );
});

test('--all shows the events of the image', async t => {
  const folder = scratch(t);
  const events = [
    { event: 'lock', type: 'exclusive', path: '/a', flavour: 'ofd' },
    { event: 'write', path: '/a', offset: 4096, length: 512 },
    { event: 'flush', path: '/a' },
    { event: 'commit', generation: 7, epoch: 2, blobs: ['permall'] },
  ];
  t.deepEqual(await told(folder, events), ['    commit generation 7, epoch 2, blobs permall']);
  t.deepEqual(await told(folder, events, '--all'), [
    '    lock type exclusive, flavour ofd',
    '    write offset 4096, length 512',
    '    flush',
    '    commit generation 7, epoch 2, blobs permall',
  ]);
});

test('standard input is followed, and --json gives the lines as data', async t => {
  const input = `${JSON.stringify({ at: 1.5, event: 'power', to: 'on' })}\n`;
  t.is((await cli(['trace', '-'], { input })).out, '     1.500      power on\n');
  const data: unknown = (await cli(['trace', '-', '--json'], { input })).json();
  t.deepEqual(data, { events: 1, lines: ['     1.500      power on'] });
});

test('a line that is not a trace event is refused by its number', async t => {
  const file = join(scratch(t), 'trace');
  const good = JSON.stringify({ at: 1, event: 'power', to: 'on' });
  // biome-ignore format: table
  for (const bad of ['', 'x', 'null', '5', '{"event":"power"}', '{"at":1}', '{"at":"1","event":"power"}',
    '{"at":1,"event":"register"}', '{"at":1,"event":"register","address":1,"size":3}',
    '{"at":1,"event":"register","address":1,"size":1,"value":-1}', '{"at":1,"event":"command"}']) {
    writeFileSync(file, `${good}\n${bad}\n`);
    const { exit, err } = await cli(['trace', file]);
    t.is(exit, 2, bad);
    t.regex(err, /line 2: not a trace event/);
  }
  t.is((await cli(['trace', `${file}.missing`])).exit, 12);
});
