/**
 * Fault A5 (attacks.md, row 5): a small file whose store claims a huge blob on a sparse disk. Claims are
 * refused before anything is read: `info` says CORRUPT at once and takes no memory for them.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import { qemuImg } from '../../../lab/peers/qemu.js';
import { nvtpm, PROGRAM } from '../../../lab/program/cli.js';
import { Qcow2Map } from '../../../lab/qcow2-map.js';
import { peerTest } from '../../_peers.js';
import { ENTRY, FIELD, Forgery } from './_forgery.js';
import { GET_RANDOM, sha256 } from './_verdicts.js';

const GIB = 2 ** 30;
const DISK_BYTES = 2 ** 41;
/** Where the claimed blob begins on the disk: the start of an L2 table's range. */
const CLAIM_OFFSET = GIB;
const RSS_MAX_KIB = 300 * 1024;
/** Processor time: far above what a refusal takes, far below what reading the claim takes. */
const CPU_SECONDS_MAX = 20;

const folder = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
const SOUND = join(folder, 'sound.qcow2');
test.before(() => {
  nvtpm(['create', SOUND]);
  nvtpm(['exec', SOUND, GET_RANDOM]);
});
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** An image on a sparse disk of 2 TiB, whose store claims a permall of `length` bytes. */
function claiming(t: ExecutionContext, length: number): string {
  const path = join(scratch(t), 'tpm.qcow2');
  copyFileSync(SOUND, path);
  qemuImg('resize', '-q', path, String(DISK_BYTES));
  new Forgery(path).forge(directory => {
    directory.set(FIELD.areaLength, DISK_BYTES);
    directory.set(FIELD.blobLimit, 0xffff_ffff);
    const entry = directory.entry('permall');
    entry?.set(ENTRY.offset, CLAIM_OFFSET);
    entry?.set(ENTRY.length, length);
  });
  return path;
}

/** Maps `length` bytes at the claim to one and the same cluster, so that reading them takes memory. */
function mapToOneCluster(path: string, length: number): void {
  const file = readFileSync(path);
  const map = new Qcow2Map(file);
  const l2Entry = Buffer.alloc(8);
  l2Entry.writeBigUInt64BE(BigInt(map.hostOf(0)!));
  const bytesPerL2 = (map.clusterSize / 8) * map.clusterSize;
  const tables = Math.ceil(length / bytesPerL2);
  const first = Math.ceil(file.length / map.clusterSize) * map.clusterSize;
  const grown = Buffer.alloc(first + tables * map.clusterSize, l2Entry);
  file.copy(grown);
  for (let i = 0; i < tables; i += 1) {
    const l1Index = CLAIM_OFFSET / bytesPerL2 + i;
    grown.writeBigUInt64BE(BigInt(first + i * map.clusterSize), map.l1.offset + 8 * l1Index);
  }
  writeFileSync(path, grown);
}

/** Says on file descriptor 3 how much memory the process took at most. */
const PEAK = `data:text/javascript,${encodeURIComponent(
  `import { writeSync } from 'node:fs';
   process.on('exit', () => writeSync(3, String(process.resourceUsage().maxRSS)));`,
)}`;

/** Demands that `command` refuses the image as CORRUPT, soon, in little memory. */
function refusedAtOnce(t: ExecutionContext, command: 'info' | 'check', path: string): void {
  const before = sha256(path);
  const limited = ['-c', `ulimit -t ${CPU_SECONDS_MAX}; exec "$0" "$@"`, process.execPath];
  const args = [...limited, '--import', PEAK, PROGRAM, command, path];
  const { status, stdout, stderr, output } = spawnSync('bash', args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  t.is(status, 4, `${stdout}${stderr}`);
  const peak = Number(output[3]);
  t.true(peak > 0 && peak < RSS_MAX_KIB, `it took ${peak} KiB`);
  t.is(sha256(path), before);
}

for (const gib of [1, 4]) {
  peerTest(`info of a blob that claims ${gib} GiB, all of it mapped: CORRUPT`, ['qemu-img'], t => {
    const path = claiming(t, gib * GIB);
    mapToOneCluster(path, gib * GIB);
    refusedAtOnce(t, 'info', path);
  });
}

for (const gib of [16, 1024]) {
  for (const command of ['info', 'check'] as const) {
    peerTest(`${command} of a blob that claims ${gib} GiB of nothing: CORRUPT`, ['qemu-img'], t =>
      refusedAtOnce(t, command, claiming(t, gib * GIB)),
    );
  }
}
