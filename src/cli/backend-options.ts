/**
 * The options that swtpm has, spelt as swtpm spells them: `--server`, `--ctrl`, `--flags`, `--locality`,
 * `--migration`, `--pid`. What swtpm ignores, such as a port for a Unix socket, is an error here.
 * @module
 */
import { isIP } from 'node:net';
import type { MigrationOptions, StartupType, TpmAddress } from '../server/index.js';
import { fieldsOf } from './fields.js';
import { UsageError } from './output.js';

export interface Server {
  readonly address: TpmAddress;
  readonly disconnect: boolean;
}

export const SERVER_FORM =
  'type=tcp,port=N[,bindaddr=A][,disconnect] or type=unixio,path=P[,mode=0600][,disconnect]';
export const CTRL_FORM = 'type=unixio,path=P[,mode=0600] or type=tcp,port=N[,bindaddr=A]';

/** What an address of each type takes besides its type. */
const ADDRESS_FIELDS = {
  tcp: ['port', 'bindaddr'],
  unixio: ['path', 'mode'],
} as const;

/** @throws UsageError */
export function parseServer(text: string): Server {
  const { fields, refuse } = fieldsIn(text, SERVER_FORM);
  const address = addressOf(fields, ['disconnect'], refuse);
  return { address, disconnect: switchOf(fields.get('disconnect') ?? 'false', refuse) };
}

/** The address of the control channel. @throws UsageError */
export function parseCtrl(text: string): TpmAddress {
  const { fields, refuse } = fieldsIn(text, CTRL_FORM);
  return addressOf(fields, [], refuse);
}

interface Fields {
  readonly fields: ReadonlyMap<string, string>;
  readonly refuse: Refuse;
}

function fieldsIn(text: string, form: string): Fields {
  const refuse: Refuse = why => {
    throw new UsageError(`${why}; expected ${form}`);
  };
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(text)) {
    if (fields.has(name)) refuse(`${name} is given twice`);
    fields.set(name, value);
  }
  return { fields, refuse };
}

function addressOf(
  fields: ReadonlyMap<string, string>,
  more: readonly string[],
  refuse: Refuse,
): TpmAddress {
  const type = fields.get('type') ?? 'tcp';
  if (type !== 'tcp' && type !== 'unixio') return refuse(`unknown type ${JSON.stringify(type)}`);
  const known: readonly string[] = ['type', ...ADDRESS_FIELDS[type], ...more];
  const unknown = [...fields.keys()].find(name => !known.includes(name));
  if (unknown !== undefined) refuse(`a ${type} address has no ${JSON.stringify(unknown)}`);
  return type === 'tcp' ? tcpOf(fields, refuse) : unixOf(fields, refuse);
}

type Refuse = (why: string) => never;

function tcpOf(fields: ReadonlyMap<string, string>, refuse: Refuse): TpmAddress {
  const port = fields.get('port') ?? refuse('the port is missing');
  if (!/^\d{1,5}$/.test(port) || Number(port) > 0xffff) refuse('a port is 0 to 65535');
  const bindaddr = fields.get('bindaddr') ?? '127.0.0.1';
  if (isIP(bindaddr) === 0) refuse(`${bindaddr} is not an IP address`);
  return { type: 'tcp', port: Number(port), bindaddr };
}

function unixOf(fields: ReadonlyMap<string, string>, refuse: Refuse): TpmAddress {
  const path = fields.get('path') ?? '';
  if (path === '') refuse('the path is missing');
  const mode = fields.get('mode') ?? '0600';
  if (!/^0?[0-7]{1,3}$/.test(mode)) refuse('a mode is octal, 0 to 0777');
  return { type: 'unixio', path, mode: Number.parseInt(mode, 8) };
}

function switchOf(value: string, refuse: Refuse): boolean {
  if (['', 'true', '1'].includes(value)) return true;
  if (['false', '0'].includes(value)) return false;
  return refuse('disconnect is true or false');
}

const STARTUP_FLAGS: ReadonlyMap<string, StartupType | undefined> = new Map<
  string,
  StartupType | undefined
>([
  ['startup-clear', 'clear'],
  ['startup-state', 'state'],
  ['startup-deactivated', 'deactivated'],
  ['startup-none', undefined],
]);

export const FLAGS_FORM = `not-need-init, and one of ${[...STARTUP_FLAGS.keys()].join(', ')}`;

export interface Flags {
  /** Whether the TPM is on from the start, before CMD_INIT. */
  readonly on: boolean;
  /** The TPM_Startup that is sent first, if one is. */
  readonly startup: StartupType | undefined;
}

/**
 * A startup flag implies `not-need-init`, as for swtpm. `disable-auto-shutdown` is for TPM 2.0 and
 * changes nothing.
 * @throws UsageError
 */
export function parseFlags(text: string): Flags {
  const flags = text === '' ? [] : text.split(',');
  const startups: (StartupType | undefined)[] = [];
  for (const flag of flags) {
    if (flag === 'not-need-init' || flag === 'disable-auto-shutdown') continue;
    if (!STARTUP_FLAGS.has(flag)) {
      throw new UsageError(`unknown flag ${JSON.stringify(flag)}; expected ${FLAGS_FORM}`);
    }
    startups.push(STARTUP_FLAGS.get(flag));
  }
  if (startups.length > 1) {
    throw new UsageError(`more than one startup flag; expected ${FLAGS_FORM}`);
  }
  const on = flags.includes('not-need-init') || startups.length > 0;
  return { on, startup: startups[0] };
}

export const LOCALITY_FORM = 'reject-locality-4';

/** Whether CMD_SET_LOCALITY refuses locality 4. @throws UsageError */
export function parseLocality(text: string): boolean {
  if (text === LOCALITY_FORM) return true;
  throw new UsageError(`expected ${LOCALITY_FORM}`);
}

const MIGRATION_WORDS = ['incoming', 'release-lock-outgoing'];
export const MIGRATION_FORM = `${MIGRATION_WORDS.join(' and ')}, with a comma between`;

/** @throws UsageError */
export function parseMigration(text: string): MigrationOptions {
  const words = text.split(',');
  const unknown = words.find(word => !MIGRATION_WORDS.includes(word));
  if (unknown !== undefined) {
    throw new UsageError(`unknown ${JSON.stringify(unknown)}; expected ${MIGRATION_FORM}`);
  }
  return {
    incoming: words.includes('incoming'),
    releaseLockOutgoing: words.includes('release-lock-outgoing'),
  };
}

/** The path of `file=PATH`. @throws UsageError */
export function parsePid(text: string): string {
  const path = /^file=([^,]+)$/.exec(text)?.[1];
  if (path === undefined) throw new UsageError('expected file=PATH');
  return path;
}
