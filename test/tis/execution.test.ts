/** While a command runs, and how it ends: the TPM of these tests answers when the test says so. */
import test from 'ava';
import { Tis } from '../../src/tis/index.js';
import { bench, benchIn, EXCHANGE, REG } from './_device.js';

test('while a command runs STS is valid and says nothing else; FIFO and tpmGo are dead', t => {
  const b = benchIn('execution');
  t.true(b.tis.busy);
  t.is(b.get(0, REG.STS), 0x000f_f480);
  t.is(b.get(0, REG.DATA_FIFO), 0xffff_ffff);
  b.put(0, REG.DATA_FIFO, 0x12);
  b.put(0, REG.STS, 0x20);
  b.put(0, REG.STS, 0x02);
  t.is(b.get(0, REG.STS), 0x000f_f480);
  t.is(b.tpm.commands.length, 1);
  b.tpm.answer();
  t.is(b.get(0, REG.STS), 0x0000_0a90);
  t.is(b.fetch(0, 10), EXCHANGE['1.2'].reply);
  t.false(b.tis.busy);
});

test('commandReady cancels: ready once the TPM has responded, and the response is discarded', t => {
  const b = benchIn('execution');
  b.put(0, REG.STS, 0x40);
  b.put(0, REG.STS, 0x40);
  t.is(b.tpm.cancels, 1);
  t.is(b.get(0, REG.STS), 0x000f_f480);
  b.tpm.answer();
  t.is(b.get(0, REG.STS), 0x0010_0040);
  t.is(b.get(0, REG.DATA_FIFO), 0xffff_ffff);
});

test('commandCancel of TPM 2.0 cancels, and the response is delivered; TPM 1.2 has no such bit', t => {
  const two = benchIn('execution', { personality: '2.0' });
  two.put(0, REG.STS + 3, 0x01);
  t.is(two.tpm.cancels, 1);
  two.tpm.answer(EXCHANGE['2.0'].reply);
  t.is(two.get(0, REG.STS), 0x0400_0a90);
  two.put(0, REG.STS, 0x0100_0000, 4);
  t.is(two.tpm.cancels, 1, 'there is nothing to cancel');
  const one = benchIn('execution');
  one.put(0, REG.STS, 0x0100_0000, 4);
  t.is(one.tpm.cancels, 0);
});

test('a seize cancels; the locality changes when the TPM has responded', t => {
  const b = benchIn('execution');
  b.put(2, REG.ACCESS, 0x08);
  t.is(b.tpm.cancels, 1);
  t.is(b.access(), 'a1 81 81 81 81');
  b.put(1, REG.ACCESS, 0x08);
  b.put(3, REG.ACCESS, 0x08);
  b.put(2, REG.ACCESS, 0x08);
  t.is(b.tpm.cancels, 1);
  b.tpm.answer();
  t.is(b.access(), '91 81 81 a1 81', 'the highest that seized it has it');
  t.is(b.get(3, REG.STS), 0x0010_0000);
});

test('releasing the TPM cancels; the next has it when the TPM has responded', t => {
  const b = benchIn('execution');
  b.put(1, REG.ACCESS, 0x02);
  b.put(3, REG.ACCESS, 0x02);
  b.put(0, REG.ACCESS, 0x20);
  b.put(0, REG.STS, 0x40);
  t.is(b.tpm.cancels, 1);
  t.is(b.access(), 'a5 87 85 87 85');
  b.tpm.answer();
  t.is(b.access(), '85 83 85 a5 85');
  t.is(b.get(3, REG.STS), 0x0010_0000);
});

test('releasing the TPM with no locality waiting frees it when the TPM has responded', t => {
  const b = benchIn('execution');
  b.put(0, REG.ACCESS, 0x20);
  t.is(b.access(), 'a1 81 81 81 81');
  b.tpm.answer();
  t.is(b.access(), '81 81 81 81 81');
  b.put(0, REG.ACCESS, 0x02);
  t.is(b.get(0, REG.STS), 0x0010_0000);
});

test('a TPM that stops at once when cancelled lets the locality change at once, and only once', t => {
  const b = benchIn('execution');
  b.tpm.cancel = () => b.tpm.answer();
  b.put(1, REG.ACCESS, 0x02);
  b.put(3, REG.ACCESS, 0x08);
  t.is(b.access(), '95 83 85 a5 85');
});

test('after a reset the response to the cancelled command is discarded', t => {
  const b = benchIn('execution');
  b.tis.reset();
  t.is(b.tpm.cancels, 1);
  b.tpm.answer();
  t.is(b.access(), '81 81 81 81 81');
  b.put(0, REG.ACCESS, 0x02);
  t.is(b.get(0, REG.STS), 0x0010_0000);
});

