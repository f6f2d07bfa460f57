/** Features of the format, each with the real QEMU as its measure or its maker. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import test from 'ava';
import { using, usingNode } from '../../lab/block/disk.js';
import { MemoryNode } from '../../lab/block/memory.js';
import { hex, scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, qemuIo, run } from '../../lab/peers/qemu.js';
import {
  type BackingReference,
  checkImage,
  createQcow2,
  formatQcow2,
  imageInfo,
  openFile,
  openImage,
  openQcow2,
  openRaw,
  repairImage,
} from '../../src/block/index.js';
import type { LockDriver } from '../../src/lock/lock.js';
import { peerTest } from '../_peers.js';

const MIB = 2 ** 20;
const PEERS = ['qemu-img', 'qemu-io'];
const allow = (): boolean => true;

/** Changes bytes of a file in place. */
function patch(path: string, at: number, bytes: string): void {
  const file = readFileSync(path);
  file.set(hex(bytes), at);
  writeFileSync(path, file);
}

peerTest('snapshots are listed as qemu-img lists them, and kept', PEERS, t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  qemuImg('snapshot', '-c', 'before', path);
  qemuImg('snapshot', '-c', 'noch eins ✓', path);
  const { snapshots } = using(path, imageInfo);
  t.deepEqual(
    snapshots.map(({ id, name, vmStateSize }) => ({ id, name, vmStateSize })),
    [
      { id: '1', name: 'before', vmStateSize: 0 },
      { id: '2', name: 'noch eins ✓', vmStateSize: 0 },
    ],
  );
  using(path, disk => disk.write(0, new Uint8Array(100_000).fill(1)));
  t.regex(qemuImg('snapshot', '-l', path), /before[\s\S]*noch eins ✓/);
  qemuImg('snapshot', '-d', 'before', path);
  t.is(qemuCheck(path), 0);
});

peerTest('the state of a machine beside the disk is kept', [...PEERS, 'qemu-system-x86_64'], t => {
  const path = join(scratch(t), 'vm.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  const saved = spawnSync(
    'qemu-system-x86_64',
    ['-S', '-nodefaults', '-display', 'none', '-monitor', 'stdio', '-m', '16'].concat([
      '-drive',
      `file=${path},if=virtio`,
    ]),
    { input: 'savevm s1\nquit\n' },
  );
  t.is(saved.status, 0);
  // The state lies behind the disk: the L1 table is longer than the disk needs.
  t.is(readFileSync(path).readUInt32BE(36), 2);
  t.true(using(path, imageInfo).snapshots[0]!.vmStateSize > 0);
  const digest = (): string => {
    const file = readFileSync(path);
    const at = file.indexOf('QEVM');
    return createHash('sha256')
      .update(file.subarray(at, at + 100_000))
      .digest('hex');
  };
  const before = digest();
  using(path, disk => {
    disk.write(0, new Uint8Array(MIB).fill(1));
    disk.truncate(600 * MIB);
    disk.write(512 * MIB, new Uint8Array(1000).fill(2));
  });
  t.is(digest(), before);
  t.is(qemuCheck(path), 0);
  qemuImg('snapshot', '-a', 's1', path);
  t.is(qemuCheck(path), 0);
});

peerTest('an overlay opens only what the caller allows', PEERS, t => {
  const folder = scratch(t);
  const [base, path] = [join(folder, 'base.qcow2'), join(folder, 'over.qcow2')];
  qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
  qemuIo(base, 'write -P 9 0 64k');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', path, '2M');

  t.throws(() => openImage(path), {
    code: 'UNSUPPORTED',
    message: /"base.qcow2".*not allowed/,
  });
  const asked: BackingReference[] = [];
  t.throws(() => openImage(path, { backing: each => asked.push(each) < 0 }));
  t.deepEqual(asked, [{ image: path, name: 'base.qcow2', path: base, format: 'qcow2' }]);

  using(
    path,
    disk => {
      t.is(disk.read(65_535, 1)[0], 9);
      t.is(disk.read(2 * MIB - 1, 1)[0], 0, 'past the end of the backing file');
      t.is(imageInfo(disk).backing, 'base.qcow2');
    },
    { readOnly: true, backing: allow },
  );
  using(
    path,
    alone => {
      t.throws(() => alone.read(0, 1), { message: /in the backing file, which was not opened/ });
      t.like(checkImage(alone), { corruptions: 0, leaks: 0 });
    },
    { readOnly: true, backing: 'ignore' },
  );
});

