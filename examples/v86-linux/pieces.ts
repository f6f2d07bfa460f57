/**
 * Where fetch.sh has put what the example needs.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const FOLDER = process.env['NVTPM_V86'] ?? join(cache, 'nvtpm', 'v86-linux');

// biome-ignore format: table
const PIECES = {
  kernel:  'vmlinuz',
  busybox: 'busybox',
  bios:    'bios.bin',
  vgaBios: 'vgabios.bin',
  v86:     'node_modules/v86/build/libv86.mjs',
  wasm:    'node_modules/v86/build/v86.wasm',
} as const;
type Piece = keyof typeof PIECES;

const ALL = Object.keys(PIECES) as readonly Piece[];

/** Those of `needed` that are not there, by name. */
export const missingPieces = (needed: readonly Piece[] = ALL): readonly string[] =>
  needed.map(piece => PIECES[piece]).filter(name => !existsSync(join(FOLDER, name)));

export const pathOf = (piece: Piece): string => join(FOLDER, PIECES[piece]);
export const urlOf = (piece: Piece): string => pathToFileURL(pathOf(piece)).href;

/** A piece as the emulator takes it. */
export function load(piece: Piece): ArrayBuffer {
  const bytes = readFileSync(pathOf(piece));
  return new Uint8Array(bytes).buffer;
}