test('a reset over a TPM that stops at once is no event', t => {
  const b = benchIn('execution');
  b.put(0, REG.INT_ENABLE, 0x8000_0087, 4);
  b.tpm.cancel = () => b.tpm.answer();
  b.tis.reset();
  t.deepEqual(b.line, []);
  t.is(b.access(), '81 81 81 81 81');
});

test('a response to an earlier command, or a second one, is not delivered for the next', t => {
  const b = benchIn('execution');
  const again = (): void => {
    b.put(0, REG.ACCESS, 0x02);
    b.put(0, REG.STS, 0x40);
    b.send(0, EXCHANGE['1.2'].command);
    b.put(0, REG.STS, 0x20);
  };
  b.tis.reset();
  again();
  b.tpm.dones[0]?.(new Uint8Array(10));
  t.true(b.tis.busy);
  b.tpm.answer();
  b.tpm.answer('00c40000000a00000001');
  t.is(b.fetch(0, 10), EXCHANGE['1.2'].reply);
  again();
  b.tpm.dones[1]?.(new Uint8Array(10));
  t.true(b.tis.busy);
});

// biome-ignore format: table
const MALFORMED: Record<string, string> = {
  'nothing':                     '',
  'less than a header':          '00c40000000900000000'.slice(0, 18),
  'a size field below a header': '00c40000000600000000',
  'more than its size field':    '00c40000000a0000000000',
  'less than its size field':    '00c40000000c00000000',
  'a size field past all':       '00c4ffffffff00000000',
};

for (const [what, reply] of Object.entries(MALFORMED)) {
  test(`a response of ${what} becomes a failure response`, t => {
    for (const [personality, failure] of [
      ['1.2', '00c40000000a00000009'],
      ['2.0', '80010000000a00000101'],
    ] as const) {
      const b = benchIn('execution', { personality });
      b.tpm.answer(reply);
      t.is(b.get(0, REG.STS, 1), 0x90);
      t.is(b.fetch(0, 10), failure);
      t.is(b.get(0, REG.STS, 1), 0x80);
    }
  });
}

test('selfTestDone: set once TPM_ContinueSelfTest succeeded, in all localities, until reset', t => {
  const b = bench();
  const run = (locality: number, command: string, reply: string): void => {
    b.tpm.reply = reply;
    b.put(locality, REG.ACCESS, 0x08);
    b.put(locality, REG.STS, 0x40);
    b.send(locality, command);
    b.put(locality, REG.STS, 0x20);
  };
  run(0, '00c10000000a00000053', '00c40000000a00000802');
  t.is(b.get(0, REG.STS), 0x0000_0a90, 'not after a failure');
  run(0, '00c10000000a00000050', '00c40000000a00000000');
  t.is(b.get(0, REG.STS), 0x0000_0a90, 'not after another command');
  run(0, '00c10000000a00000053', '00c40000000a00000000');
  t.is(b.get(0, REG.STS), 0x0000_0a94);
  b.fetch(0, 10);
  t.is(b.get(0, REG.STS), 0x000f_f684);
  b.put(0, REG.STS, 0x40);
  t.is(b.get(0, REG.STS), 0x0010_0044);
  b.put(1, REG.ACCESS, 0x08);
  t.is(b.get(1, REG.STS), 0x0010_0004);
  b.tis.reset();
  b.put(0, REG.ACCESS, 0x02);
  t.is(b.get(0, REG.STS), 0x0010_0000);
});

test('resetEstablishmentBit: TPM 2.0, localities 3 and 4, idle or ready', t => {
  for (const personality of ['1.2', '2.0'] as const) {
    for (const locality of [0, 1, 2, 3, 4]) {
      for (const state of ['idle', 'ready', 'reception', 'execution', 'completion'] as const) {
        const b = benchIn(state, { personality }, locality);
        b.tpm.flag = true;
        b.put(locality, REG.STS + 3, 0x02);
        const clears =
          personality === '2.0' && locality >= 3 && (state === 'idle' || state === 'ready');
        t.is(b.get(0, REG.ACCESS, 1) & 1, Number(clears), `${personality} ${locality} ${state}`);
      }
    }
  }
});

test('a buffer size or an interrupt that no driver could use is refused', t => {
  const { tpm: backend } = bench();
  for (const bufferSize of [0, 127, 4097, 512.5]) {
    t.throws(() => new Tis({ backend, personality: '1.2', bufferSize }));
  }
  for (const irqVector of [-1, 16, 0.5]) {
    t.throws(() => new Tis({ backend, personality: '1.2', irqVector }));
  }
});
