/**
 * The state as one object: taken over in every state of the device, refused where it does not fit.
 */
import test from 'ava';
import { TisStateError } from '../../src/tis/index.js';
import { type Bench, bench, benchIn, EXCHANGE, REG } from './_device.js';

/** What a guest can tell of a device, reads with an effect last. */
function seen(b: Bench): unknown {
  const words = [REG.ACCESS, REG.INT_ENABLE, REG.INT_STATUS, REG.STS, REG.INTERFACE_ID];
  return [
    [0, 1, 2, 3, 4].map(locality => words.map(word => b.get(locality, word).toString(16))),
    [0, 1, 2, 3, 4].map(locality => b.fetch(locality, 12)),
    [0, 1, 2, 3, 4].map(locality => {
      b.put(locality, REG.STS, 0x02);
      return b.fetch(locality, 12);
    }),
  ];
}

/** What was saved, as it arrives elsewhere. */
const carried = (b: Bench): unknown => JSON.parse(JSON.stringify(b.tis.saveState()));

const STATES = ['idle', 'ready', 'reception', 'complete', 'completion'] as const;

for (const personality of ['1.2', '2.0'] as const) {
  for (const state of STATES) {
    test(`a device in ${state} continues elsewhere: TPM ${personality}`, t => {
      const make = (): Bench => {
        const b = benchIn(state, { personality }, 1);
        b.put(1, REG.INT_ENABLE, 0x8000_0087, 4);
        b.put(0, REG.ACCESS, 0x02);
        b.put(2, REG.ACCESS, 0x02);
        b.put(2, REG.INTERFACE_ID, 0x0008_0000, 4);
        if (state === 'completion') b.fetch(1, 4);
        return b;
      };
      const there = bench({ personality });
      there.tis.restoreState(carried(make()));
      t.deepEqual(carried(there), carried(make()));
      t.deepEqual(seen(there), seen(make()));
    });
  }
}

test('a seized locality, an event not yet cleared, a passed self test and a launch are carried', t => {
  const b = bench();
  b.tpm.reply = EXCHANGE['1.2'].reply;
  b.put(0, REG.ACCESS, 0x02);
  b.put(0, REG.INT_ENABLE, 0x8000_0087, 4);
  b.put(0, REG.STS, 0x40);
  b.send(0, '00c10000000a00000053');
  b.put(0, REG.STS, 0x20);
  b.put(4, REG.ACCESS, 0x08);
  b.put(4, REG.HASH_START, 0);
  const there = bench();
  there.tpm.flag = true;
  there.tis.restoreState(carried(b));
  t.is(there.access(), '90 80 80 80 a0');
  t.is(there.get(0, REG.INT_STATUS), 0x83);
  t.is(there.get(4, REG.STS), 0x0010_0004);
  there.put(4, REG.DATA_FIFO, 0x12);
  there.put(4, REG.HASH_END, 0);
  t.deepEqual(there.tpm.hashed, ['12', 'end']);
  t.deepEqual(there.line, []);
  there.put(0, REG.ACCESS, 0x02);
  t.deepEqual(there.line, [true], 'locality 0 has events that it has not cleared');
});

test('the interrupt line follows a state that is taken over', t => {
  const b = bench();
  b.put(0, REG.ACCESS, 0x02);
  b.put(0, REG.INT_ENABLE, 0x8000_0080, 4);
  const quiet = carried(b);
  b.put(0, REG.STS, 0x40);
  const there = bench();
  there.tis.restoreState(carried(b));
  t.deepEqual(there.line, [true]);
  there.tis.restoreState(quiet);
  t.deepEqual(there.line, [true, false]);
});

test('while a command runs there is no state to save', t => {
  const b = benchIn('execution');
  const error = t.throws(() => b.tis.saveState(), { instanceOf: TisStateError });
  t.is(error.code, 'BUSY');
  b.tpm.answer();
  t.notThrows(() => b.tis.saveState());
});

test('a restored state replaces a running command, whose response is discarded', t => {
  const saved = carried(benchIn('ready'));
  const b = benchIn('execution');
  b.tis.restoreState(saved);
  b.tpm.answer();
  t.is(b.get(0, REG.STS), 0x0010_0040);
});

