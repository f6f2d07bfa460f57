/**
 * Commands that make a key of 2048 bits, beside OpenSSL and swtpm. How long a key takes is a matter of
 * luck, and two runs of a few dozen differ by more than anything else here: what is compared with OpenSSL
 * is each command with the key that it made itself.
 * @module
 */
import {
  constants,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { join } from 'node:path';
import { systemClock as clock, systemEntropy as entropy } from '../src/system.js';
import { generateRsaKey } from '../src/tpm/crypto/rsa-keys.js';
import type { BlobName } from '../src/tpm/engine.js';
import { Tpm12 } from '../src/tpm/tpm12/tpm12.js';
import { figureOf, markdown, shown, timed } from './measure.js';
import { SwtpmSocket } from './swtpm-socket.js';
import {
  createEk,
  type Needs,
  openOiap,
  play,
  startup,
  type Transmit,
  takeOwnership,
} from './tpm12-guest.js';

export const KEY_BITS = 2048;

/** Bare private operations beside each sample. */
const DECRYPTIONS_A_SAMPLE = 20;

/** An engine of ours whose state lies in memory. */
export function engineInMemory(generateKey = generateRsaKey): Transmit {
  const blobs = new Map<BlobName, Uint8Array>();
  const engine = new Tpm12({ entropy, clock, generateKey });
  engine.init({
    load: name => blobs.get(name),
    store: (name, bytes) => void blobs.set(name, bytes),
    delete: name => void blobs.delete(name),
  });
  return request => engine.process(request, 0);
}

/** A bare operation of OpenSSL with a key that it made, blinded as it comes. */
export function bareRsa(): Record<Needs['rsa'], () => unknown> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: KEY_BITS });
  const padding = constants.RSA_NO_PADDING;
  const block = randomBytes(KEY_BITS / 8);
  block[0] = 0;
  return {
    public: () => publicEncrypt({ key: publicKey, padding }, block),
    private: () => privateDecrypt({ key: privateKey, padding }, block),
  };
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
  const swtpm = await SwtpmSocket.start(folder);
  const founding = await found(request => swtpm.transmit(request));
  await swtpm.stop();
  return founding;
}

/** How many private operations each needs besides the key that it makes. */
const DECRYPTIONS: Founding = { createEk: 0, takeOwnership: 2 };

/** So many new TPMs each, in turn. */
export async function founding(folder: string, samples: number): Promise<string> {
  const { private: decrypt } = bareRsa();
  const here: Awaited<ReturnType<typeof foundHere>>[] = [];
  const theirs: Founding[] = [];
  const decryptions: number[] = [];
  for (let i = 0; i < samples; i += 1) {
    here.push(await foundHere());
    theirs.push(await foundSwtpm(join(folder, `swtpm-new-${i}`)));
    for (let n = 0; n < DECRYPTIONS_A_SAMPLE; n += 1) {
      decryptions.push(await timed(decrypt));
    }
  }
  const { median: decryption } = figureOf('', decryptions);
  const cell = (times: readonly number[]): string => shown(figureOf('', times));
  const rows = (['createEk', 'takeOwnership'] as const).map(what => {
    const ratios = here.map(
      ({ whole, keys }) => whole[what] / (keys[what] + DECRYPTIONS[what] * decryption),
    );
    const rest = here.map(({ whole, keys }) => whole[what] - keys[what]);
    const ratio = figureOf('', ratios).median.toFixed(3);
    const keys = here.map(({ keys }) => keys[what]);
    const cells = [here.map(({ whole }) => whole[what]), keys, theirs.map(one => one[what])];
    const [name, needs] = NAMES[what];
    return [name, ...cells.map(cell), cell(rest), needs, ratio];
  });
  const heads = ['µs a command', 'here, in process', 'of that OpenSSL, the key', 'swtpm, Unix'];
  const more = ['here, all but the key', 'asked of OpenSSL', 'here / OpenSSL, the same key'];
  const title = `TPM 1.2: making keys of ${KEY_BITS} bits, ${samples} times each`;
  return markdown(title, [...heads, ...more], rows);
}

const NAMES: Readonly<Record<keyof Founding, readonly [name: string, needs: string]>> = {
  createEk: ['CreateEndorsementKeyPair', 'a key'],
  takeOwnership: ['TakeOwnership', 'a key, two private operations'],
};
