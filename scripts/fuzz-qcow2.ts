/**
 * The long campaign of damaged images.
 *
 *     npm run build && node dist/scripts/fuzz-qcow2.js [images] [first seed] [QEMU samples]
 *
 * Every damaged image is opened, read, checked, written to, grown and repaired: only errors of this
 * package, nothing over a second, no more than 64 MiB of memory above the start. A sample is
 * compared with the verdict of the real qemu-img check.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { damaged, ourVerdict, use, type Verdict, type Victim } from '../lab/block/fuzz.js';
import { ownTemplates, qemuTemplates } from '../lab/block/power-cut.js';
import { run } from '../lab/peers/qemu.js';

const [images = 20_000, first = 1, samples = 500] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-fuzz-'));
const hasQemu = run('qemu-img', '--version').status === 0;
const victims: Victim[] = [...ownTemplates(), ...(hasQemu ? qemuTemplates(folder) : [])];
const every = Math.max(1, Math.floor(images / samples));
const MIB = 2 ** 20;

let slowest = { seed: 0, ms: 0 };
let bugs = 0;
let refusing = 0;
let highest = 0;
const compared = { same: 0, different: 0, apart: 0 };

const verdictOf = (image: Uint8Array): Verdict => {
  try {
    return ourVerdict(image);
  } catch {
    return 1;
  }
};

// Once through everything, so that what is loaded and compiled is not counted as growth.
for (const victim of victims) use(victim.image);
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
collectGarbage();
const before = process.memoryUsage.rss();
for (let seed = first; seed < first + images; seed += 1) {
  const image = damaged(victims[seed % victims.length]!, seed);
  // What earlier images left behind is not what this one takes.
  collectGarbage();
  const started = performance.now();
  try {
    refusing += Number(use(image).refusals > 0);
  } catch (error) {
    bugs += 1;
    console.log(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
  }
  const ms = performance.now() - started;
  if (ms > slowest.ms) slowest = { seed, ms };
  highest = Math.max(highest, process.memoryUsage.rss());
  if (hasQemu && seed % every === 0) {
    const path = join(folder, 'damaged.qcow2');
    writeFileSync(path, image);
    const { status: theirs, text } = run('qemu-img', 'check', '-f', 'qcow2', path);
    const ours = verdictOf(image);
    // QEMU opens what the image names as its backing file before it checks; we need none of it.
    if (/Could not open backing file/.test(text)) compared.apart += 1;
    else if (theirs === ours) compared.same += 1;
    else {
      compared.different += 1;
      console.log(`seed ${seed}: qemu-img check says ${theirs}, we say ${ours}`);
    }
  }
}
rmSync(folder, { recursive: true, force: true });
const growth = (highest - before) / MIB;
console.log(
  `${images} images of ${victims.length} kinds: ${bugs} bugs, ${refusing} refused somewhere, ` +
    `slowest ${slowest.ms.toFixed(0)} ms (seed ${slowest.seed}), ` +
    `${growth.toFixed(0)} MiB above the start; ` +
    `qemu-img check: ${compared.same} alike, ${compared.different} not, ` +
    `${compared.apart} whose backing file QEMU could not open`,
);
process.exitCode = bugs === 0 && slowest.ms < 1000 && growth < 64 ? 0 : 1;
