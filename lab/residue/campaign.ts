/**
 * Cuts the power at every write and flush of an encryption of a plain store, lets the next instance open
 * the store with its key, and searches the whole file for clear text. A cut before the commit leaves a
 * plain store, in which the secrets are.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { PROGRAM } from '../program/program.js';
import { asOwner, encrypt, kindOf, reopen } from '../subject.js';
import { copiesIn, LEAVE_SECRETS, SECRETS, type SecretName } from './secrets.js';

export interface Report {
  readonly clusterSize: string;
  /** Writes and flushes of the encryption. */
  readonly steps: number;
  /** Disks that a cut left. */
  readonly cuts: number;
  /** What the store on them was: `plain`, `encrypted`, or its fault. */
  readonly stores: Readonly<Record<string, number>>;
  /** Copies of each secret before the encryption. */
  readonly before: Readonly<Record<SecretName, number>>;
  /** Encrypted stores in which a secret was found after they were opened with the key. */
  readonly leaking: Readonly<Record<SecretName, number>>;
  readonly seconds: number;
}

const KEY = new Uint8Array(32).fill(0x5a);

export const failed = ({ stores, leaking, before }: Report): boolean =>
  Object.keys(stores).some(kind => kind !== 'plain' && kind !== 'encrypted') ||
  Object.values(leaking).some(count => count > 0) ||
  Object.values(before).some(count => count === 0);

/** @param landings how many ways to let unflushed sectors land are tried at each step */
export function searchResidue(clusterSize: string, landings: number): Report {
  const started = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-residue-'));
  try {
    const image = imageWithSecrets(join(folder, 'tpm.qcow2'), clusterSize);
    return { clusterSize, ...search(image, landings), seconds: secondsSince(started) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const secondsSince = (start: number): number => Math.round((performance.now() - start) / 1000);

function search(image: Uint8Array, landings: number): Omit<Report, 'clusterSize' | 'seconds'> {
  const before = copiesIn(image);
  const stores: Record<string, number> = {};
  const leaking = Object.fromEntries(Object.keys(before).map(name => [name, 0])) as typeof before;
  let [steps, cuts] = [0, 0];
  const Disk = sampledDisk(landings);
  for (const { step, finished, disk } of everyPowerCut(image, d => encrypt(d, KEY), { Disk })) {
    steps = step;
    cuts += 1;
    const kind = kindOf(disk);
    const counted = finished && kind === 'plain' ? 'plain after the end' : kind;
    stores[counted] = (stores[counted] ?? 0) + 1;
    if (kind !== 'encrypted') continue;
    reopen(disk, KEY);
    for (const [name, copies] of Object.entries(copiesIn(disk.read(0, disk.length)))) {
      if (copies > 0) leaking[name as SecretName] += 1;
    }
  }
  return { steps, cuts, stores, before, leaking };
}

/** Makes the image at `path` and gives its bytes. */
function imageWithSecrets(path: string, clusterSize: string): Uint8Array {
  const options = ['--keep', '1', '-o', `cluster_size=${clusterSize}`];
  execFileSync(process.execPath, [PROGRAM, 'create', path, ...options], { stdio: 'ignore' });
  asOwner(path, SECRETS["the owner's auth"], owner => {
    owner.take();
    for (const step of LEAVE_SECRETS) {
      if ('define' in step) owner.define(step.define, step.size);
      else owner.write(step.write, step.bytes);
    }
  });
  return readFileSync(path);
}

/** A disk of whose landings a few are looked at: nothing, everything, and random ones. */
function sampledDisk(landings: number): typeof SimulatedDisk {
  let seed = 1;
  const random = (options: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor(seed / 65_536) % options;
  };
  return class extends SimulatedDisk {
    override *wreckages(): Generator<Uint8Array, void, void> {
      yield this.wreckage(() => 0);
      if (this.landings === 1) return;
      yield this.wreckage(options => options - 1);
      for (let left = landings - 2; left > 0; left -= 1) yield this.wreckage(random);
    }
  };
}
