/**
 * `--from-key` and `--to-key`: swtpm's AES keys, spelt as swtpm's own `--key` and `--migration-key`.
 * @module
 */
import { deriveSwtpmKey, SWTPM_KDFS, SWTPM_MODES, type SwtpmKeys } from '../nvram/swtpm/index.js';
import { fieldsOf } from './fields.js';
import { readSecret } from './key-file.js';
import { type Printer, UsageError } from './output.js';
import { oneOf, wholeNumber } from './values.js';

/** For help: spaces let it wrap. */
export const SWTPM_KEY_HELP = 'file=PATH, fd=N, pwdfile=PATH or pwdfd=N, with format=, mode=, kdf=';

const FORM =
  'file=PATH|fd=N[,format=hex|binary][,mode=aes-cbc|aes-256-cbc] or pwdfile=PATH|pwdfd=N[,mode=aes-cbc|aes-256-cbc][,kdf=pbkdf2|sha512]';

const SOURCES = ['file', 'fd', 'pwdfile', 'pwdfd'] as const;

/** An option, and the text given for it. */
type Given = readonly [option: string, text: string | undefined];

/**
 * Runs `act` with the keys that two options name, and overwrites them on every way out.
 * @throws UsageError, IoError; what `act` throws
 */
export function usingSwtpmKeys<T>(
  given: { readonly key: Given; readonly migrationKey: Given },
  printer: Pick<Printer, 'warn'>,
  act: (keys: SwtpmKeys) => T,
): T {
  const known: Uint8Array[] = [];
  const read = ([option, text]: Given): Uint8Array | undefined => {
    if (text === undefined) return undefined;
    const key = readSwtpmKey(option, text, printer);
    known.push(key);
    return key;
  };
  try {
    return act({ key: read(given.key), migrationKey: read(given.migrationKey) });
  } finally {
    for (const key of known) key.fill(0);
  }
}

/**
 * The key that an option names. Its text is not repeated in messages: it may be a secret, given by
 * mistake.
 * @param option its name, for messages
 * @throws UsageError, IoError
 */
function readSwtpmKey(option: string, text: string, printer: Pick<Printer, 'warn'>): Uint8Array {
  const fields = named(option, () => parse(text));
  const content = readSecret(fields.from, printer);
  try {
    return named(option, () => keyOf(fields, content));
  } finally {
    content.fill(0);
  }
}

function named<T>(option: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`invalid ${option}: ${error.message}`);
  }
}

interface KeyFields {
  readonly from: string | number;
  readonly isPassphrase: boolean;
  readonly format: 'hex' | 'binary';
  readonly length: 16 | 32;
  readonly kdf: (typeof SWTPM_KDFS)[number];
}

function parse(text: string): KeyFields {
  const refuse = (why: string): never => {
    throw new UsageError(`${why}; expected ${FORM}`);
  };
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(text)) {
    if (![...SOURCES, 'format', 'mode', 'kdf', 'remove'].includes(name)) refuse('an unknown field');
    if (fields.has(name)) refuse(`${name} is given twice`);
    fields.set(name, value);
  }
  const [source, other] = SOURCES.filter(name => fields.has(name));
  if (source === undefined) return refuse('no file is named');
  if (other !== undefined) refuse(`${source} and ${other} exclude each other`);
  const isPassphrase = source.startsWith('pwd');
  if (isPassphrase && fields.has('format')) refuse('a passphrase has no format');
  if (!isPassphrase && fields.has('kdf')) refuse('a key has no kdf');
  if (!['false', undefined].includes(fields.get('remove'))) {
    refuse('the key file is kept, for the state still needs it: remove=true is not possible');
  }
  const of = <const T extends string>(name: string, choices: readonly [T, ...T[]]): T => {
    try {
      return oneOf(choices)(fields.get(name) ?? choices[0]);
    } catch {
      return refuse(`${name} is one of ${choices.join(', ')}`);
    }
  };
  const value = fields.get(source) ?? '';
  if (value === '') return refuse('no file is named');
  return {
    from: source.endsWith('fd') ? descriptor(value) : value,
    isPassphrase,
    format: of('format', ['hex', 'binary']),
    length: SWTPM_MODES[of('mode', ['aes-cbc', 'aes-128-cbc', 'aes-256-cbc'])],
    kdf: of('kdf', SWTPM_KDFS),
  };
}

const descriptor = wholeNumber('a descriptor', 3, 2 ** 31 - 1);

/** @throws UsageError */
function keyOf({ isPassphrase, format, length, kdf }: KeyFields, content: Uint8Array): Uint8Array {
  if (isPassphrase) {
    if (content.length === 0) throw new UsageError('the passphrase is empty');
    return deriveSwtpmKey(content, length, kdf);
  }
  const key = format === 'binary' ? content.slice() : hexKey(content);
  if (key.length === length) return key;
  const [found, due] = [key.length * 8, length * 8];
  key.fill(0);
  throw new UsageError(
    `the mode needs a key of ${due} bits, and this one has ${found}; aes-cbc has 128, mode=aes-256-cbc 256`,
  );
}

function hexKey(content: Uint8Array): Uint8Array {
  const digits = Buffer.from(content).toString('latin1').trim().replace(/^0x/i, '');
  if (/^(?:[0-9a-fA-F]{2})+$/.test(digits)) return new Uint8Array(Buffer.from(digits, 'hex'));
  throw new UsageError('the key is not in hex; format=binary takes bytes');
}
