/** Records fixtures/clients/tpm-tools.json: tpm-tools through trousers to swtpm. @module */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commands, PRESENCE, plain, STARTUP } from '../../src/guest/index.js';
import { ROOT } from '../files.js';
import { Swtpm } from '../peers/swtpm.js';
import { Tcsd } from '../tools/tcsd.js';
import { toHex } from './recorder.js';
import { writeSums } from './sums.js';

/** One exchange, and the tool that it belongs to. */
interface Exchange {
  readonly tool: string;
  readonly request: string;
  readonly response: string;
}

/** The commands, in the order of a first use of a TPM. `-y` and `-z`: 20 zero bytes. */
const TOOLS: readonly (readonly [string, ...string[]])[] = [
  ['tpm_version'],
  ['tpm_selftest'],
  ['tpm_createek'],
  ['tpm_getpubek'],
  ['tpm_takeownership', '-y', '-z'],
  ['tpm_getpubek', '-z'],
  ['tpm_nvdefine', '-i', '0x00011101', '-s', '64', '-p', 'OWNERREAD|OWNERWRITE', '-y'],
  ['tpm_nvwrite', '-i', '0x00011101', '-s', '8', '-d', 'nv-data!', '-z'],
  ['tpm_nvread', '-i', '0x00011101', '-s', '8', '-z'],
  ['tpm_nvinfo', '-i', '0x00011101'],
  ['tpm_nvrelease', '-i', '0x00011101', '-y'],
  ['tpm_clear', '-z'],
];

/** swtpm with physical presence. */
function present(folder: string): Swtpm {
  mkdirSync(folder);
  const tpm = new Swtpm(folder);
  for (const command of [
    commands.startup(STARTUP.CLEAR),
    commands.physicalPresence(PRESENCE.CMD_ENABLE),
    commands.physicalPresence(PRESENCE.PRESENT),
  ]) {
    tpm.transmit(plain(command).request);
  }
  return tpm;
}

/** A TPM on a TCP port. tcsd connects anew for each command and sends it in one piece. */
async function listening(transmit: (request: Uint8Array) => Uint8Array): Promise<[Server, number]> {
  const server = createServer(socket => {
    socket.on('data', request => socket.write(transmit(new Uint8Array(request))));
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return [server, address.port];
}

/** @param tell gets what each tool prints. @returns the number of exchanges */
export async function recordTools(tell: (text: string) => void): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-tools-'));
  const tpm = present(join(folder, 'state'));
  const exchanges: Exchange[] = [];
  let tool = 'tcsd';
  const [server, port] = await listening(request => {
    const response = tpm.transmit(request);
    exchanges.push({ tool, request: toHex(request), response: toHex(response) });
    return response;
  });
  const tcsd = await Tcsd.start(folder, port);
  try {
    for (const [name, ...args] of TOOLS) {
      tool = [name, ...args].join(' ');
      const { code, out, err } = await tcsd.run(name, args);
      tell(`${tool}: exit code ${code}\n${out}${err}`);
    }
  } finally {
    await tcsd.stop();
    server.close();
    tpm.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  write(exchanges);
  return exchanges.length;
}

function write(exchanges: readonly Exchange[]): void {
  const zeros = toHex(new Uint8Array(20));
  const head = Object.entries({
    source: 'trousers 0.3.15 and tpm-tools 1.3.9 on swtpm 0.7.1 (libtpms 0.9.2), TPM 1.2',
    recordedBy: 'scripts/record-tools.ts',
    secrets: { owner: zeros, srk: zeros },
  }).map(([field, value]) => `"${field}": ${JSON.stringify(value)}`);
  const lines = exchanges.map(exchange => JSON.stringify(exchange));
  const parts = [...head, `"exchanges": [\n${lines.join(',\n')}\n]`];
  const path = join(ROOT, 'fixtures', 'clients', 'tpm-tools.json');
  writeFileSync(path, `{\n${parts.join(',\n')}\n}\n`);
  writeSums();
}
