import assert from 'node:assert/strict';
import { systemEntropy as entropy } from 'nvtpm';
import { withLock } from 'nvtpm/block';
import { formatStore, openStore } from 'nvtpm/nvram';
import { everyPowerCut, SimulatedDisk } from 'nvtpm/testing';

const blank = new SimulatedDisk(1024 * 1024);
withLock(blank, undefined, locked => formatStore(locked, { entropy }));
const open = disk => withLock(disk, undefined, locked => openStore(locked, { entropy }).activate());
open(blank).store('permall', Uint8Array.of(1));

const store = disk => open(disk).store('permall', Uint8Array.of(2));
let cuts = 0;
for (const { finished, disk } of everyPowerCut(blank.read(0, blank.length), store, { limit: 64 })) {
  const [found] = open(disk).load('permall');
  assert(found === 2 || (found === 1 && !finished));
  cuts += 1;
}
console.log(`${cuts} power cuts: the old state or the new one, and the new one once acknowledged`);