type Loose = Record<string, unknown> & {
  command: Record<string, unknown>;
  localities: Record<string, unknown>;
  interrupts: Record<string, unknown>;
};
// Each breaks a state saved in completion, locality 0 having the TPM and locality 1 waiting.
// biome-ignore format: table
const REFUSED: [string, string, (state: Loose) => void][] = [
  ['VERSION',   'not of the kind',                s => { s['kind'] = 'other'; }],
  ['VERSION',   'not of the kind',                s => { s['version'] = 2; }],
  ['MALFORMED', 'novel is unknown',               s => { s['novel'] = 1; }],
  ['MALFORMED', 'command.novel is unknown',       s => { s.command['novel'] = 1; }],
  ['MALFORMED', 'hashing is missing',             s => { delete s['hashing']; }],
  ['MALFORMED', 'localities. is missing',         s => { delete (s as Record<string, unknown>)['localities']; }],
  ['MALFORMED', 'localities.active is missing',   s => { s.localities['active'] = 5; }],
  ['MALFORMED', 'localities.requestUse',          s => { s.localities['requestUse'] = [true]; }],
  ['MALFORMED', 'localities.beenSeized',          s => { s.localities['beenSeized'] = [0, 0, 0, 0, 0]; }],
  ['MALFORMED', 'command.state',                  s => { s.command['state'] = 'sleeping'; }],
  ['MALFORMED', 'command.fifo',                   s => { s.command['fifo'] = 'XX'; }],
  ['MALFORMED', 'command.fifo',                   s => { s.command['fifo'] = '001'; }],
  ['MALFORMED', 'command.at',                     s => { s.command['at'] = -1; }],
  ['MALFORMED', 'interrupts.enable',              s => { s.interrupts['enable'] = [0, 0, 0, 0, 0.5]; }],
  ['MALFORMED', 'bufferSize',                     s => { s['bufferSize'] = '4096'; }],
  ['MISMATCH',  'personality is that',            s => { s['personality'] = '2.0'; }],
  ['MISMATCH',  'buffer is as large',             s => { s['bufferSize'] = 2048; }],
  ['UNSOUND',   'not wait for itself',            s => { s.localities['requestUse'] = [true, true, false, false, false]; }],
  ['UNSOUND',   'waits for a TPM that is free',   s => { s.localities['active'] = null; }],
  ['UNSOUND',   'there is no command',            s => { s.localities['active'] = null; }],
  ['UNSOUND',   'running command is not saved',   s => { s.command['state'] = 'execution'; }],
  ['UNSOUND',   'FIFO fits into the buffer',      s => { s.command['fifo'] = '00'.repeat(4097); }],
  ['UNSOUND',   'the FIFO holds what',            s => { s.command['fifo'] = '00c40000000a000000'; }],
  ['UNSOUND',   'the FIFO holds what',            s => { s.command['state'] = 'idle'; s.command['at'] = 0; }],
  ['UNSOUND',   'the FIFO holds what',            s => { s.command['state'] = 'reception'; s.command['fifo'] = ''; }],
  ['UNSOUND',   'the FIFO holds what',            s => { s.command['state'] = 'reception'; s.command['fifo'] += '00'; }],
  ['UNSOUND',   'at most the whole response',        s => { s.command['at'] = 11; }],
  ['UNSOUND',   'only bits that they have',       s => { s.interrupts['enable'] = [8, 8, 8, 8, 0x48]; }],
  ['UNSOUND',   'only bits that they have',       s => { s.interrupts['status'] = [8, 0, 0, 0, 0]; }],
  ['UNSOUND',   'only bits that they have',       s => { s.interrupts['status'] = [2 ** 32 + 1, 0, 0, 0, 0]; }],
  ['UNSOUND',   'has an interface to lock',       s => { s['interfaceLocked'] = true; }],
  ['UNSOUND',   'measured launch is in locality', s => { s['hashing'] = true; }],
];

for (const [code, rule, spoil] of REFUSED) {
  test(`refused as ${code}, and nothing changed: ${rule} (${spoil.toString().slice(5, 70)})`, t => {
    const source = benchIn('completion');
    source.put(1, REG.ACCESS, 0x02);
    const state = carried(source) as Loose;
    const target = benchIn('ready');
    const before = carried(target);
    spoil(state);
    const error = t.throws(() => target.tis.restoreState(state), { instanceOf: TisStateError });
    t.is(error.code as string, code);
    t.true(
      error.broken.some(sentence => sentence.includes(rule)),
      error.broken.join('; '),
    );
    t.true(error.message.includes(rule));
    t.deepEqual(carried(target), before);
  });
}

/** Locality 4 in a launch, active without one, and waiting behind locality 0. */
// biome-ignore format: table
const IN_LOCALITY_4: Readonly<Record<string, (b: Bench) => void>> = {
  'a launch under way':      b => b.put(4, REG.HASH_START, 0),
  'locality 4 in use':       b => b.put(4, REG.ACCESS, 0x02),
  'locality 4 that waits':   b => { b.put(0, REG.ACCESS, 0x02); b.put(4, REG.ACCESS, 0x02); },
};

for (const [title, enter] of Object.entries(IN_LOCALITY_4)) {
  test(`${title} is refused by a device without locality 4, and restored by one with it`, t => {
    const source = bench();
    enter(source);
    const target = bench({ locality4: false });
    const before = carried(target);
    const refused = { instanceOf: TisStateError, code: 'MISMATCH', message: /locality4$/ };
    t.throws(() => target.tis.restoreState(carried(source)), refused);
    t.deepEqual(carried(target), before);
    t.notThrows(() => bench().tis.restoreState(carried(source)));
  });
}

test('a FIFO of any length is judged, not choked on', t => {
  const state = carried(benchIn('completion')) as Loose;
  state.command['fifo'] = '00'.repeat(10_000_000);
  const error = t.throws(() => bench().tis.restoreState(state), { instanceOf: TisStateError });
  t.is(error.code, 'UNSOUND');
});

test('what is no state at all is refused', t => {
  for (const value of [undefined, null, 0, 'state', [], {}, Symbol('state'), () => {}]) {
    const error = t.throws(() => bench().tis.restoreState(value), { instanceOf: TisStateError });
    t.is(error.code, 'VERSION');
  }
});
