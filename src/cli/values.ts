/**
 * Values on the command line, read strictly, and how they are written.
 * @module
 */
import type { Parse } from './options.js';
import { UsageError } from './output.js';

/** A parser of whole numbers, in plain decimal digits. @throws UsageError */
export function wholeNumber(what: string, min: number, max: number): (text: string) => number {
  return text => {
    // Number() alone takes '', ' 1', 0x10 and 1e3.
    const value = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max && Number.isSafeInteger(value)) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
    throw new UsageError(`expected ${what}, ${range}`);
  };
}

/** A parser of words out of a closed set. @throws UsageError */
export function oneOf<const T extends string>(choices: readonly T[]): Parse<T> {
  const parse = (text: string): T => {
    const found = choices.find(choice => choice === text);
    if (found !== undefined) return found;
    throw new UsageError(`expected one of ${choices.join(', ')}`);
  };
  return Object.assign(parse, { choices });
}

const UNITS = new Map([
  ['', 1],
  ['k', 2 ** 10],
  ['K', 2 ** 10],
  ['M', 2 ** 20],
  ['G', 2 ** 30],
  ['T', 2 ** 40],
]);

/** Bytes from the way qemu-img spells them: 512, 64k, 1M, 2G, 1.5M. @throws UsageError */
export function parseSize(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?)([kKMGT]?)$/.exec(text);
  const bytes = Number(match?.[1]) * (UNITS.get(match?.[2] ?? '') ?? Number.NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UsageError('expected a size, such as 64k, 1M or 1G');
}

/** Bytes as people read them: 64 KiB, 1.4 MiB, 300 bytes. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Math.round(value * 10) / 10} ${units[unit]}`;
}

/** Bytes in hex; spaces and colons are allowed, and 0x in front. @throws UsageError */
export function parseHex(text: string): Uint8Array {
  const digits = text.trim().replace(/^0x/i, '').replaceAll(/[\s:]/g, '');
  if (/^(?:[0-9a-fA-F]{2})+$/.test(digits)) return new Uint8Array(Buffer.from(digits, 'hex'));
  throw new UsageError('expected the bytes of a command in hex');
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A 32-bit number as the specification writes it. */
export const hex32 = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
