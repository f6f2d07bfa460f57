/**
 * TPM commands in a byte stream. The size in a command's header is all the framing there is.
 * @module
 */
import { HEADER_BYTES } from '../tpm/kernel/frame.js';
import { concat } from '../wire/codec.js';
import { controlMessageName } from './control-messages.js';

const CONTROL_BYTES = 4;

// biome-ignore format: table
export type Frame =
  | { readonly is: 'command';   readonly bytes: Uint8Array }
  /** Of a size that no command has, so that the start of the next frame is unknown. */
  | { readonly is: 'malformed'; readonly bytes: Uint8Array }
  /** A message of swtpm's control protocol, which belongs on another socket. */
  | { readonly is: 'control';   readonly name: string };

type Head =
  | { readonly is: 'command' | 'malformed'; readonly length: number }
  | { readonly is: 'control'; readonly length: number; readonly name: string };

export class Frames {
  readonly #commandBytes: number;
  #pending: Uint8Array = new Uint8Array();
  /** The first frame, if it is complete. */
  #head: Head | undefined;

  /** @param commandBytes the most bytes of a command; a larger size is malformed */
  constructor(commandBytes: number) {
    this.#commandBytes = commandBytes;
  }

  push(chunk: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk);
    this.#head = headOf(this.#pending, this.#commandBytes);
  }

  /** Whether take() has a frame. */
  get complete(): boolean {
    return this.#head !== undefined;
  }

  /** Whether a frame has begun that is not complete. */
  get partial(): boolean {
    return this.#head === undefined && this.#pending.length > 0;
  }

  /** Removes the first frame; undefined while it is not complete. */
  take(): Frame | undefined {
    const head = this.#head;
    if (head === undefined) return undefined;
    const bytes = this.#pending.slice(0, head.length);
    this.#pending = this.#pending.subarray(bytes.length);
    this.#head = headOf(this.#pending, this.#commandBytes);
    return head.is === 'control' ? { is: head.is, name: head.name } : { is: head.is, bytes };
  }
}

function headOf(pending: Uint8Array, commandBytes: number): Head | undefined {
  const { buffer, byteOffset, length: available } = pending;
  if (available < CONTROL_BYTES) return undefined;
  const view = new DataView(buffer, byteOffset, available);
  // In a TPM command, tag 0x0000 and such a number would be half of a size that is far too large.
  const name = controlMessageName(view.getUint32(0));
  if (name !== undefined) return { is: 'control', length: CONTROL_BYTES, name };
  if (available < HEADER_BYTES) return undefined;
  const length = view.getUint32(2);
  if (length < HEADER_BYTES || length > commandBytes) {
    return { is: 'malformed', length: commandBytes };
  }
  return available < length ? undefined : { is: 'command', length };
}
