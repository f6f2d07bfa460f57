/** `nvtpm create`: new images and existing ones. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { createQcow2 } from '../../src/block/index.js';
import { cli } from './_in-process.js';

test('an existing image is formatted as it is; --size and -o are refused by name', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  createQcow2(image, { size: 2 ** 20 });
  const before = readFileSync(image);
  // biome-ignore format: table
  const cases: readonly [options: readonly string[], why: RegExp][] = [
    [['--size', '1G'],                                /exists: --size is for new images/],
    [['-o', 'cluster_size=2M,refcount_bits=1'],       /exists: -o is for new images/],
    [['--size', '1G', '-o', 'compat=v3'],             /exists: --size and -o are for new images/],
  ];
  for (const [options, why] of cases) {
    const run = await cli(['create', image, ...options]);
    t.is(run.exit, 2, run.out);
    t.regex(run.err, why);
  }
  t.deepEqual(readFileSync(image), before);
  const run = await cli(['create', image, '--json']);
  t.like(run.json(), { made: false, virtualSize: 2 ** 20 } as never);
});

// biome-ignore format: table
const REFUSED: readonly [options: readonly string[], why: RegExp][] = [
  [['--size', '100k'],                    /invalid --size "100k": a store needs 256 KiB at least/],
  [['--max-blob', '1'],                   /invalid --max-blob "1": the state of a TPM needs up to 40 KiB; expected 40 KiB to 4 MiB/],
  [['--max-blob', '39k'],                 /expected 40 KiB to 4 MiB/],
  [['--max-blob', '5M'],                  /expected 40 KiB to 4 MiB/],
  [['--keep', '1000000'],                 /invalid --keep "1000000": expected a number of states, 0 to \d+/],
  [['-o', 'cluster_size=3'],              /invalid -o .*cluster_size: expected a power of two, 512 to 2M/],
  [['-o', 'cluster_size=4M'],             /cluster_size: expected a power of two/],
  [['-o', 'cluster_size'],                /cluster_size: expected a size/],
  [['-o', 'refcount_bits=3'],             /refcount_bits: expected one of 1, 2, 4, 8, 16, 32, 64/],
  [['-o', 'compat=2'],                    /compat: expected one of 0\.10, v2, 1\.1, v3/],
  [['-o', 'lazy_refcounts=maybe'],        /lazy_refcounts: expected one of on, off/],
  [['-o', 'preallocation=some'],          /preallocation: expected one of off, metadata, falloc, full/],
  [['-o', 'color=blue'],                  /expected one of cluster_size, refcount_bits/],
  [['-o', 'toString=1'],                  /expected one of cluster_size/],
  [['-o', ''],                            /expected one of cluster_size/],
  [['-o', 'compat=0.10,refcount_bits=8'], /cannot be made unless/],
];
test('options that no image can have are USAGE, with what to write, and no file is made', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  for (const [options, why] of REFUSED) {
    const run = await cli(['create', image, ...options]);
    t.is(run.exit, 2, run.out + run.err);
    t.regex(run.err, why);
    t.false(existsSync(image), options.join(' '));
  }
});

test('the least --max-blob holds a TPM', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', image, '--max-blob', '40k'])).exit, 0);
  t.is((await cli(['exec', image, '00c10000000e0000004600000008'])).exit, 0);
});
