/**
 * The long campaign of power cuts: thousands of lives of qcow2 images, each with a cut in it.
 *
 *     npm run build && node dist/scripts/power-cut-qcow2.js [seeds] [first seed] [QEMU samples]
 *
 * After each cut our own check must find leaks at most, everything flushed must read back, and the
 * image must go on working; a sample goes to the real qemu-img check, which must say 0 or 3.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveAndDie, ownTemplates, qemuTemplates } from '../lab/block/power-cut.js';
import { qemuCheck, run } from '../lab/peers/qemu.js';

const [seeds = 2000, first = 1, samples = 300] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-power-'));
const hasQemu = run('qemu-img', '--version').status === 0;
const templates = [...ownTemplates(), ...(hasQemu ? qemuTemplates(folder) : [])];
const every = Math.max(1, Math.floor(seeds / samples));
const counts = { lives: 0, cuts: 0, leaking: 0, faulty: 0, clean: 0, leaks: 0, corrupt: 0 };

const started = performance.now();
for (let seed = first; seed < first + seeds; seed += 1) {
  const template = templates[seed % templates.length]!;
  const { faults, leaks, cut, wreckage } = liveAndDie(template, seed);
  counts.lives += 1;
  counts.cuts += Number(cut);
  counts.leaking += Number(leaks > 0);
  counts.faulty += Number(faults.length > 0);
  for (const fault of faults) console.log(`seed ${seed} (${template.name}): ${fault}`);
  if (hasQemu && seed % every === 0) {
    const path = join(folder, 'wreckage.qcow2');
    writeFileSync(path, wreckage);
    const status = qemuCheck(path);
    if (status === 0) counts.clean += 1;
    else if (status === 3) counts.leaks += 1;
    else counts.corrupt += 1;
    if (status !== 0 && status !== 3) console.log(`seed ${seed}: qemu-img check says ${status}`);
  }
}
rmSync(folder, { recursive: true, force: true });
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(
  `${counts.lives} lives, ${counts.cuts} cuts, ${templates.length} kinds of image, ${seconds} s: ` +
    `${counts.faulty} faulty, ${counts.leaking} with leaks; ` +
    `qemu-img check: ${counts.clean} clean, ${counts.leaks} leaks, ${counts.corrupt} corrupt`,
);
process.exitCode = counts.faulty + counts.corrupt === 0 ? 0 : 1;
