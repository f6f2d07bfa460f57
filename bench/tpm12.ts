/**
 * TPM 1.2 commands beside swtpm and beside OpenSSL: here in process, here over sockets, swtpm over
 * the same kinds of socket, with one guest for all. All contenders take turns, some rounds each, so
 * that load and clock changes meet all of them; what counts is from the request to the response.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { createHmac, hash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  type Contender,
  compete,
  type Figure,
  markdown,
  rate,
  shown,
  table,
  timed,
} from './measure.js';
import { type SwtpmOptions, SwtpmSocket, swtpmVersion, TpmClient } from './swtpm-socket.js';
import { newMachine, OurServer } from './tpm-server.js';
import {
  CHEAP,
  type Household,
  type Needs,
  NV_WRITE,
  play,
  type Round,
  RSA,
  settle,
  type Transmit,
} from './tpm12-guest.js';
import { bareRsa, engineInMemory, founding, KEY_BITS } from './tpm12-keys.js';

/** Rounds of one turn. */
const CHEAP_ROUNDS = 300;
const NV_ROUNDS = 20;
const RSA_ROUNDS = 30;

/** A TPM that somebody has settled in. */
class Tpm {
  readonly #transmit: Transmit;
  readonly #house: Household;

  private constructor(transmit: Transmit, house: Household) {
    this.#transmit = transmit;
    this.#house = house;
  }

  static async settled(transmit: Transmit): Promise<Tpm> {
    return new Tpm(transmit, (await play(settle(), transmit)).value);
  }

