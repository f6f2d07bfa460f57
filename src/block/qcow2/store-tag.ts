/**
 * The trace of a store in the header of its image: a header extension of ours, which QEMU keeps like
 * every extension that it does not know. It is the first one, so that it lies in the first sector.
 * @module
 */
import { bytes, decode, encode, struct, WireError } from '../../wire/codec.js';
import { EXTENSION, type Extension } from './extensions.js';

export interface StoreTag {
  /** Of the store; 16 bytes. */
  readonly uuid: Uint8Array;
  /** What kind of store it is: four ASCII characters. */
  readonly kind: string;
}

const layout = struct({ uuid: bytes(16), kind: bytes(4), reserved: bytes(4) });

/** Whether there is a trace of a store, readable or not. */
export const isTagged = (extensions: readonly Extension[]): boolean =>
  extensions.some(({ type }) => type === EXTENSION.storeTag);

/** The tag; undefined if there is no readable one. */
export function readTag(extensions: readonly Extension[]): StoreTag | undefined {
  const data = extensions.find(({ type }) => type === EXTENSION.storeTag)?.data;
  if (data === undefined) return undefined;
  try {
    const { uuid, kind } = decode(layout, data);
    return { uuid, kind: new TextDecoder('ascii').decode(kind) };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

export function tagExtension({ uuid, kind }: StoreTag): Extension {
  const name = new TextEncoder().encode(kind);
  return {
    type: EXTENSION.storeTag,
    data: encode(layout, { uuid, kind: name, reserved: new Uint8Array(4) }),
  };
}