peerTest('a chain that comes back to itself, is too deep or leaves the machine', PEERS, t => {
  const folder = scratch(t);
  const create = (name: string, backing: string, format = 'qcow2'): string => {
    const path = join(folder, name);
    qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', backing, '-F', format, path, '1M');
    return path;
  };
  const refused = (path: string, message: RegExp): void =>
    void t.throws(() => openImage(path, { backing: allow }), {
      code: 'UNSUPPORTED',
      message,
    });
  const self = create('self', 'self');
  refused(self, /is a cycle: it contains "self" twice/);
  create('b', 'link-to-a');
  const a = create('a', 'b');
  symlinkSync('a', join(folder, 'link-to-a'));
  refused(a, /is a cycle: it contains "link-to-a" twice/);
  refused(create('net', 'nbd:localhost:10809', 'raw'), /not a file of this machine/);
  refused(create('vmdk', 'disk', 'vmdk'), /has the format "vmdk"/);
  for (let i = 0; i <= 70; i += 1)
    createQcow2(join(folder, `deep${i}`), {
      size: MIB,
      backing: { name: `deep${i + 1}`, format: 'qcow2' },
    });
  refused(join(folder, 'deep0'), /more than 64 images/);
  t.throws(() => openImage(create('gone', 'nowhere'), { backing: allow }), { code: 'IO' });
});

peerTest('growing an overlay does not uncover more of a longer backing file', PEERS, t => {
  for (const compat of ['0.10', '1.1']) {
    const folder = scratch(t);
    const path = join(folder, 'over.qcow2');
    writeFileSync(join(folder, 'base.raw'), new Uint8Array(2 * MIB).fill(0xbb));
    const options = `compat=${compat},backing_file=base.raw,backing_fmt=raw`;
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '100000');
    const length = using(
      path,
      disk => {
        const before = disk.length;
        disk.truncate(MIB);
        return before;
      },
      { backing: allow },
    );
    qemuIo(path, `read -P 0xbb 0 ${length}`, `read -P 0 ${length} ${MIB - length}`);
    t.is(qemuCheck(path), 0);
  }
});

peerTest('growing uncovers nothing that is mapped behind the disk', PEERS, t => {
  for (const compat of ['0.10', '1.1']) {
    const path = join(scratch(t), 'a.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', `compat=${compat}`, path, '1M');
    qemuIo(path, 'write -P 5 0 1M');
    // A machine's state that was gone back to lies there, or what a cut-off resize has left.
    patch(path, 24, '0000000000018600');
    using(path, disk => disk.truncate(MIB));
    qemuIo(path, 'read -P 5 0 99840', `read -P 0 99840 ${MIB - 99_840}`);
    t.is(qemuCheck(path), 0);
  }
});

peerTest('growing keeps what is there and takes further writes', PEERS, t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', path, '64k');
  using(path, disk => {
    disk.write(0, new Uint8Array(65_536).fill(1));
    disk.truncate(300 * MIB);
    disk.write(300 * MIB - 1000, new Uint8Array(1000).fill(2));
    t.throws(() => disk.truncate(MIB), { code: 'UNSUPPORTED', message: /does not shrink/ });
    t.throws(() => disk.truncate(2 ** 40), { message: /at most 32 MiB/ });
  });
  qemuIo(path, 'read -P 1 0 64k', `read -P 0 64k 1M`, `read -P 2 ${300 * MIB - 1000} 1000`);
  t.is(qemuCheck(path), 0);
});

peerTest('an image left dirty by a killed writer is repaired by the first write', PEERS, t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '8M');
  // `abort` ends qemu-io as kill -9 would: with lazy refcounts, none were written.
  run('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 0 1M', '-c', 'flush', '-c', 'abort', path);
  t.is(readFileSync(path)[79]! & 1, 1, 'the dirty bit is set');
  t.is(qemuCheck(path), 2);
  const before = readFileSync(path);
  using(path, disk => disk.read(0, 512), { readOnly: true });
  t.deepEqual(readFileSync(path), before, 'a reader changes nothing');

  using(path, disk => {
    t.is(disk.read(MIB - 1, 1)[0], 3);
    t.deepEqual(readFileSync(path), before, 'a read changes nothing either');
    disk.write(MIB, new Uint8Array(MIB).fill(4));
  });
  t.is(readFileSync(path)[79]! & 1, 0, 'the dirty bit is cleared');
  t.is(qemuCheck(path), 0);
  qemuIo(path, 'read -P 3 0 1M', 'read -P 4 1M 1M');
});

