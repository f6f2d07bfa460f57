/**
 * The long campaign of failing writes: thousands of lives of qcow2 images in which writes, flushes and
 * truncations fail and the node goes on, alone or with a second process.
 *
 *     npm run build && node dist/scripts/failing-writes-qcow2.js [lives] [first seed] [QEMU samples]
 *
 * In the end our own check must find leaks at most, no image may be marked corrupt, and each byte must
 * be one that was written there; a sample goes to the real qemu-img check, which must say 0 or 3.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomLife } from '../lab/block/failing-writes.js';
import { ownTemplates, qemuTemplates } from '../lab/block/power-cut.js';
import { qemuCheck, run } from '../lab/peers/qemu.js';

const [lives = 5000, first = 1, samples = 300] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-failing-'));
const hasQemu = run('qemu-img', '--version').status === 0;
const templates = [...ownTemplates(), ...(hasQemu ? qemuTemplates(folder) : [])];
const every = Math.max(1, Math.floor(lives / samples));
const counts = { failing: 0, corrupt: 0, refused: 0, foreign: 0, clean: 0, leaks: 0, bad: 0 };

const started = performance.now();
for (let seed = first; seed < first + lives; seed += 1) {
  const template = templates[seed % templates.length]!;
  const { findings, failures, left } = randomLife(template, seed);
  counts.failing += Number(failures > 0);
  for (const finding of findings) {
    if (finding.startsWith('check: ')) counts.corrupt += 1;
    else if (finding.startsWith('byte ')) counts.foreign += 1;
    else counts.refused += 1;
    console.log(`seed ${seed} (${template.name}): ${finding}`);
  }
  // QEMU checks an overlay only beside its backing file, which is not there as it was.
  if (hasQemu && seed % every === 0 && template.backing === undefined) {
    const path = join(folder, 'left.qcow2');
    writeFileSync(path, left);
    const status = qemuCheck(path);
    if (status === 0) counts.clean += 1;
    else if (status === 3) counts.leaks += 1;
    else counts.bad += 1;
    if (status !== 0 && status !== 3) console.log(`seed ${seed}: qemu-img check says ${status}`);
  }
}
rmSync(folder, { recursive: true, force: true });
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(
  `${lives} lives, ${counts.failing} with failures, ${templates.length} kinds of image, ${seconds} s: ` +
    `${counts.corrupt} corrupt, ${counts.refused} refused or marked, ${counts.foreign} with foreign bytes; ` +
    `qemu-img check: ${counts.clean} clean, ${counts.leaks} leaks, ${counts.bad} corrupt`,
);
process.exitCode = counts.corrupt + counts.refused + counts.foreign + counts.bad === 0 ? 0 : 1;
