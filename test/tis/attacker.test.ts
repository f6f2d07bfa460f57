/**
 * A guest that wants to do harm: random accesses of every kind. Nothing may throw, every value read
 * must fit its access, the state must pass its own rules, and after all that an honest driver
 * works.
 */
import test from 'ava';
import fc from 'fast-check';
import { hex, toHex } from '../../lab/files.js';
import { TisDriver } from '../../src/tis/index.js';
import { type Bench, bench, EXCHANGE, REG } from './_device.js';

/** Offsets that matter, around their edges, and any other; sizes that there are, and others. */
const offset = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...Object.values(REG)) },
  { weight: 2, arbitrary: fc.nat(0xc0) },
  { weight: 1, arbitrary: fc.integer({ min: -8, max: 0x1008 }) },
);
const value = fc.oneof(
  fc.constantFrom(0x02, 0x08, 0x10, 0x20, 0x40, 0x0100_0040, 0x0200_0000, 0xffff_ffff, 0),
  fc.nat(0xff),
  fc.nat(0xffff_ffff),
);
const access = fc.record({
  write: fc.boolean(),
  locality: fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 5),
  offset,
  size: fc.constantFrom(1, 1, 1, 2, 4, 4, 3, 8, 0),
  value,
  /** What the TPM does after the access: 0 to 2 nothing, 3 answers, 4 answers nonsense. */
  tpm: fc.nat(4),
});
const whole = fc.constantFrom('command', 'reset', 'restore' as const);
const step = fc.oneof({ weight: 12, arbitrary: access }, { weight: 1, arbitrary: whole });

function act(b: Bench, what: typeof step extends fc.Arbitrary<infer T> ? T : never): boolean {
  if (what === 'reset') b.tis.reset();
  else if (what === 'restore') {
    if (!b.tis.busy) b.tis.restoreState(JSON.parse(JSON.stringify(b.tis.saveState())));
  } else if (what === 'command') {
    b.put(0, REG.ACCESS, 0x02);
    b.put(0, REG.STS, 0x40);
    b.send(0, EXCHANGE['1.2'].command);
    b.put(0, REG.STS, 0x20);
  } else {
    const at = what.locality * 0x1000 + what.offset;
    if (what.write) b.tis.write(at, what.size, what.value);
    else {
      const found = b.tis.read(at, what.size);
      if (!Number.isInteger(found) || found < 0 || found > 0xffff_ffff) return false;
      if ([1, 2, 4].includes(what.size) && found >= 0x100 ** what.size) return false;
    }
    if (what.tpm === 3) b.tpm.answer();
    if (what.tpm === 4) b.tpm.answer('00ff');
  }
  return true;
}

test('200,000 random accesses: nothing throws, and the device still serves', t => {
  const steps = fc.array(step, { minLength: 400, maxLength: 400, size: 'max' });
  const run = fc.property(steps, fc.boolean(), fc.constantFrom('1.2', '2.0'), (all, now, kind) => {
    const b = bench({ personality: kind as '1.2' | '2.0' });
    b.tpm.reply = now ? EXCHANGE['1.2'].reply : undefined;
    if (!all.every(what => act(b, what))) return false;
    b.tpm.answer();
    // saveState of what a guest has made must pass the rules that restoreState has.
    bench({ personality: kind as '1.2' | '2.0' }).tis.restoreState(b.tis.saveState());
    // A launch that was started locks the others out until it ends; so does a higher locality.
    b.put(4, REG.HASH_END, 0);
    for (const locality of [4, 3, 2, 1, 0, 4, 3, 2, 1]) b.put(locality, REG.ACCESS, 0x30);
    b.tpm.reply = EXCHANGE['1.2'].reply;
    return toHex(new TisDriver(b.tis).transmit(hex(EXCHANGE['1.2'].command))) === b.tpm.reply;
  });
  t.notThrows(() => fc.assert(run, { numRuns: 500 }));
});
