/**
 * Records fixtures/clients/tpm-tools.json: what trousers and tpm-tools send to a TPM 1.2, byte by
 * byte, and what swtpm answers. `npm run build && node dist/scripts/record-tools.js`. Needs swtpm,
 * tpm-tools, trousers and fakeroot (scripts/peers.sh).
 * @module
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../lab/files.js';
import { Swtpm } from '../lab/peers/swtpm.js';
import { toHex } from '../lab/recorder/recorder.js';
import { writeSums } from '../lab/recorder/sums.js';
import { Tcsd } from '../lab/tools/tcsd.js';
import { commands, PRESENCE, plain, STARTUP } from '../src/guest/index.js';

/** What the tools are asked, in the order of a first use of a TPM. `-y` and `-z`: 20 zero bytes. */
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

const folder = mkdtempSync(join(tmpdir(), 'nvtpm-tools-'));
const state = join(folder, 'state');
mkdirSync(state);
const tpm = new Swtpm(state);
for (const command of [
  commands.startup(STARTUP.CLEAR),
  commands.physicalPresence(PRESENCE.CMD_ENABLE),
  commands.physicalPresence(PRESENCE.PRESENT),
]) {
  tpm.transmit(plain(command).request);
}

let tool = 'tcsd';
const exchanges: { tool: string; request: string; response: string }[] = [];

/** A TPM on a TCP port. tcsd connects anew for each command and sends it in one piece. */
const server: Server = createServer(socket => {
  socket.on('data', request => {
    const response = tpm.transmit(new Uint8Array(request));
    exchanges.push({ tool, request: toHex(request), response: toHex(response) });
    socket.write(response);
  });
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
if (address === null || typeof address === 'string') throw new Error('no TCP port');

const tcsd = await Tcsd.start(folder, address.port);
try {
  for (const [name, ...args] of TOOLS) {
    tool = [name, ...args].join(' ');
    const { code, out, err } = await tcsd.run(name, args);
    console.log(`${tool}: exit code ${code}\n${out}${err}`);
  }
} finally {
  await tcsd.stop();
  server.close();
  tpm.stop();
  rmSync(folder, { recursive: true, force: true });
}

const recorded = {
  source: 'trousers 0.3.15 and tpm-tools 1.3.9 on swtpm 0.7.1 (libtpms 0.9.2), TPM 1.2',
  recordedBy: 'scripts/record-tools.ts',
  secrets: { owner: toHex(new Uint8Array(20)), srk: toHex(new Uint8Array(20)) },
  exchanges,
};
const path = join(ROOT, 'fixtures', 'clients', 'tpm-tools.json');
writeFileSync(path, `${JSON.stringify(recorded, null, 1)}\n`);
writeSums();
console.log(`${exchanges.length} exchanges`);