peerTest('unknown compatible bits and extensions are kept, autoclear bits cleared', PEERS, t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  patch(path, 80, '8000000000000000');
  patch(path, 88, '0000010000000000');
  // In place of the feature names: an unknown extension, and then the end.
  patch(path, 112, '12345678 00000005 68656c6c6f000000 0000000000000000');
  using(path, disk => disk.read(0, 512), { readOnly: true });
  t.is(readFileSync(path)[90], 1, 'a reader clears nothing');
  using(path, disk => {
    disk.write(0, new Uint8Array(10));
    disk.truncate(2 * MIB);
  });
  const file = readFileSync(path);
  t.is(file.readBigUInt64BE(80), 1n << 63n);
  t.is(file.readBigUInt64BE(88), 0n);
  t.deepEqual(file.subarray(112, 128), Buffer.from(hex('12345678 00000005 68656c6c6f000000')));
  t.is(qemuCheck(path), 0);
});

// What qemu-img 7.2 says of each is an input/output error; nothing is marked.
peerTest('a damaged compressed cluster is refused and marks nothing', PEERS, t => {
  for (const type of ['zlib', 'zstd']) {
    const folder = scratch(t);
    const [raw, path] = [join(folder, 'a.raw'), join(folder, 'a.qcow2')];
    writeFileSync(raw, new Uint8Array(MIB).fill(5));
    qemuImg('convert', '-c', '-O', 'qcow2', '-o', `compression_type=${type}`, raw, path);
    using(path, disk => t.is(disk.read(70_000, 1)[0], 5));
    const l2 = Number(readFileSync(path).readBigUInt64BE(0x3_0000) & 0xff_ffff_fe00n);
    const at = Number(readFileSync(path).readBigUInt64BE(l2) & 0x3f_ffff_ffff_ffffn);
    patch(path, at, 'ffffffffffffffffffffffffffff');
    using(path, damaged => {
      t.throws(() => damaged.read(0, 1), { code: 'DAMAGED', message: /cannot be unpacked/ });
      t.is(damaged.read(70_000, 1)[0], 5, 'the rest can still be read');
    });
    t.is(readFileSync(path)[79]! & 2, 0);
  }
});

peerTest('compressed data that would grow beyond its cluster is refused', PEERS, t => {
  const folder = scratch(t);
  const [raw, path] = [join(folder, 'a.raw'), join(folder, 'a.qcow2')];
  writeFileSync(raw, new Uint8Array(MIB).fill(5));
  qemuImg('convert', '-c', '-O', 'qcow2', raw, path);
  const bomb = deflateRawSync(new Uint8Array(64 * MIB));
  const l2 = Number(readFileSync(path).readBigUInt64BE(0x3_0000) & 0xff_ffff_fe00n);
  // The bomb goes to the end of the file, which starts a sector; 0 to 53 is the offset, then how
  // many sectors follow the first.
  const at = Math.ceil(statSync(path).size / 512) * 512;
  const entry = (1n << 62n) | (BigInt(Math.ceil(bomb.length / 512)) << 54n) | BigInt(at);
  writeFileSync(
    path,
    Buffer.concat([readFileSync(path), new Uint8Array(at - statSync(path).size), bomb]),
  );
  patch(path, l2, entry.toString(16).padStart(16, '0'));
  using(
    path,
    disk => {
      const before = process.memoryUsage.rss();
      t.throws(() => disk.read(0, 1), { code: 'DAMAGED', message: /cannot be unpacked/ });
      t.true(process.memoryUsage.rss() - before < 32 * MIB);
    },
    { readOnly: true },
  );
});

peerTest('preallocation takes what qemu-img takes', PEERS, t => {
  const folder = scratch(t);
  for (const preallocation of ['metadata', 'full'] as const) {
    const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')];
    createQcow2(ours, { size: 8 * MIB, preallocation, overwrite: true });
    qemuImg('create', '-q', '-f', 'qcow2', '-o', `preallocation=${preallocation}`, theirs, '8M');
    t.is(statSync(ours).size, statSync(theirs).size, preallocation);
    t.is(qemuCheck(ours), 0);
    using(ours, disk => {
      t.is(checkImage(disk).allocatedClusters, 128);
      disk.write(0, new Uint8Array(8 * MIB).fill(1));
    });
    t.is(statSync(ours).size, statSync(theirs).size, 'no later write allocates');
    qemuIo(ours, 'read -P 1 0 8M');
  }
  const full = join(folder, 'ours');
  t.true(statSync(full).blocks * 512 >= 8 * MIB, 'the space is really taken');
});

