/**
 * Damaged qcow2 images, one damage each, and what QEMU decides about them: refused at open, refused at
 * the access, done; corrupt bit set; the counts of the check. The values are those of QEMU's own
 * bad-input tests and some more; where we differ on purpose, the row says why.
 * @module
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hex, ROOT } from '../files.js';
import { qemuCheck, qemuImg, qemuIo, run } from '../peers/qemu.js';
import { writeSums } from '../recorder/sums.js';

export type Access = 'done' | 'refused at open' | 'failed';

export interface Decision {
  readonly read: Access;
  readonly write: Access;
  /** Whether the image is marked corrupt after the write was tried. */
  readonly marked: boolean;
  /** Whether the file is as it was after that. */
  readonly untouched: boolean;
  /** Exit code of a check: 0 clean, 1 not checked, 2 corrupt, 3 leaks. */
  readonly check: number | null;
  readonly corruptions: number;
  readonly leaks: number;
  /** What the real check says after a repair of leaks, and after one of everything. */
  readonly afterLeaks: number | null;
  readonly afterAll: number | null;
}

const REFTABLE = 0x1_0000;
const REFBLOCK = 0x2_0000;
const L1 = 0x3_0000;
const L2 = 0x4_0000;

export type Base = 'fresh' | 'data' | 'data2' | 'snapshot' | 'compressed' | 'one bit';

const bases = new Map<Base, Buffer>();

/** A new copy of a base image. */
export function copyOf(base: Base, folder: string): string {
  const path = join(folder, 'image.qcow2');
  const known = bases.get(base);
  if (known === undefined) {
    makeBase(path, base);
    bases.set(base, readFileSync(path));
  } else {
    writeFileSync(path, known);
  }
  return path;
}

/** A 64 MiB image with 64 KiB clusters; with data, L2 at 0x40000 and guest 0 at 0x50000. */
function makeBase(path: string, base: Base): void {
  const compat = base === 'data2' ? ',compat=0.10' : '';
  const width = base === 'one bit' ? ',refcount_bits=1' : '';
  const options = `cluster_size=65536${compat}${width}`;
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '64M');
  if (base === 'compressed') qemuIo(path, 'write -c -P 5 0 64k');
  else if (base !== 'fresh') qemuIo(path, 'write -P 5 0 64k');
  if (base === 'snapshot') {
    qemuImg('snapshot', '-c', 's1', path);
    qemuIo(path, 'write -P 6 0 64k');
  }
}

type Damage = (path: string) => void;

const put =
  (at: number, bytes: string): Damage =>
  path => {
    const file = readFileSync(path);
    const padded = Buffer.alloc(Math.max(file.length, at + bytes.length / 2));
    file.copy(padded);
    padded.set(hex(bytes), at);
    writeFileSync(path, padded);
  };
const cut =
  (length: number): Damage =>
  path =>
    truncateSync(path, length);
const all =
  (...damages: readonly Damage[]): Damage =>
  path => {
    for (const damage of damages) damage(path);
  };

export interface Row {
  readonly name: string;
  readonly base: Base;
  readonly damage: Damage;
  /** Where we decide otherwise, and why. */
  readonly differs?: { readonly why: string } & Partial<Decision>;
}

const header = (name: string, at: number, bytes: string, differs?: Row['differs']): Row => ({
  name,
  base: 'fresh',
  damage: put(at, bytes),
  ...(differs === undefined ? {} : { differs }),
});
const data = (name: string, at: number, bytes: string, differs?: Row['differs']): Row => ({
  ...header(name, at, bytes, differs),
  base: 'data',
});

const ONE_RUN = { why: 'our repair needs one run where QEMU needs several', afterAll: 0 } as const;
const KEEPS_TABLE = { why: 'we keep the snapshot table as it is', afterAll: 2 } as const;

