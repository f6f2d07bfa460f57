/** Places for files of a test or a campaign: a fresh directory each; and the fixtures. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What ends after the current test or case, as ava's ExecutionContext has it. */
export interface Scope {
  teardown(act: () => void): void;
}

/** The project's root, seen from dist/lab/. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A new empty directory that is removed after the test. */
export function scratch(t: Scope): string {
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