peerTest('leaks are repaired, and a leak is no damage', PEERS, t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  patch(path, 0x2_0000 + 8, '0001');
  truncateSync(path, 0x5_0000);
  using(
    path,
    disk => {
      t.like(checkImage(disk), { corruptions: 0, leaks: 1, checkErrors: 0 });
      t.like(repairImage(disk, 'leaks'), { corruptions: 0, leaks: 0, leaksFixed: 1 });
    },
    { forRepair: true },
  );
  t.is(qemuCheck(path), 0);
});

test('snapshots that claim the same tables without end are not followed without end', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: MIB });
  const entry = new DataView(new ArrayBuffer(40));
  // An L1 table of 32 MiB that starts at the refcount block, 65,536 times.
  entry.setBigUint64(0, 0x2_0000n);
  entry.setUint32(8, 2 ** 22);
  const table = new Uint8Array(40 * 65_536);
  for (let i = 0; i < 65_536; i += 1) table.set(new Uint8Array(entry.buffer), i * 40);
  file.write(0x10_0000, table);
  const header = new DataView(new ArrayBuffer(12));
  header.setUint32(0, 65_536);
  header.setBigUint64(4, 0x10_0000n);
  file.write(60, new Uint8Array(header.buffer));
  const { checkErrors, problems } = usingNode(openQcow2(file), checkImage);
  t.is(checkErrors, 1);
  t.true(problems.length <= 200);
});

test('a terabyte of nothing opens in little memory', t => {
  const path = join(scratch(t), 'sparse.qcow2');
  createQcow2(path, { size: 2 ** 40 });
  truncateSync(path, 2 ** 40);
  const before = process.memoryUsage.rss();
  using(path, disk => {
    disk.write(2 ** 39, new Uint8Array(1000).fill(1));
    t.is(disk.read(2 ** 40 - 1, 1)[0], 0);
    t.like(checkImage(disk), { corruptions: 0, checkErrors: 0 });
  });
  t.true(process.memoryUsage.rss() - before < 64 * MIB);
});

/** A driver that does something else where it is to lock a file for the first time. */
const meddling = (path: string, meddle: () => boolean): LockDriver => {
  let free: boolean | undefined;
  return {
    flavour: 'ofd',
    tryLock: () => (free ??= existsSync(path) && meddle()),
    unlock: () => {},
    holder: () => undefined,
  } as Partial<LockDriver> as LockDriver;
};

test('a new image that another process has locked or formatted first is left alone', t => {
  const path = join(scratch(t), 'a.qcow2');
  const locked = meddling(path, () => false);
  t.throws(() => createQcow2(path, { size: MIB, lockDriver: () => locked }), { code: 'LOCKED' });
  t.is(statSync(path).size, 0, 'it is not removed');
  unlinkSync(path);

  const formatted = meddling(path, () => {
    writeFileSync(path, 'precious');
    return true;
  });
  const error = { code: 'IO', message: /EEXIST/ };
  t.throws(() => createQcow2(path, { size: MIB, lockDriver: () => formatted }), error);
  t.is(readFileSync(path, 'utf8'), 'precious');
  unlinkSync(path);

  const backing = { name: 'n'.repeat(2000), format: 'raw' } as const;
  t.throws(() => createQcow2(path, { size: MIB, backing }), { code: 'UNSUPPORTED' });
  t.false(existsSync(path), 'what could not be formatted is removed');
});

test('a raw disk is the file, within its length', t => {
  const path = join(scratch(t), 'a.raw');
  writeFileSync(path, new Uint8Array(1024).fill(1));
  usingNode(openRaw(openFile(path)), disk => {
    disk.write(1000, new Uint8Array(24).fill(2));
    t.is(disk.read(1023, 1)[0], 2);
    t.throws(() => disk.write(1000, new Uint8Array(25)), { code: 'RANGE' });
    t.throws(() => disk.read(0, 1025), { code: 'RANGE' });
    t.is(imageInfo(disk).format, 'raw');
    t.throws(() => checkImage(disk), { code: 'NOT_QCOW2' });
  });
});