// biome-ignore format: table
export const ROWS: readonly Row[] = [
  { name: 'nothing', base: 'fresh', damage: () => {} },
  { name: 'nothing, with data', base: 'data', damage: () => {} },
  { name: 'nothing, with a snapshot', base: 'snapshot', damage: () => {} },
  { name: 'nothing, compressed', base: 'compressed', damage: () => {} },
  // The header.
  header('magic',                              0, '514649fa'),
  header('version 0',                          4, '00000000'),
  header('version 1',                          4, '00000001'),
  header('version 4',                          4, '00000004'),
  header('cluster bits 0',                    20, '00000000'),
  header('cluster bits 8',                    20, '00000008'),
  header('cluster bits 22',                   20, '00000016'),
  header('cluster bits 63',                   20, '0000003f'),
  header('cluster bits 64',                   20, '00000040'),
  header('cluster bits 2^32-1',               20, 'ffffffff'),
  header('header length 2^32-1',             100, 'ffffffff'),
  header('header length 2^31-1',             100, '7fffffff'),
  header('header length 103',                100, '00000067'),
  header('header length 104',                100, '00000068'),
  header('header length 105',                100, '00000069'),
  header('backing offset ff*8',                8, 'ffffffffffffffff'),
  header('extension too long',               112, '123456787fffffff'),
  { name: 'extension too long, with a name behind it', base: 'fresh', damage: all(put(8, '000000000000100000000004'), put(112, '123456787fffffff')) },
  header('backing name of no bytes',           8, '0000000000000210'),
  header('refcount table 2^32-1 clusters',    56, 'ffffffff'),
  header('refcount table 0x20001 clusters',   56, '00020001'),
  header('no refcount table',                 56, '00000000'),
  header('refcount table not aligned',        48, '1234567890abcdef'),
  header('refcount table at -64k',            48, 'ffffffffffff0000'),
  header('refcount table at 0',               48, '0000000000000000'),
  header('2^32-1 snapshots',                  60, 'ffffffff'),
  header('2^31-1 snapshots',                  60, '7fffffff'),
  header('65537 snapshots',                   60, '00010001'),
  { name: '65535 snapshots at -64k', base: 'fresh', damage: all(put(60, '0000ffff'), put(64, 'ffffffffffff0000')) },
  header('snapshots not aligned',             64, '1234567890abcdef'),
  { name: '65536 snapshots in a hole', base: 'fresh', damage: all(put(60, '00010000'), put(64, '0000000001000000')), differs: KEEPS_TABLE },
  header('L1 of 2^32-1 entries',              36, 'ffffffff'),
  header('L1 of 2^31-1 entries',              36, '7fffffff'),
  header('L1 at 2^63-64k',                    40, '7fffffffffff0000'),
  header('L1 not aligned',                    40, '1234567890abcdef'),
  header('L1 of no entries',                  36, '00000000'),
  header('backing name too long',              8, '0000000000001000ffffffff'),
  header('size 2^63-1',                       24, '7fffffffffffffff'),
  header('size 2^64-1',                       24, 'ffffffffffffffff'),
  header('refcount order 7',                  96, '00000007'),
  header('refcount order 0 on 16 bits',       96, '00000000'),
  header('encryption 3',                      32, '00000003'),
  header('dirty',                             72, '0000000000000001'),
  header('corrupt',                           72, '0000000000000002'),
  header('data file, none named',             72, '0000000000000004'),
  header('compression bit, type 0',           72, '0000000000000008'),
  header('compression type 1, no bit',       104, '01'),
  header('compression type 2',               104, '02'),
  header('unknown incompatible bit 5',        72, '0000000000000020'),
  header('unknown incompatible bit 63',       72, '8000000000000000'),
  header('unknown compatible bits',           80, 'fffffffffffffffe'),
  header('autoclear bit 1, no data file',     88, '0000000000000002'),
  header('autoclear bit 0, no bitmaps',       88, '0000000000000001',
    { why: 'we clear the bit and have no bitmap directory to protect at offset 0', write: 'done', marked: false }),
  header('autoclear bit 40',                  88, '0000010000000000'),
  { name: 'cut to 100 bytes', base: 'fresh', damage: cut(100) },
  { name: 'cut before the refcount block', base: 'fresh', damage: cut(REFBLOCK) },
  { name: 'cut before L1', base: 'fresh', damage: cut(L1) },
  // The structure, as QEMU's test 060 has it.
  header('L1[0] = L1 itself',                 L1, '8000000000030000', ONE_RUN),
  data('L2[0] = refcount block',              L2, '8000000000020000'),
  data('refcount of cluster 0 is 0',    REFBLOCK, '0000'),
  { name: 'refcount of cluster 0 is 0, fresh', base: 'fresh', damage: put(REFBLOCK, '0000') },
  data('L1[0] not aligned',                   L1, '8000000000042a00'),
  data('L2[0] not aligned',                   L2, '8000000000052a00'),
  data('L2[0] not aligned, zero flag',        L2, '8000000000052a01'),
  data('refcount table[0] not aligned', REFTABLE, '0000000000022a00', ONE_RUN),
  header('refcount table[0] not aligned, fresh', REFTABLE, '0000000000022a00', ONE_RUN),
  header('refcount table[0] = 0',       REFTABLE, '0000000000000000'),
  data('refcount table[0] = 0, data',   REFTABLE, '0000000000000000'),
  header('refcount block zeroed',       REFBLOCK, '0000000000000000'),
  { name: 'dirty and refcount table[0] wild', base: 'data', damage: all(put(72, '0000000000000001'), put(REFTABLE, 'ffffffffffff2a00')),
    differs: { why: 'we rebuild the refcounts on opening, for which QEMU needs a second run of its check', write: 'done', marked: false, afterAll: 0 } },
  header('refcount table[1] outside',  REFTABLE + 8, '00ffffff00000000'),
  { name: 'refcount table[1] outside, one bit', base: 'one bit', damage: put(REFTABLE + 8, '0000001000000000') },
  // Entries of our own invention.
  { name: 'leak', base: 'data', damage: all(put(REFBLOCK + 12, '0001'), put(0x6_0000, '00')) },
  data('data refcount 2',        REFBLOCK + 10, '0002'),
  data('data refcount 0',        REFBLOCK + 10, '0000'),
  data('L2[0] not copied',                   L2, '0000000000050000'),
  data('L1[0] not copied',                   L1, '0000000000040000'),
  data('L1[0] reserved bits',                L1, '8000000000040001'),
  data('L1[0] reserved high bits',           L1, 'c100000000040000'),
  data('L2[0] reserved bits',                L2, '8000000000050102'),
  data('L2[0] reserved high bits',           L2, 'a100000000050000'),
  data('two guest clusters, one cluster', L2 + 8, '8000000000050000'),
  data('L2[0] past the end',                 L2, '8000000010000000'),
  data('L1[0] past the end',                 L1, '8000000010000000'),
  data('L2[0] copied only',                  L2, '8000000000000000'),
  data('L2[0] = 2^56 - 64k',                 L2, '80ffffffffff0000'),
  { name: 'zero flag in version 2', base: 'data2', damage: put(L2, '8000000000050001') },
  data('zero flag and offset',               L2, '8000000000050001'),
  data('zero flag alone',                    L2, '0000000000000001'),
  { name: 'compressed garbage', base: 'compressed', damage: put(0x5_0000, 'ffffffffffffffffffff') },
  { name: 'compressed and copied', base: 'compressed', damage: put(L2, 'c000000000050000') },
  { name: 'compressed past the end', base: 'compressed', damage: put(L2, '4000000010050000') },
  data('refcount past the end', REFBLOCK + 2000, '0001'),
  // Snapshots: the table at 0x80000 or so is found by the header.
  { name: 'active L2[0] = inactive L2', base: 'snapshot', damage: activeL2('8000000000040000') },
  { name: 'active L2[0] = the snapshot\'s data, copied', base: 'snapshot', damage: activeL2('8000000000050000') },
  { name: 'snapshot L1 not aligned', base: 'snapshot', damage: inSnapshotTable(0, '0000000000400200') },
  { name: 'snapshot L1 too large',   base: 'snapshot', damage: inSnapshotTable(8, '10000000') },
  { name: 'snapshot with much extra data', base: 'snapshot', damage: inSnapshotTable(36, '00000401'), differs: { ...KEEPS_TABLE, afterAll: 1 } },
  { name: 'snapshot with little extra data', base: 'snapshot', damage: inSnapshotTable(36, '00000008'), differs: KEEPS_TABLE },
];

