/**
 * Where state goes to and comes from besides images: `swtpm-dir:DIR`, `swtpm-file:FILE`, `blobs:DIR`.
 * @module
 */
import type { BlobStore } from '../nvram/index.js';
import {
  openSwtpmBlobs,
  openSwtpmDirectory,
  type SwtpmDirectoryOptions,
  SwtpmLinear,
} from '../nvram/swtpm/index.js';
import { UsageError } from './output.js';

export interface Place {
  readonly kind: keyof typeof KINDS;
  readonly path: string;
}

/** A store whose files can be named. */
export type PlaceStore = BlobStore & { readonly files: readonly string[] };

const KINDS = {
  'swtpm-dir': openSwtpmDirectory,
  'swtpm-file': (path: string, options: SwtpmDirectoryOptions) => new SwtpmLinear(path, options),
  blobs: openSwtpmBlobs,
} satisfies Record<string, (path: string, options: SwtpmDirectoryOptions) => PlaceStore>;

export const PLACE_FORM =
  'swtpm-dir:DIR (--tpmstate dir=), swtpm-file:FILE (backend-uri=file://) or blobs:DIR (permanent, volatile, savestate of swtpm_ioctl)';

/** @throws UsageError */
export function parsePlace(text: string): Place {
  const at = text.indexOf(':');
  const [kind, path] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  if (path !== '' && Object.hasOwn(KINDS, kind)) return { kind: kind as Place['kind'], path };
  throw new UsageError('expected swtpm-dir:DIR, swtpm-file:FILE or blobs:DIR');
}

/** @throws SwtpmError; LockError LOCKED; IoError */
export const openPlace = ({ kind, path }: Place, options: SwtpmDirectoryOptions): PlaceStore =>
  KINDS[kind](path, options);
