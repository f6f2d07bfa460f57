/**
 * The options that swtpm has, spelt as swtpm spells them: `--server`, `--flags`, `--pid`. What swtpm
 * ignores, such as a port for a Unix socket, is an error here.
 * @module
 */
import { isIP } from 'node:net';
import type { StartupType, TpmAddress } from '../server/index.js';
import { fieldsOf } from './fields.js';
import { UsageError } from './output.js';

export interface Server {
  readonly address: TpmAddress;
  readonly disconnect: boolean;
}

export const SERVER_FORM =
  'type=tcp,port=N[,bindaddr=A][,disconnect] or type=unixio,path=P[,mode=0600][,disconnect]';

/** What each type of server takes besides its type. */
const SERVER_FIELDS = {
  tcp: ['port', 'bindaddr', 'disconnect'],
  unixio: ['path', 'mode', 'disconnect'],
} as const;

/** @throws UsageError */
export function parseServer(text: string): Server {
  const refuse: Refuse = why => {
    throw new UsageError(`${why}; expected ${SERVER_FORM}`);
  };
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(text)) {
    if (fields.has(name)) refuse(`${name} is given twice`);
    fields.set(name, value);
  }
  const type = fields.get('type') ?? 'tcp';
  if (type !== 'tcp' && type !== 'unixio') return refuse(`unknown type ${JSON.stringify(type)}`);
  const known: readonly string[] = ['type', ...SERVER_FIELDS[type]];
  const unknown = [...fields.keys()].find(name => !known.includes(name));
  if (unknown !== undefined) refuse(`a ${type} server has no ${JSON.stringify(unknown)}`);
  const address = type === 'tcp' ? tcpOf(fields, refuse) : unixOf(fields, refuse);
  return { address, disconnect: switchOf(fields.get('disconnect') ?? 'false', refuse) };
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

/**
 * The TPM_Startup that is sent first, if one is. The TPM is on from the start in any case, so
 * `not-need-init` changes nothing; nor does `disable-auto-shutdown`, which is for TPM 2.0.
 * @throws UsageError
 */
export function parseFlags(text: string): StartupType | undefined {
  const startups: (StartupType | undefined)[] = [];
  for (const flag of text.split(',')) {
    if (flag === 'not-need-init' || flag === 'disable-auto-shutdown') continue;
    if (!STARTUP_FLAGS.has(flag)) {
      throw new UsageError(`unknown flag ${JSON.stringify(flag)}; expected ${FLAGS_FORM}`);
    }
    startups.push(STARTUP_FLAGS.get(flag));
  }
  if (startups.length > 1) {
    throw new UsageError(`more than one startup flag; expected ${FLAGS_FORM}`);
  }
  return startups[0];
}

/** The path of `file=PATH`. @throws UsageError */
export function parsePid(text: string): string {
  const path = /^file=([^,]+)$/.exec(text)?.[1];
  if (path === undefined) throw new UsageError('expected file=PATH');
  return path;
}
