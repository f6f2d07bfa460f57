/**
 * Five secrets of a TPM, and what an owner does to leave them in clear in its image: in the state, in a
 * kept one, and behind the end of states that have become shorter.
 * @module
 */

const word = (text: string): Buffer => Buffer.from(text.padEnd(20, '.'));

/** What must not be found, by what it is: 20 bytes each. */
export const SECRETS = {
  "the owner's auth": word('0wner-secret-in-here'),
  'NV data': word('nv-written'),
  'NV data that was overwritten': word('nv-overwritten'),
  'NV data that was deleted': word('nv-deleted'),
  'NV data of a kept generation': word('nv-kept'),
} as const;
export type SecretName = keyof typeof SECRETS;

const NV_BYTES = 200;
const nvData = (name: SecretName): Uint8Array => Buffer.alloc(NV_BYTES, SECRETS[name]);
const ZEROS = new Uint8Array(NV_BYTES);
const [STAYS, CHANGES, SPACER, SHRINKS, GOES] = [0x1_1101, 0x1_1102, 0x1_1103, 0x1_1104, 0x1_1105];

/** What an owner does with an NV index: defines it with a size (0 deletes it), or writes to it. */
export type Step =
  | { readonly define: number; readonly size: number }
  | { readonly write: number; readonly bytes: Uint8Array };

/** Each half of the store, and each extent of a kept state, gets what was written before these. */
const everywhere: readonly Step[] = [1, 2, 3, 4].map(fill => ({
  write: STAYS,
  bytes: ZEROS.slice().fill(fill),
}));

/**
 * What leaves the secrets in an owned TPM of a store that keeps one older state. Indices lie in the
 * state in the order of their definition.
 */
// biome-ignore format: table
export const LEAVE_SECRETS: readonly Step[] = [
  ...[STAYS, CHANGES, SPACER, SHRINKS, GOES].map(define => ({ define, size: NV_BYTES })),
  { write: GOES,    bytes: nvData('NV data that was deleted') },
  { write: SHRINKS, bytes: nvData('NV data that was overwritten') },
  ...everywhere,
  { define: GOES,   size: 0 },
  { define: SPACER, size: 0 },
  { write: SHRINKS, bytes: ZEROS },
  ...everywhere,
  { write: STAYS,   bytes: nvData('NV data') },
  { write: CHANGES, bytes: nvData('NV data of a kept generation') },
  { write: CHANGES, bytes: ZEROS },
];

/** How often each secret is in `bytes`. */
export function copiesIn(bytes: Uint8Array): Record<SecretName, number> {
  const haystack = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = (needle: Buffer): number => {
    let found = 0;
    for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1)) {
      found += 1;
    }
    return found;
  };
  const counts = Object.entries(SECRETS).map(([name, needle]) => [name, count(needle)]);
  return Object.fromEntries(counts) as Record<SecretName, number>;
}
