/** Which connection makes room for a new one, and which client has the next turn. */
import test from 'ava';
import { type Connection, Connections } from '../../src/server/connections.js';
import { type Contender, Rotation } from '../../src/server/rotation.js';

class Fake implements Connection {
  busy = false;
  closed = false;
  close(): void {
    this.closed = true;
  }
}

/** Three connections at a limit of three, oldest first. */
function full() {
  const connections = new Connections<Fake>(3);
  const [a, b, c] = [new Fake(), new Fake(), new Fake()];
  for (const each of [a, b, c]) connections.admit(each);
  return { connections, a, b, c };
}

const closed = (...all: Fake[]): boolean[] => all.map(each => each.closed);

test('the connection without a request that has waited longest makes room', t => {
  const { connections, a, b, c } = full();
  connections.used(a);
  t.is(connections.admit(new Fake()), 'displaced another');
  t.deepEqual(closed(a, b, c), [false, true, false]);
  t.is(connections.size, 3);
});

test('where all have completed requests, the one idle longest makes room', t => {
  const { connections, a, b, c } = full();
  for (const each of [b, a, c, b]) connections.used(each);
  connections.admit(new Fake());
  t.deepEqual(closed(a, b, c), [true, false, false]);
});

test('a busy connection keeps its place; where all are busy, the new one is refused', t => {
  const { connections, a, b, c } = full();
  a.busy = true;
  connections.admit(new Fake());
  t.deepEqual(closed(a, b, c), [false, true, false]);
  const { connections: busy, ...all } = full();
  for (const each of Object.values(all)) each.busy = true;
  t.is(busy.admit(new Fake()), 'refused');
  t.deepEqual(closed(...Object.values(all)), [false, false, false]);
});

test('a connection that has closed neither counts nor returns', t => {
  const { connections, a, b, c } = full();
  connections.remove(b);
  connections.used(b);
  t.deepEqual([...connections], [a, c]);
  t.is(connections.admit(new Fake()), 'admitted');
});

/** Contenders with so many commands each, and the order in which their commands run. */
async function order(counts: Readonly<Record<string, number>>, later: boolean): Promise<string> {
  const left: Record<string, number> = { ...counts };
  let ran = '';
  const rotation = new Rotation(() => false);
  const contenders = Object.keys(counts).map(
    (name): Contender => ({
      get ready() {
        return (left[name] ?? 0) > 0;
      },
      turn() {
        ran += name;
        left[name] = (left[name] ?? 0) - 1;
        return later ? new Promise(resolve => setImmediate(resolve)) : undefined;
      },
    }),
  );
  for (const contender of contenders) rotation.enter(contender);
  while (contenders.some(({ ready }) => ready)) await new Promise(resolve => setImmediate(resolve));
  return ran;
}

for (const later of [false, true]) {
  test(`one command a turn, ${later ? 'that ends later' : 'that ends at once'}`, async t => {
    // The first one runs before the others enter.
    t.is(await order({ z: 1, a: 4, b: 2, c: 1 }, later), 'zabcabaa');
  });
}

test('after the end no turn begins', async t => {
  let turns = 0;
  const rotation: Rotation = new Rotation(() => false);
  rotation.enter({
    ready: true,
    turn: () => {
      turns += 1;
      if (turns === 2) rotation.end();
    },
  });
  for (let i = 0; i < 10; i += 1) await new Promise(resolve => setImmediate(resolve));
  t.is(turns, 2);
});
