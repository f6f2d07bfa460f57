/**
 * The commands of the QMP monitor, one record each. Source: QEMU's QMP reference manual; names,
 * arguments and results are QEMU's.
 * @module
 */
import { EndpointError, parseAddress } from './address.js';
import type { Host, RunState } from './host.js';

/** The version that a client reads, in the form of QEMU's. */
export interface QmpVersion {
  readonly qemu: { readonly major: number; readonly minor: number; readonly micro: number };
  readonly package: string;
}

/** A refused request, with one of the two error classes that QMP still has. */
export class QmpError extends Error {
  readonly code: 'GenericError' | 'CommandNotFound';

  constructor(code: QmpError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

interface Surroundings {
  readonly host: Host;
  readonly version: QmpVersion;
}

type Arguments = Readonly<Record<string, unknown>>;

interface Command {
  readonly takes?: Readonly<Record<string, 'string' | 'optional array'>>;
  /** Its result; undefined stands for the empty object. */
  run(surroundings: Surroundings, given: Arguments): unknown;
}

// biome-ignore format: table
export const COMMANDS: Readonly<Record<string, Command>> = {
  'qmp_capabilities':  { takes: { enable: 'optional array' }, run: (_, given) => negotiate(given) },
  'query-version':     { run: ({ version }) => version },
  'query-commands':    { run: () => Object.keys(COMMANDS).map(name => ({ name })) },
  'query-name':        { run: () => undefined },
  // As a QEMU without -uuid.
  'query-uuid':        { run: () => ({ UUID: '00000000-0000-0000-0000-000000000000' }) },
  'query-status':      { run: ({ host }) => statusOf(host.state) },
  'query-tpm':         { run: () => [{ id: 'tpm0', model: 'tpm-tis', options: BACKEND }] },
  'query-tpm-models':  { run: () => ['tpm-tis'] },
  'query-tpm-types':   { run: () => ['emulator'] },
  'stop':              { run: ({ host }) => host.stop() },
  'cont':              { run: ({ host }) => host.resume() },
  'system_reset':      { run: ({ host }) => host.reset() },
  'system_powerdown':  { run: ({ host }) => host.powerDown() },
  'quit':              { run: ({ host }) => host.quit('host-qmp-quit') },
  'migrate':           { takes: { uri: 'string' }, run: ({ host }, given) => host.migrate(target(given)) },
  'query-migrate':     { run: ({ host }) => progressOf(host) },
};

/** There is no chardev between the TPM and its emulator, but clients expect a name. */
const BACKEND = { type: 'emulator', data: { chardev: 'nvtpm' } } as const;

function negotiate({ enable = [] }: Arguments): undefined {
  if (!Array.isArray(enable) || enable.length === 0) return;
  const why = `Capability ${String(enable[0]).slice(0, 64)} is not available`;
  throw new QmpError('GenericError', why);
}

const statusOf = (status: RunState): object => ({
  status,
  singlestep: false,
  running: status === 'running',
});

function progressOf({ migration }: Host): object | undefined {
  if (migration === undefined) return undefined;
  const { status, why } = migration;
  return why === undefined ? { status } : { status, 'error-desc': why };
}

/** The path of a Unix socket where the target listens. */
function target({ uri }: Arguments): string {
  try {
    const address = parseAddress(String(uri));
    if (address.kind === 'unix') return address.path;
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
  }
  throw new QmpError('GenericError', "Parameter 'uri' expects a valid migration protocol");
}
