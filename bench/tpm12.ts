/**
 * TPM 1.2 commands beside swtpm and beside OpenSSL: here in process, here over sockets, swtpm over
 * the same kinds of socket, with one guest for all. All contenders take turns, a few rounds each, so
 * that load and clock changes meet all of them; what counts is from the request to the response.
 * @module
 */
import { spawnSync } from 'node:child_process';
import {
  constants,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { join } from 'node:path';
import { clock, entropy } from '../src/cli/images.js';
import type { BlobName } from '../src/tpm/engine.js';
import { generateRsaKey } from '../src/tpm/tpm12/crypto.js';
import { Tpm12 } from '../src/tpm/tpm12/engine.js';
import { type Figure, figureOf, table } from './measure.js';
import { SwtpmSocket, TpmClient } from './swtpm-socket.js';
import { newMachine, OurServer } from './tpm-server.js';
import {
  CHEAP,
  createEk,
  type Household,
  NV_WRITE,
  openOiap,
  play,
  type Round,
  RSA,
  settle,
  startup,
  type Transmit,
  takeOwnership,
} from './tpm12-guest.js';

/** Turns that warm up, and are not counted. */
const WARM_UP = 3;
/** Rounds of one turn. */
const CHEAP_ROUNDS = 300;
const NV_ROUNDS = 20;
const RSA_ROUNDS = 20;
const KEY_BITS = 2048;

/** Gives the microseconds that a round took. */
type Contender = () => Promise<number>;

/** Has the contenders take turns of `count` rounds: of each, what a round took in each turn. */
async function compete<N extends string>(
  contenders: Readonly<Record<N, Contender>>,
  turns: number,
  count: number,
): Promise<Record<N, Figure>> {
  const names = Object.keys(contenders) as N[];
  const times = new Map(names.map(name => [name, [] as number[]]));
  for (let turn = 0; turn < WARM_UP + turns; turn += 1) {
    for (const name of names) {
      let us = 0;
      for (let i = 0; i < count; i += 1) us += await contenders[name]();
      if (turn >= WARM_UP) times.get(name)!.push(us / count);
    }
  }
  const figures = names.map(name => [name, figureOf(name, times.get(name)!)]);
  return Object.fromEntries(figures) as Record<N, Figure>;
}

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

/** An engine of ours whose state lies in memory. */
function engineInMemory(generateKey = generateRsaKey): Transmit {
  const blobs = new Map<BlobName, Uint8Array>();
  const engine = new Tpm12({ entropy, clock, generateKey });
  engine.init({
    load: name => blobs.get(name),
    store: (name, bytes) => void blobs.set(name, bytes),
    delete: name => void blobs.delete(name),
  });
  return request => engine.process(request, 0);
}
async function timed(act: () => unknown): Promise<number> {
  const start = performance.now();
  const done = act();
  if (done instanceof Promise) await done;
  return (performance.now() - start) * 1000;
}

const text = (us: number): string => us.toFixed(us < 100 ? 1 : 0);
const shown = ({ median, quartiles: [low, high] }: Figure): string =>
  `${text(median)} (${text(low)} to ${text(high)})`;
/** How often `a` fits into the time of `b`: a rate, as a multiple of another. */
const rate = (a: Figure, b: Figure): string => (b.median / a.median).toFixed(2);

function markdown(title: string, heads: readonly string[], rows: readonly string[][]): string {
  const line = `| --- |${' ---: |'.repeat(heads.length - 1)}`;
  const cells = [heads, ...rows].map(row => `| ${row.join(' | ')} |`);
  return [`### ${title}`, '', cells[0], line, ...cells.slice(1), ''].join('\n');
}

/** The TPMs that are compared, each with somebody settled in it. */
interface Field {
  readonly memory: Tpm;
  readonly unix: Tpm;
  readonly tcp: Tpm;
  readonly swtpmUnix: Tpm;
  readonly swtpmTcp: Tpm;
}
const FIELD = ['memory', 'unix', 'tcp', 'swtpmUnix', 'swtpmTcp'] as const;

const contendersOf = (field: Field, round: Round): Record<keyof Field, Contender> =>
  Object.fromEntries(FIELD.map(name => [name, field[name].contender(round)])) as Record<
    keyof Field,
    Contender
  >;

export async function benchTpm12(folder: string, rounds: number): Promise<string[]> {
  const turns = Math.ceil(rounds / 25);
  const swtpm = await SwtpmSocket.start(join(folder, 'swtpm-unix'));
  if (swtpm === undefined) return ['swtpm is not installed: TPM commands are not compared.\n'];
  const swtpmTcp = (await SwtpmSocket.start(join(folder, 'swtpm-tcp'), { socket: 'tcp' }))!;
  const linear = (await SwtpmSocket.start(join(folder, 'swtpm-file'), { backend: 'file' }))!;
  const ours = await OurServer.start(folder);
  const [unix, tcp] = [await TpmClient.to(ours.tpm.unix), await TpmClient.to(ours.tpm.tcp)];
  const by =
    (peer: { transmit: Transmit }): Transmit =>
    request =>
      peer.transmit(request);
  const served = await Tpm.settled(by(unix));
  const field: Field = {
    memory: await Tpm.settled(engineInMemory()),
    unix: served,
    tcp: served.through(by(tcp)),
    swtpmUnix: await Tpm.settled(by(swtpm)),
    swtpmTcp: await Tpm.settled(by(swtpmTcp)),
  };
  const texts = [
    await cheap(field, ours, turns),
    await nvWrites(folder, field, await Tpm.settled(by(linear)), turns),
    await rsa(field, turns),
    await founding(folder, Math.ceil(rounds / 40)),
  ];
  for (const client of [unix, tcp]) client.close();
  for (const peer of [swtpm, swtpmTcp, linear, ours]) await peer.stop();
  return texts;
}

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
  for (const { client } of [unix, tcp]) client.close();
  rows.push(['(30 bytes sent back)', '', shown(echo.unix), shown(echo.tcp), '', '', '', '', '']);
  const heads = [
    'µs a round',
    'here, in process',
    'here, Unix',
    'here, TCP',
    'swtpm, Unix',
    'swtpm, TCP',
  ];
  const rates = ['rate in process / Unix', 'rate Unix / Unix', 'rate TCP / TCP'];
  return markdown('TPM 1.2: commands without RSA or a store', [...heads, ...rates], rows);
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

/** What OpenSSL takes for itself: a bare operation with a key that it made, blinded as it comes. */
function bareRsa(): Record<'public' | 'private', Contender> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: KEY_BITS });
  const padding = constants.RSA_NO_PADDING;
  const block = randomBytes(KEY_BITS / 8);
  block[0] = 0;
  return {
    public: () => timed(() => publicEncrypt({ key: publicKey, padding }, block)),
    private: () => timed(() => privateDecrypt({ key: privateKey, padding }, block)),
  };
}

