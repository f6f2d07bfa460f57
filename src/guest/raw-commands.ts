/**
 * The commands of a guest whose parameters the caller has as bytes: keys, storage, signing and what
 * else a stack builds on top. What comes back is left as bytes too, but for handles.
 * @module
 */
import { type Codec, concat, encode, sized, struct, u16, u32 } from '../wire/codec.js';
import { ORDINALS, type OrdinalName } from './constants.js';
import type { Command } from './frames.js';
import { digest, type Key11, key11 } from './structures.js';

/** Whatever is left. */
export const rest: Codec<Uint8Array> = {
  size: undefined,
  read: from => from.take(from.left),
  write: (to, value) => to.put(value),
};

/** A parameter: a number stands for 4 bytes. */
export type Param = number | Uint8Array;
const bytesOf = (param: Param): Uint8Array =>
  typeof param === 'number' ? encode(u32, param) : param;

/** A command of which the first `handles` parameters are handles. */
export const rawCommand = (
  name: OrdinalName,
  handles: number,
  ...params: readonly Param[]
): Command<Uint8Array> => ({
  ordinal: ORDINALS[name],
  handles: concat(...params.slice(0, handles).map(bytesOf)),
  params: concat(...params.slice(handles).map(bytesOf)),
  output: rest,
});

/** A parameter of one byte. */
export const byte = (value: number): Uint8Array => Uint8Array.of(value);
/** A parameter of two bytes. */
export const word16 = (value: number): Uint8Array => encode(u16, value);
/** Bytes behind their count. */
export const counted = (part: Uint8Array): Uint8Array => encode(sized(u32), part);
/** A selection of PCRs below 24. */
export function selection(...pcrs: readonly number[]): Uint8Array {
  const map = new Uint8Array(3);
  for (const pcr of pcrs) map[Math.floor(pcr / 8)]! |= 2 ** (pcr % 8);
  return encode(sized(u16), map);
}

/** TPM_CreateWrapKey (§10.4): a new key below `parent`, as bytes to load. */
export const createWrapKey = (
  parent: number,
  encUsage: Uint8Array,
  encMigration: Uint8Array,
  template: Key11 | Uint8Array,
): Command<Uint8Array> => {
  const info = template instanceof Uint8Array ? template : encode(key11, template);
  return rawCommand('CreateWrapKey', 1, parent, encUsage, encMigration, info);
};

/** Loads a key from the bytes that TPM_CreateWrapKey gave; gives its handle. */
export const loadKey2 = (parent: number, key: Uint8Array): Command<number> => ({
  ...rawCommand('LoadKey2', 1, parent, key),
  output: u32,
  outHandleBytes: 4,
});
/** TPM_LoadKey of TPM 1.1: loads a key; its handle. */
export const loadKey = (parent: number, key: Uint8Array): Command<number> => ({
  ...rawCommand('LoadKey', 1, parent, key),
  output: u32,
});

const sealedOutput = struct({ secret: sized(u32) });
/** TPM_Unseal (§10.2). */
export const unseal = (parent: number, blob: Uint8Array): Command<{ secret: Uint8Array }> => ({
  ...rawCommand('Unseal', 1, parent, blob),
  output: sealedOutput,
});
/** TPM_DirRead: 20 bytes. */
export const dirRead = (index: number): Command<Uint8Array> => ({
  ...rawCommand('DirRead', 0, index),
  output: digest,
});
