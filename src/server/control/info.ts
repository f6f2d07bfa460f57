/**
 * What GET_INFO says of the TPM, in swtpm's form: JSON with a final 0.
 * @module
 */

/** The parts by the bit that requests each. */
// biome-ignore format: table
const PARTS: readonly (readonly [bit: bigint, part: Readonly<Record<string, unknown>>])[] = [
  [1n, { TPMSpecification: { family: '1.2', level: 2, revision: 116 } }],
  [2n, { TPMAttributes: { manufacturer: 'id:00001014', version: 'id:00740001', model: 'nvtpm' } }],
];

/** @param flags which parts; others give an empty object */
export function tpmInfo(flags: bigint): Uint8Array {
  const found = PARTS.filter(([bit]) => (flags & bit) !== 0n).map(([, part]) => part);
  return new TextEncoder().encode(`${JSON.stringify(Object.assign({}, ...found))}\0`);
}
