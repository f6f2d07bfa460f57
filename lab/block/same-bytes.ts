/** Whether two arrays hold the same bytes from one offset up to another, in one call of memcmp. */
export function sameBytes(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  const [one, other] = [a.subarray(from, to), b.subarray(from, to)];
  return one.length === other.length && Buffer.compare(one, other) === 0;
}