async function rsa(field: Field, turns: number): Promise<string> {
  const openssl = bareRsa();
  const rows: string[][] = [];
  for (const round of RSA) {
    const contenders = { ...contendersOf(field, round), openssl: openssl[round.rsa] };
    const all = await compete(contenders, turns, RSA_ROUNDS);
    const { memory, unix, tcp, swtpmUnix, swtpmTcp } = all;
    const ratio = (memory.median / all.openssl.median).toFixed(2);
    const rates = [rate(unix, swtpmUnix), rate(tcp, swtpmTcp)];
    const cells = (['openssl', ...FIELD] as const).map(name => shown(all[name]));
    rows.push([`${round.name} (one ${round.rsa} operation)`, ...cells, ratio, ...rates]);
  }
  const heads = ['µs a command', 'OpenSSL, that operation alone', 'here, in process'];
  const sockets = ['here, Unix', 'here, TCP', 'swtpm, Unix', 'swtpm, TCP'];
  const ratios = ['in process / OpenSSL', 'rate Unix / Unix', 'rate TCP / TCP'];
  const found = opensslSpeed();
  const own = `\`openssl speed rsa${KEY_BITS}\`: ${found ?? 'openssl is not installed'}\n`;
  return [markdown('TPM 1.2: RSA', [...heads, ...sockets, ...ratios], rows), own].join('\n');
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

/** What a new TPM takes to make its Endorsement Key, and to take its first owner; in microseconds. */
interface Founding {
  readonly createEk: number;
  readonly takeOwnership: number;
}

async function found(transmit: Transmit): Promise<Founding> {
  await play(startup(), transmit);
  const ek = await play(createEk(), transmit);
  const { value: session } = await play(openOiap(), transmit);
  const own = await play(takeOwnership(ek.value, session), transmit);
  return { createEk: ek.us, takeOwnership: own.us };
}

/** The same here, with what of it OpenSSL took to make the two keys. */
async function foundHere(): Promise<{ whole: Founding; keys: Founding }> {
  const keys: number[] = [];
  const transmit = engineInMemory((bits, exponent) => {
    const start = performance.now();
    const made = generateRsaKey(bits, exponent);
    keys.push((performance.now() - start) * 1000);
    return made;
  });
  const whole = await found(transmit);
  return { whole, keys: { createEk: keys[0]!, takeOwnership: keys[1]! } };
}

async function foundSwtpm(folder: string): Promise<Founding> {
  const swtpm = (await SwtpmSocket.start(folder))!;
  const founding = await found(request => swtpm.transmit(request));
  await swtpm.stop();
  return founding;
}

/** How many private operations each needs besides the key that it makes. */
const DECRYPTIONS: Founding = { createEk: 0, takeOwnership: 2 };

/**
 * How long a key takes is a matter of luck, and two runs of a few dozen differ by more than anything
 * else here: what is compared with OpenSSL is each command with the key that it made itself.
 */
async function founding(folder: string, samples: number): Promise<string> {
  const { private: decrypt } = bareRsa();
  const [here, theirs, bare, decryptions] = [[], [], [], []] as [
    Awaited<ReturnType<typeof foundHere>>[],
    Founding[],
    number[],
    number[],
  ];
  for (let i = 0; i < samples; i += 1) {
    here.push(await foundHere());
    bare.push(await timed(() => generateKeyPairSync('rsa', { modulusLength: KEY_BITS })));
    theirs.push(await foundSwtpm(join(folder, `swtpm-new-${i}`)));
    for (let n = 0; n < RSA_ROUNDS; n += 1) decryptions.push(await decrypt());
  }
  const { median: decryption } = figureOf('', decryptions);
  const cell = (times: readonly number[]): string => shown(figureOf('', times));
  const rows = (['createEk', 'takeOwnership'] as const).map(what => {
    const ratios = here.map(
      ({ whole, keys }) => whole[what] / (keys[what] + DECRYPTIONS[what] * decryption),
    );
    const rest = here.map(({ whole, keys }) => whole[what] - keys[what]);
    const ratio = figureOf('', ratios).median.toFixed(3);
    const cells = [here.map(({ whole }) => whole[what]), bare, theirs.map(one => one[what])];
    const [name, needs] = NAMES[what];
    return [name, ...cells.map(cell), cell(rest), needs, ratio];
  });
  const heads = ['µs a command', 'here, in process', 'OpenSSL, a key alone', 'swtpm, Unix'];
  const more = ['here, without making the key', 'OpenSSL does', 'here / OpenSSL for the same key'];
  const title = `TPM 1.2: making keys of ${KEY_BITS} bits, ${samples} times each`;
  return markdown(title, [...heads, ...more], rows);
}

const NAMES: Readonly<Record<keyof Founding, readonly [name: string, needs: string]>> = {
  createEk: ['CreateEndorsementKeyPair', 'a key'],
  takeOwnership: ['TakeOwnership', 'a key, two private operations'],
};
