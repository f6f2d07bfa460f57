/**
 * The qtest interface of `nvtpm run`: requests, invalid input, and the registers.
 * @long
 */
import test from 'ava';
import { Qemu, QTEST_PEERS } from '../../lab/peers/qtest.js';
import { peerTest } from '../_peers.js';
import { arbitration, suite } from '../tis/_steps.js';
import { Running } from './_running.js';

test('the steps of tpm-tis-test and the recorded arbitration', async t => {
  const running = Running.start(t);
  const client = await running.qtest();
  await suite(t, client, '1.2');
  await arbitration(t, client);
});

/** Requests in order, and what QEMU 7.2 answers (facts: recorded from it). */
// biome-ignore format: table
const RECORDED: readonly [string, string][] = [
  ['endianness',                        'OK little'],
  ['endianness extra\r',                'OK little'],
  ['readl 0xfed40f00',                  'OK 0x0000000000011014'],
  ['readl 0xfed40f00 and more',         'OK 0x0000000000011014'],
  ['readq 0xfed40f00',                  'OK 0x0000000100011014'],
  ['readl 0xfed40f01',                  'OK 0x0000000001000110'],
  ['readw 0xfed40f01',                  'OK 0x0000000000000110'],
  ['readb 4275310336',                  'OK 0x0000000000000014'],
  ['readb 037665007400',                'OK 0x0000000000000014'],
  ['read 0xfed40f00 8',                 'OK 0x1410010001000000'],
  ['read 0xfed40f01 7',                 'OK 0x10010001000000'],
  ['b64read 0xfed40f00 8',              'OK FBABAAEAAAA='],
  // Locality 4 drops what software writes.
  ['writeb 0xfed44000 0x02',            'OK'],
  ['writeb 0xfed44000 0x08',            'OK'],
  ['readb 0xfed44000',                  'OK 0x0000000000000081'],
  // Behind the registers: RAM of the Physical Presence Interface, then nothing.
  ['readl 0xfed45000',                  'OK 0x0000000000000000'],
  ['writel 0xfed45000 0x12345678',      'OK'],
  ['read 0xfed44ffe 6',                 'OK 0xffff78563412'],
  ['memset 0xfed45000 4 0xab',          'OK'],
  ['readl 0xfed45000',                  'OK 0x00000000abababab'],
  ['memset 0xfed45000 0 0',             'OK'],
  ['write 0xfed45000 4 0x01',           'OK'],
  ['read 0xfed45000 4',                 'OK 0x01000000'],
  ['b64write 0xfed45000 4 AQIDBA==',    'OK'],
  ['read 0xfed45000 4',                 'OK 0x01020304'],
  ['write 0xfed45002 1 0xffee',         'OK'],
  ['readq 0xfed45000',                  'OK 0x0000000004ff0201'],
  ['writeq 0xfed453f8 -1',              'OK'],
  ['read 0xfed453f8 12',                'OK 0xffffffffffffffff00000000'],
  ['readl 0xe0000000',                  'OK 0x0000000000000000'],
  ['readl 0xfffffffffffff000',          'OK 0x0000000000000000'],
  ['writel 0xfffffffffffffffe 1',       'OK'],
  ['inb 0x5678',                        'OK 0x00ff'],
  ['inw 0x5678',                        'OK 0xffff'],
  ['inl 0x5678',                        'OK 0xffffffff'],
  ['outb 0x5678 1',                     'OK'],
  ['irq_intercept_in nosuch',           'FAIL Unknown device'],
  ['irq_intercept_in ioapic',           'OK'],
  ['irq_intercept_in ioapic',           'OK'],
  ['irq_intercept_out ioapic',          'OK'],
  ['set_irq_in ioapic unnamed-gpio-in 5 1', 'OK'],
  ['set_irq_in ioapic unnamed-gpio-in 5 1', 'OK'],
  ['set_irq_in ioapic unnamed-gpio-in 5 0', 'OK'],
  ['set_irq_in nosuch unnamed-gpio-in 5 0', 'FAIL Unknown device'],
  ['foo bar',                           "FAIL Unknown command 'foo'"],
  ['READL 0xfed40f00',                  "FAIL Unknown command 'READL'"],
  ['constructor',                       "FAIL Unknown command 'constructor'"],
  ['__proto__ 1',                       "FAIL Unknown command '__proto__'"],
];

test('every request is answered as recorded', async t => {
  const client = await Running.start(t).qtest();
  for (const [request, answer] of RECORDED) t.is(await client.ask(request), answer, request);
  t.deepEqual(client.irqs, ['IRQ raise 5', 'IRQ lower 5']);
});

