/** Seeded sessions of whole, broken and random control messages: the server answers on, and holds its rules. */

import { closeSync, readdirSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import { ControlClient } from '../../lab/peers/control.js';
import { sendWith, socketPair } from '../../lab/peers/descriptors.js';
import { MESSAGES } from '../../src/server/control-messages.js';
import { controlled } from './_control.js';

const CAPABILITY = '00000001';
const CAPABILITIES = '0000000000017fbf';
const SHUTDOWN = MESSAGES.SHUTDOWN.number;

const word = (value: number): number[] => [24, 16, 8, 0].map(shift => (value >>> shift) & 0xff);

/** A number, known or not, but SHUTDOWN; then few or many bytes, which may be a length. */
const message = fc
  .tuple(
    fc.oneof(fc.integer({ min: 0, max: 21 }), fc.nat(0xffff_ffff)).filter(n => n !== SHUTDOWN),
    fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 0xff), fc.nat(0xff)), { maxLength: 24 }),
  )
  .map(([number, bytes]) => Uint8Array.from([...word(number), ...bytes]));

const session = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 8 }),
  descriptors: fc.integer({ min: 0, max: 6 }),
});

test('after any session a new client is served, no descriptor is left open, and nothing fails', async t => {
  const { open, path, quit, ended } = await controlled(t);
  const descriptorsOpen = (): number => readdirSync('/proc/self/fd').length;
  const play = async ({
    messages,
    descriptors,
  }: {
    messages: Uint8Array[];
    descriptors: number;
  }) => {
    const client = await ControlClient.open(path);
    const pairs = Array.from({ length: descriptors }, socketPair).flat();
    const [first, ...rest] = messages;
    if (pairs.length > 0) sendWith(client.socket, first!, pairs.slice(0, descriptors));
    else client.socket.write(first!);
    for (const fd of pairs) closeSync(fd);
    for (const bytes of rest) client.socket.write(bytes);
    client.socket.end();
    await client.closed();
  };
  const fresh = async (): Promise<string> => {
    for (;;) {
      const client = await open();
      const answer = await client.ask(CAPABILITY);
      client.close();
      await client.closed();
      // The session before may be at its end only now.
      if (answer !== '') return answer;
    }
  };
  await fresh();
  const before = descriptorsOpen();
  await fc.assert(
    fc.asyncProperty(session, async given => {
      await play(given);
      return (await fresh()) === CAPABILITIES;
    }),
    { numRuns: 300, seed: 13 },
  );
  t.true(descriptorsOpen() <= before + 2);
  quit();
  t.is((await ended).reason, 'host-signal');
});
