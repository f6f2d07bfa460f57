/**
 * The address of an interface of the machine, spelt as for QEMU's -qtest and -qmp:
 * `unix:PATH[,server=on|off][,wait=on|off]` or `stdio`. A comma in a path is doubled. There is no TCP: a
 * client controls the TPM, and a Unix socket has an owner and a mode.
 * @module
 */
import { NvtpmError } from '../errors.js';

export type Address =
  | { readonly kind: 'stdio' }
  | {
      readonly kind: 'unix';
      readonly path: string;
      /** Whether to listen; else to connect to a program that does. */
      readonly server: boolean;
      /** With `server`: whether to wait for the first client before anything starts. */
      readonly wait: boolean;
    };

/** An address that is malformed, or that the system refuses. */
export class EndpointError extends NvtpmError {
  override readonly name = 'EndpointError';
  readonly code: 'ADDRESS' | 'LISTEN' | 'CONNECT';
  readonly outcome: 'USAGE' | 'IO';

  constructor(code: EndpointError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.outcome = code === 'ADDRESS' ? 'USAGE' : 'IO';
  }
}

/** What the kernel takes for the path of a Unix socket, in bytes: sun_path, less its final 0. */
export const PATH_BYTES_MAX = 107;

// biome-ignore format: table
const SWITCHES: Readonly<Record<string, { server?: boolean; wait?: boolean }>> = {
  'server=on':  { server: true },
  'server=off': { server: false },
  'server':     { server: true },
  'wait=on':    { wait: true },
  'wait=off':   { wait: false },
  'nowait':     { wait: false },
};

/** @throws EndpointError ADDRESS */
export function parseAddress(text: string): Address {
  if (text === 'stdio') return { kind: 'stdio' };
  if (!text.startsWith('unix:')) {
    refuse(text, 'write unix:PATH[,server=on][,wait=off], or stdio');
  }
  const [path = '', ...words] = text
    .slice('unix:'.length)
    .replaceAll(',,', '\0')
    .split(',')
    .map(part => part.replaceAll('\0', ','));
  if (path === '') refuse(text, 'the path is missing');
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    refuse(text, `the path of a socket has at most ${PATH_BYTES_MAX} bytes`);
  }
  let found = { server: false, wait: true };
  for (const word of words) {
    const meaning = Object.hasOwn(SWITCHES, word) ? SWITCHES[word] : undefined;
    if (meaning === undefined)
      refuse(text, `${word} is not one of ${Object.keys(SWITCHES).join(', ')}`);
    found = { ...found, ...meaning };
  }
  return { kind: 'unix', path, ...found };
}

function refuse(text: string, why: string): never {
  throw new EndpointError('ADDRESS', `${text} is not an address: ${why}`);
}