  /** The same TPM by another way. */
  through(transmit: Transmit): Tpm {
    return new Tpm(transmit, this.#house);
  }

  contender({ open, run }: Round): Contender {
    return async () => {
      const sessions = open ? (await play(open(this.#house), this.#transmit)).value : [];
      return (await play(run(this.#house, sessions), this.#transmit)).us;
    };
  }
}

/** The TPMs that are compared, each with somebody settled in it. */
interface Field {
  readonly memory: Tpm;
  readonly unix: Tpm;
  readonly tcp: Tpm;
  readonly swtpmUnix: Tpm;
  readonly swtpmTcp: Tpm;
}
const FIELD = ['memory', 'unix', 'swtpmUnix', 'tcp', 'swtpmTcp'] as const;

const HEADS = ['here, in process', 'here, Unix', 'swtpm, Unix', 'here, TCP', 'swtpm, TCP'];
const RATES = ['rate, Unix', 'rate, TCP'];

const contendersOf = (field: Field, round: Round): Record<keyof Field, Contender> =>
  Object.fromEntries(FIELD.map(name => [name, field[name].contender(round)])) as Record<
    keyof Field,
    Contender
  >;

export async function benchTpm12(folder: string, rounds: number): Promise<string[]> {
  const started: { stop(): Promise<void> }[] = [];
  const start = async <P extends { stop(): Promise<void> }>(peer: Promise<P>): Promise<P> => {
    started.push(await peer);
    return peer;
  };
  const swtpm = (name: string, options?: SwtpmOptions): Promise<SwtpmSocket> =>
    start(SwtpmSocket.start(join(folder, name), options));
  if (swtpmVersion() === undefined) return ['swtpm is not installed: TPM 1.2 is not compared.\n'];
  try {
    const ours = await start(OurServer.start(folder));
    const unix = await start(TpmClient.to(ours.tpm.unix));
    const tcp = await start(TpmClient.to(ours.tpm.tcp));
    const served = await Tpm.settled(over(unix));
    const field: Field = {
      memory: await Tpm.settled(engineInMemory()),
      unix: served,
      tcp: served.through(over(tcp)),
      swtpmUnix: await Tpm.settled(over(await swtpm('swtpm-unix'))),
      swtpmTcp: await Tpm.settled(over(await swtpm('swtpm-tcp', { socket: 'tcp' }))),
    };
    const linear = await Tpm.settled(over(await swtpm('swtpm-file', { backend: 'file' })));
    const turns = Math.ceil(rounds / 25);
    return [
      await cheap(field, ours, turns),
      await nvWrites(folder, field, linear, turns),
      await rsa(field, Math.ceil(turns / 2)),
      await founding(folder, Math.ceil(rounds / 50)),
    ];
  } finally {
    for (const peer of started.reverse()) await peer.stop();
  }
}

const over =
  (peer: { transmit: Transmit }): Transmit =>
  request =>
    peer.transmit(request);

async function cheap(field: Field, ours: OurServer, turns: number): Promise<string> {
  const rows: string[][] = [];
  for (const round of CHEAP) {
    const all = await compete(contendersOf(field, round), turns, CHEAP_ROUNDS);
    const { memory, unix, tcp, swtpmUnix, swtpmTcp } = all;
    const rates = [rate(memory, swtpmUnix), rate(unix, swtpmUnix), rate(tcp, swtpmTcp)];
    rows.push([round.name, ...FIELD.map(name => shown(all[name])), ...rates]);
  }
  const bytes = new Uint8Array(30);
  const bare = async (where: { path: string } | { port: number }) => {
    const client = await TpmClient.to(where);
    return { client, contender: async () => timed(() => client.transmit(bytes)) };
  };
  const [unix, tcp] = [await bare(ours.echo.unix), await bare(ours.echo.tcp)];
  const echoes = { unix: unix.contender, tcp: tcp.contender };
  const echo = await compete(echoes, turns, CHEAP_ROUNDS);
  for (const { client } of [unix, tcp]) await client.stop();
  rows.push(['(30 bytes sent back)', '', shown(echo.unix), '', shown(echo.tcp), '', '', '', '']);
  const heads = ['µs a round', ...HEADS, 'rate in process / swtpm, Unix', ...RATES];
  return markdown('TPM 1.2: commands without RSA or a store', heads, rows);
}

async function nvWrites(folder: string, field: Field, linear: Tpm, turns: number): Promise<string> {
  const machines = [true, false].map(flush =>
    newMachine(join(folder, flush ? 'flushed.qcow2' : 'unflushed.qcow2'), flush),
  );
  const [flushed, unflushed] = await Promise.all(
    machines.map(machine => Tpm.settled(request => machine.process(request))),
  );
  const tpms = {
    'swtpm, Unix, a directory, no flush': field.swtpmUnix,
    'swtpm, Unix, a linear file, no flush': linear,
    'swtpm, TCP, a directory, no flush': field.swtpmTcp,
    'here, Unix, qcow2, no flush': field.unix,
    'here, TCP, qcow2, no flush': field.tcp,
    'here, in process, in memory': field.memory,
    'here, in process, qcow2, no flush': unflushed!,
    'here, in process, qcow2, fdatasync before the response': flushed!,
  };
  const contenders = Object.entries(tpms).map(([name, tpm]) => [name, tpm.contender(NV_WRITE)]);
  const figures = await compete(Object.fromEntries(contenders), turns, NV_ROUNDS);
  for (const machine of machines) machine.powerOff();
  const named = Object.entries(figures).map(([name, figure]) => ({ ...figure, name }));
  return table(`TPM 1.2: ${NV_WRITE.name}`, named);
}

/** Everything that a command asks of OpenSSL, and nothing else. */
function primitives(rsa: () => unknown, { hmacs, digests }: Needs): () => void {
  const [key, short] = [randomBytes(20), randomBytes(65)];
  return () => {
    rsa();
    for (let i = 0; i < hmacs; i += 1) createHmac('sha1', key).update(short).digest();
    for (let i = 0; i < digests; i += 1) hash('sha1', short, 'binary');
  };
}

async function rsa(field: Field, turns: number): Promise<string> {
  const bare = bareRsa();
  const rows: string[][] = [];
  for (const { needs, ...round } of RSA) {
    const alone = bare[needs.rsa];
    const together = primitives(alone, needs);
    const openssl = { alone: () => timed(alone), together: () => timed(together) };
    const all = await compete({ ...contendersOf(field, round), ...openssl }, turns, RSA_ROUNDS);
    const { memory, unix, tcp, swtpmUnix, swtpmTcp } = all;
    const ratio = (base: Figure): string => (memory.median / base.median).toFixed(2);
    const cells = (['alone', 'together', ...FIELD] as const).map(name => shown(all[name]));
    const ratios = [ratio(all.alone), ratio(all.together), rate(unix, swtpmUnix)];
    const what = `${round.name}: ${needs.rsa}, ${needs.hmacs} HMACs, ${needs.digests} digests`;
    rows.push([what, ...cells, ...ratios, rate(tcp, swtpmTcp)]);
  }
  const openssl = ['OpenSSL, RSA alone', 'OpenSSL, all of it'];
  const ratios = ['in process / RSA alone', 'in process / all of it'];
  const heads = ['µs a command', ...openssl, ...HEADS, ...ratios, ...RATES];
  const found = opensslSpeed() ?? 'openssl is not installed';
  const own = `\`openssl speed rsa${KEY_BITS}\`: ${found}\n`;
  return [markdown('TPM 1.2: RSA', heads, rows), own].join('\n');
}

/** The operations by OpenSSL's own bench, as a check of the figures by node:crypto. */
function opensslSpeed(): string | undefined {
  const what = ['speed', '-seconds', '1', '-mr', `rsa${KEY_BITS}`];
  const { stdout } = spawnSync('openssl', what, { encoding: 'utf8' });
  const [, sign, verify] = /^\+F2:\d+:\d+:([\d.]+):([\d.]+)/m.exec(stdout ?? '') ?? [];
  if (sign === undefined) return undefined;
  const us = (aSecond: string | undefined): string => (1e6 / Number(aSecond)).toFixed(0);
  return `private ${us(sign)} µs, public ${us(verify)} µs`;
}
