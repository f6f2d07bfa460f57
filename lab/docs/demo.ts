/**
 * The output of `nvtpm demo`, as the README shows it.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nvtpm } from '../program/cli.js';

/** The file that holds the output, from the root of the project. */
export const DEMO_OUTPUT = 'docs/demo.txt';

/**
 * Runs the demonstration in a folder of its own.
 * @throws Error with what it printed, if it fails
 */
export function demoOutput(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-demo-output-'));
  try {
    const { exit, out, err } = nvtpm(['demo'], folder);
    if (exit !== 0) throw new Error(`nvtpm demo ended with ${exit}:\n${out}${err}`);
    return out;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The output without what differs from run to run and from host to host: keys, digests, the maker of the
 * image, numbers, and where lines are broken.
 */
export const withoutChance = (output: string): string =>
  output
    .replaceAll(/image made by .*;/g, 'image made by …;')
    .replaceAll(/[0-9a-f]{2}(:[0-9a-f]{2})+|\b[0-9a-f]{16,}/g, '…')
    .replaceAll(/\d+/g, '…')
    .replaceAll(/\s+/g, ' ');
