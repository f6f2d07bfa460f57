/**
 * Opening an image file, and the files that it names. An image of unknown origin can name any file of
 * this machine as its backing file, so none is opened unless the caller allows it.
 * @module
 */
import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { type OpenFileOptions, openFile } from './file.js';
import { type BlockNode, ImageError, type ProtocolNode } from './node.js';
import { EXTENSION } from './qcow2/extensions.js';
import { isQcow2 } from './qcow2/header.js';
import { openQcow2, peekQcow2 } from './qcow2/node.js';
import { openRaw } from './raw.js';

/** The formats of images that can be opened. */
export type ImageFormat = 'qcow2' | 'raw';

/** A file that an image names. */
export interface BackingReference {
  /** The image that names it. */
  readonly image: string;
  /** The name as it stands in the image. */
  readonly name: string;
  /** Where that is: relative names start at the image's folder. */
  readonly path: string;
  /** Its format, if the image has it. */
  readonly format: string | undefined;
}

/** Whether such a file may be opened (read-only). */
export type BackingGate = (reference: BackingReference) => boolean;

/** How an image and its backing files are opened. */
export interface OpenImageOptions extends Omit<OpenFileOptions, 'create'> {
  /** Default qcow2. Raw images have no magic, so the format cannot be detected. */
  readonly format?: ImageFormat;
  /**
   * Which backing files may be opened. Default none: an overlay is refused. 'ignore' opens an
   * overlay without: reading what only the backing file has is an error then.
   */
  readonly backing?: BackingGate | 'ignore';
  /** Allows opening a corrupt or dirty image for repair. */
  readonly forRepair?: boolean;
}

const DEEPEST_CHAIN = 64;

/**
 * Opens an image file.
 * @throws IoError, ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, DAMAGED
 */
export function openImage(path: string, options: OpenImageOptions = {}): BlockNode {
  return open(path, options, options.format ?? 'qcow2', []);
}

function open(
  path: string,
  options: OpenImageOptions,
  format: ImageFormat | 'probe',
  above: readonly string[],
): BlockNode {
  const file = openFile(path, options);
  let backing: BlockNode | undefined;
  try {
    const start = file.peek(0, 16);
    if (format === 'raw' || (format === 'probe' && !isQcow2(start))) return openRaw(file);
    // Bytes 8 to 15 say where the backing file's name is: most images have none.
    const isOverlay = start.subarray(8).some(byte => byte !== 0);
    if (isOverlay && options.backing !== 'ignore') backing = openBacking(file, options, above);
    return openQcow2(file, { backing, forRepair: options.forRepair ?? false });
  } catch (error) {
    backing?.close();
    file.close();
    throw error;
  }
}

/** The node below an overlay, opened for reading. */
function openBacking(
  file: ProtocolNode,
  options: OpenImageOptions,
  above: readonly string[],
): BlockNode | undefined {
  const reference = referenceOf(file, options.forRepair ?? false);
  if (reference === undefined) return undefined;
  const chain = [...above, realpathSync(file.path)];
  const refuse = (why: string, advice = ''): ImageError =>
    new ImageError('UNSUPPORTED', file.path, [why], advice);
  const shown = JSON.stringify(reference.name);
  if (typeof options.backing !== 'function' || !options.backing(reference)) {
    throw refuse(
      `it is an overlay of ${shown}, and opening files that an image names is not allowed`,
      'allow it if the origin of the image is trusted',
    );
  }
  if (/^[^/]*:/.test(reference.name)) {
    throw refuse(`its backing file ${shown} is not a file of this machine`);
  }
  const { format } = reference;
  if (format !== undefined && format !== 'qcow2' && format !== 'raw') {
    throw refuse(`its backing file ${shown} has the format ${JSON.stringify(format)}`);
  }
  if (chain.length > DEEPEST_CHAIN) throw refuse(`more than ${DEEPEST_CHAIN} images in a chain`);
  if (chain.includes(real(reference.path))) {
    throw refuse(`its chain of backing files is a cycle: it contains ${shown} twice`);
  }
  const below = { ...options, readOnly: true, forRepair: false };
  return open(reference.path, below, format ?? 'probe', chain);
}

/** The canonical path of a file; a missing one is reported when it is opened. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** What the image in `file` names as its backing file. */
function referenceOf(file: ProtocolNode, forRepair: boolean): BackingReference | undefined {
  const { backingName: name, extensions } = peekQcow2(file, forRepair ? 'repair' : 'read');
  if (name === undefined) return undefined;
  if (name.includes('\0')) {
    throw new ImageError('MALFORMED', file.path, ['the name of the backing file contains a NUL']);
  }
  const given = extensions.find(each => each.type === EXTENSION.backingFormat)?.data;
  const format = given === undefined ? undefined : new TextDecoder().decode(given);
  const path = isAbsolute(name) ? name : join(dirname(file.path), name);
  return { image: file.path, name, path, format };
}
