/** The package as npm packs it, unpacked beside its dependencies: what a user gets from `npm install`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../../lab/files.js';

/** The fields of package.json that tests read. */
export interface Manifest {
  readonly name: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}

export const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;

/** A packed package. */
export interface Packed {
  /** The tarball's bytes. */
  readonly tarball: Uint8Array<ArrayBuffer>;
  /** The paths in it. */
  readonly files: readonly string[];
  /** A folder with the package in its node_modules. */
  readonly folder: string;
  /** The package's own folder. */
  readonly root: string;
}

interface PackReport {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/**
 * Packs what is built, without building it again, and installs it in a new folder, which is removed
 * after the tests of the file.
 */
export function pack(): Packed {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-package-'));
  test.after.always(() => rmSync(folder, { recursive: true, force: true }));
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const report = execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
  const [{ filename, files }] = JSON.parse(report) as [PackReport];
  const root = join(folder, 'node_modules', MANIFEST.name);
  mkdirSync(root, { recursive: true });
  execFileSync('tar', ['xzf', join(folder, filename), '--strip-components=1', '-C', root]);
  for (const name of Object.keys(MANIFEST.dependencies)) {
    symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
  }
  const tarball = new Uint8Array(readFileSync(join(folder, filename)));
  return { tarball, files: files.map(({ path }) => path), folder, root };
}
