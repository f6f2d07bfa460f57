/**
 * koffi, by which the system's own calls are made. It is loaded with the first of them and never at
 * import: the package must import where koffi has no build.
 * @module
 */
import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

/** @throws Error where koffi cannot be loaded */
export const loadKoffi = (): Koffi => createRequire(import.meta.url)('koffi') as Koffi;
