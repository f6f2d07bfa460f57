/**
 * How a bus splits an access: into aligned accesses of 1, 2 or 4 bytes.
 * @module
 */

/** The sizes that a register access can have, in bytes. */
export type AccessSize = 1 | 2 | 4;

/**
 * Calls `act` for each aligned access that `length` bytes at `offset` consist of, lowest address first,
 * each as large as its alignment allows.
 * @param act gets the offset and the size of one access, and how many bytes came before it
 */
export function splitAccess(
  offset: number,
  length: number,
  act: (offset: number, size: AccessSize, done: number) => void,
): void {
  for (let done = 0; done < length; ) {
    const size = alignedSize(offset + done, length - done);
    act(offset + done, size, done);
    done += size;
  }
}

function alignedSize(offset: number, left: number): AccessSize {
  if (left >= 4 && offset % 4 === 0) return 4;
  return left >= 2 && offset % 2 === 0 ? 2 : 1;
}