/** Bytes at a place in the snapshot table, wherever that is. */
function inSnapshotTable(at: number, bytes: string): Damage {
  return path => {
    const offset = Number(readFileSync(path).readBigUInt64BE(64));
    put(offset + at, bytes)(path);
  };
}

/** Bytes at the start of the first active L2 table, wherever that is. */
function activeL2(bytes: string): Damage {
  return path => {
    const file = readFileSync(path);
    const l1 = file.readBigUInt64BE(Number(file.readBigUInt64BE(40)));
    put(Number(l1 & 0xff_ffff_ffff_fe00n), bytes)(path);
  };
}

export const isMarked = (path: string): boolean => {
  const file = readFileSync(path);
  return file.length > 80 && file.readUInt32BE(4) >= 3 && (file[79]! & 2) !== 0;
};

function qemuAccess(path: string, ...command: readonly string[]): Access {
  const { status, text } = run('qemu-io', '-f', 'qcow2', ...command, path);
  if (/can't open/i.test(text)) return 'refused at open';
  return status !== 0 || /failed/i.test(text) ? 'failed' : 'done';
}

export function qemuDecides(path: string): Decision {
  const copy = `${path}.qemu`;
  copyFileSync(path, copy);
  const read = qemuAccess(copy, '-r', '-c', 'read 0 512');
  const { status, text } = run('qemu-img', 'check', '-f', 'qcow2', '--output=json', copy);
  const start = text.indexOf('{');
  const counts: Record<string, number> =
    start < 0 ? {} : JSON.parse(text.slice(start, text.lastIndexOf('}') + 1));
  const write = qemuAccess(copy, '-c', 'write -P 1 0 512');
  return {
    read,
    write,
    marked: isMarked(copy),
    untouched: readFileSync(copy).equals(readFileSync(path)),
    check: status,
    corruptions: counts['corruptions'] ?? 0,
    leaks: counts['leaks'] ?? 0,
    ...repaired(path, (repairs, each) => {
      run('qemu-img', 'check', '-f', 'qcow2', '-r', repairs, each);
    }),
  };
}

export type Repair = (repairs: 'leaks' | 'all', path: string) => void;

export function repaired(path: string, repair: Repair): Pick<Decision, 'afterLeaks' | 'afterAll'> {
  const after = (repairs: 'leaks' | 'all'): number | null => {
    const copy = `${path}.${repairs}`;
    copyFileSync(path, copy);
    repair(repairs, copy);
    return qemuCheck(copy);
  };
  return { afterLeaks: after('leaks'), afterAll: after('all') };
}

/** What a QEMU decided, by title of the row. */
export interface Recording {
  /** The version of the QEMU, as `qemu-img --version` prints it. */
  readonly source: string;
  readonly recordedBy: string;
  readonly decisions: Readonly<Record<string, Decision>>;
}

export const titleOf = ({ base, name }: Row): string => `${base}: ${name}`;
export const qemuVersion = (): string => run('qemu-img', '--version').text.split('\n')[0]!;

const RECORDING = join(ROOT, 'fixtures', 'qemu', 'bad-input.json');
export const recording = (): Recording => JSON.parse(readFileSync(RECORDING, 'utf8'));

/** Writes fixtures/qemu/bad-input.json. @returns the number of rows */
export function recordDecisions(): number {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-damages-'));
  const lines = ROWS.map(row => {
    const path = copyOf(row.base, folder);
    row.damage(path);
    return `${JSON.stringify(titleOf(row))}: ${JSON.stringify(qemuDecides(path))}`;
  });
  rmSync(folder, { recursive: true, force: true });
  const head = `"source": ${JSON.stringify(qemuVersion())},\n"recordedBy": "scripts/record-bad-input.ts"`;
  mkdirSync(join(ROOT, 'fixtures', 'qemu'), { recursive: true });
  writeFileSync(RECORDING, `{\n${head},\n"decisions": {\n${lines.join(',\n')}\n}\n}\n`);
  writeSums();
  return ROWS.length;
}
