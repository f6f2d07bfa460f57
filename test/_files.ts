/** Places for test files: a fresh directory each, gone when the test is over; and the fixtures. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

/** The project's root, seen from dist/test/. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A new empty directory that is removed after the test. */
export function scratch(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A file of fixtures/, parsed as JSON. */
export const fixture = <T>(name: string): T =>
  JSON.parse(readFileSync(join(ROOT, 'fixtures', name), 'utf8')) as T;

export const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** The 32-bit number at an offset. */
export const word = (bytes: Uint8Array, at = 0): number => Buffer.from(bytes).readUInt32BE(at);
