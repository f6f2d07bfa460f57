/** The matrix of states and events, drawn again by hand from the specification's table. */
import test from 'ava';
import { type Event, move, STATES } from '../../src/tis/state.js';
import { type Bench, benchIn, EXCHANGE, REG } from './_device.js';

// One row an event, one column a state: idle, ready, reception, execution, completion.
// A dot is an event that is ignored.
// biome-ignore format: table
const EXPECTED: Record<Event, string> = {
  commandReady:  'ready  ready      ready      execution   ready',
  fifoWrite:     '.      reception  reception  .           .',
  tpmGo:         '.      .          execution  .           .',
  fifoRead:      '.      .          .          .           completion',
  responseRetry: '.      .          .          .           completion',
  commandCancel: '.      .          .          execution   .',
  localityLeft:  '.      idle       idle       execution   idle',
  finished:      '.      .          .          completion  .',
  aborted:       '.      .          .          ready       .',
  abandoned:     '.      .          .          idle        .',
};

for (const [event, row] of Object.entries(EXPECTED)) {
  test(`${event} moves as the specification says, from every state`, t => {
    const found = STATES.map(state => move(state, event as Event)?.[1] ?? '.');
    t.deepEqual(found, row.split(/\s+/));
  });
}

// The same through the registers: the low byte of STS after a write, from every state. `complete`
// is reception with the whole command there. Recorded from QEMU 7.2. A dot is no change.
const COLUMNS = ['idle', 'ready', 'reception', 'complete', 'execution', 'completion'] as const;
const BEFORE = '00   40   88   80   80   90';
// biome-ignore format: table
const WRITES: Record<string, [(b: Bench) => void, string]> = {
  'commandReady':          [b => b.put(0, REG.STS, 0x40),           '40   40   40   40   .    40'],
  'commandReady and more': [b => b.put(0, REG.STS, 0xdd),           '40   40   40   40   .    40'],
  'tpmGo':                 [b => b.put(0, REG.STS, 0x20),           '.    .    .    90   .    .'],
  'responseRetry':         [b => b.put(0, REG.STS, 0x02),           '.    .    .    .    .    90'],
  'two of the three':      [b => { for (const v of [0x60, 0x42, 0x22, 0x62]) b.put(0, REG.STS, v); }, '. . . . . .'],
  'no one of them':        [b => b.put(0, REG.STS, 0x9d),           '.    .    .    .    .    .'],
  'another byte of STS':   [b => b.put(0, REG.STS + 1, 0x40),       '.    .    .    .    .    .'],
  'one byte to the FIFO':  [b => b.put(0, REG.DATA_FIFO, 0),        '.    88   .    .    .    .'],
  'a read of the FIFO':    [b => b.get(0, REG.DATA_FIFO, 1),        '.    .    .    .    .    .'],
  'STS of locality 1':     [b => b.put(1, REG.STS, 0x40),           '.    .    .    .    .    .'],
  'FIFO of locality 1':    [b => b.put(1, REG.DATA_FIFO, 0),        '.    .    .    .    .    .'],
};

for (const [name, [write, row]] of Object.entries(WRITES)) {
  test(`STS after: ${name}`, t => {
    const before = BEFORE.split(/\s+/);
    const found = COLUMNS.map(state => {
      const b = benchIn(state);
      b.tpm.reply = EXCHANGE['1.2'].reply;
      write(b);
      return b.get(0, REG.STS, 1).toString(16).padStart(2, '0');
    });
    const expected = row.split(/\s+/).map((cell, i) => (cell === '.' ? before[i] : cell));
    t.deepEqual(found, expected);
  });
}
