/**
 * The options that swtpm has, spelt as swtpm spells them: `--server`, `--flags`, `--pid`. What swtpm
 * lets pass although it means nothing, like a port for a Unix socket, is an error here.
 * @module
 */
import { isIP } from 'node:net';
import { STARTUP_TYPES, type StartupType, type TpmAddress } from '../server/index.js';
import { fieldsOf } from './fields.js';
import { UsageError } from './output.js';

export interface Server {
  readonly address: TpmAddress;
  readonly disconnect: boolean;
}

const SERVER_HELP =
  'write type=tcp,port=N[,bindaddr=A][,disconnect] or type=unixio,path=P[,mode=0600][,disconnect]';

/** What each type of server takes besides its type. */
const SERVER_FIELDS = {
  tcp: ['port', 'bindaddr', 'disconnect'],
  unixio: ['path', 'mode', 'disconnect'],
} as const;

/** @throws UsageError */
export function parseServer(text: string | undefined): Server {
  if (text === undefined) {
    throw new UsageError(`nobody could reach the TPM: give it --server; ${SERVER_HELP}`);
  }
  const refuse: Refuse = why => {
    throw new UsageError(`--server ${text}: ${why}; ${SERVER_HELP}`);
  };
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(text)) {
    if (fields.has(name)) refuse(`${name} is there twice`);
    fields.set(name, value);
  }
  const type = fields.get('type') ?? 'tcp';
  if (type !== 'tcp' && type !== 'unixio') return refuse(`${type} is no type of a server`);
  const known: readonly string[] = ['type', ...SERVER_FIELDS[type]];
  const unknown = [...fields.keys()].find(name => !known.includes(name));
  if (unknown !== undefined) refuse(`a ${type} server has no ${unknown}`);
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

const FLAGS_HELP =
  'the flags are not-need-init, and one of startup-clear, startup-state, ' +
  'startup-deactivated and startup-none';

/**
 * Which TPM_Startup goes first, if one does. The TPM is on from the start in any case, so
 * `not-need-init` changes nothing; nor does `disable-auto-shutdown`, which is for TPM 2.
 * @throws UsageError
 */
export function parseFlags(text: string): StartupType | undefined {
  const startups: string[] = [];
  for (const flag of text.split(',')) {
    if (flag === 'not-need-init' || flag === 'disable-auto-shutdown') continue;
    const type = /^startup-(.*)$/.exec(flag)?.[1];
    if (type === undefined || !(type === 'none' || Object.hasOwn(STARTUP_TYPES, type))) {
      throw new UsageError(`--flags ${text}: ${flag} is none; ${FLAGS_HELP}`);
    }
    startups.push(type);
  }
  if (startups.length > 1) {
    throw new UsageError(`--flags ${text}: the TPM is started once; ${FLAGS_HELP}`);
  }
  const [type] = startups;
  return type === undefined || type === 'none' ? undefined : (type as StartupType);
}

/** The path of `file=PATH`. @throws UsageError */
export function parsePid(text: string): string {
  const path = /^file=([^,]+)$/.exec(text)?.[1];
  if (path === undefined) throw new UsageError(`--pid ${text}: write file=PATH`);
  return path;
}