peerTest('every request is answered as recorded: QEMU', QTEST_PEERS, async t => {
  const qemu = await Qemu.start('1.2');
  t.teardown(() => qemu.close());
  for (const [request, answer] of RECORDED) {
    const [{ text } = { text: undefined }] = await qemu.ask([request]);
    t.is(text, answer, request);
  }
});

/** QEMU aborts on most of these. */
// biome-ignore format: table
const NONSENSE = [
  '', ' ', 'readb', 'readb x', 'readb 0x', 'readb 0x10000000000000000', 'readb 08', 'readb  1',
  'writel 0xfed40000', 'writel 0xfed40000 y', 'read 0xfed40000', 'read 0xfed40000 0', 'read 0xfed40000 -1',
  'read 0xfed40000 65537', 'read 0xfed40000 0xffffffffffffffff', 'write 0xfed40000 2 0102', 'write 0xfed40000 2 0x010',
  'write 0xfed40000 2 0xzz', 'write 0xfed40000 0 0x', 'b64write 0xfed40000 2 !!', 'b64read 0xfed40000 0',
  'memset 0xfed40000 99999999 1', 'memset 0xfed40000 1', 'inb', 'outb 1', 'irq_intercept_in', 'set_irq_in ioapic x 256 1',
  'set_irq_in ioapic unnamed-gpio-in 5', 'clock_step x', 'clock_set', 'module_load accel-', `readb ${'9'.repeat(100_000)}`,
  'x'.repeat(200_000), 'x'.repeat(2_000_000), '\0\xff\x80',
];

test('an invalid request is refused, and the next one is answered', async t => {
  const running = Running.start(t);
  const client = await running.qtest();
  for (const request of NONSENSE) {
    const answer = await client.ask(request);
    t.regex(answer, /^FAIL ./, request.slice(0, 80));
    t.true(answer.length < 120);
  }
  t.is(await client.ask('readl 0xfed40f00'), 'OK 0x0000000000011014');
  t.is(running.process.exitCode, null);
});

test('the clock of this protocol moves forwards only', async t => {
  const client = await Running.start(t).qtest();
  // biome-ignore format: table
  for (const [request, answer] of [
    ['clock_step', 'OK 0'], ['clock_step 100', 'OK 100'], ['clock_set 50', 'OK 100'], ['clock_set 1000', 'OK 1000'],
  ] as const) t.is(await client.ask(request), answer, request);
});

test('a client that intercepts the interrupt line gets its level, which falls at a reset', async t => {
  const running = Running.start(t);
  const client = await running.qtest();
  const monitor = await running.monitor();
  const raise = async (): Promise<void> => {
    await client.write(0xfed4_0000, 1, 0x02);
    await client.write(0xfed4_0008, 4, 0x8000_0080);
    await client.write(0xfed4_0018, 1, 0x40);
  };
  await raise();
  t.deepEqual(client.irqs, [], 'without an interception');
  await client.write(0xfed4_0010, 1, 0x80);
  await client.write(0xfed4_0000, 1, 0x20);
  await client.ask('irq_intercept_in ioapic');
  await raise();
  t.deepEqual(client.irqs.splice(0), ['IRQ raise 5']);
  await client.write(0xfed4_0010, 1, 0x80);
  t.deepEqual(client.irqs.splice(0), ['IRQ lower 5']);
  await client.write(0xfed4_0000, 1, 0x20);
  await raise();
  t.deepEqual(client.irqs.splice(0), ['IRQ raise 5']);
  await monitor.run('system_reset');
  await client.ask('endianness');
  t.deepEqual(client.irqs, ['IRQ lower 5']);
  t.is(await client.read(0xfed4_0000, 1), 0x81);
});

test('one client at a time; the next one waits until it has gone', async t => {
  const running = Running.start(t);
  const first = await running.qtest();
  t.is(await first.ask('endianness'), 'OK little');
  const second = await running.qtest();
  const answer = second.ask('readb 0xfed40000');
  t.is(await first.ask('endianness'), 'OK little');
  await first.write(0xfed4_0000, 1, 0x02);
  first.close();
  t.is(await answer, 'OK 0x00000000000000a1');
});

test('requests may come in pieces and many at a time', async t => {
  const client = await Running.start(t).qtest();
  for (const char of 'readb 0xfed40000\nendian') client.send(char);
  client.send('ness\n');
  t.is(await client.next(), 'OK 0x0000000000000081');
  t.is(await client.next(), 'OK little');
  client.send('read 0xfed40000 20480\n'.repeat(500));
  for (let i = 0; i < 500; i += 1) t.is((await client.next()).length, 'OK 0x'.length + 40_960);
});
