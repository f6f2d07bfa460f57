/** A TPM under attack: what must hold of every response, whatever was sent. */
import { type GenerateKey, generateRsaKey } from '../../src/tpm/crypto/rsa-keys.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import type { Permanent } from '../../src/tpm/tpm12/state/permanent.js';
import { toHex, word } from '../files.js';
import { MemoryNvram } from '../reference/memory-nvram.js';
import { Rig } from '../reference/rig.js';
import { HEADER_BYTES } from './mutations.js';
import type { Subject } from './subject.js';

const SUCCESS = 0;

const FAIL = 9;

const BUFFER_BYTES = 4096;

const TAGS = [0x00c4, 0x00c5, 0x00c6];

/** Between two commands: the clock runs, so that ticks and lockouts do. */
const MICROSECONDS_PER_COMMAND = 1000;

/** Processor time so far: a busy machine makes no command slower. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** How long a command may take, key generation apart, and how long the slowest one took. */
export const MILLISECONDS_MAX = 2000;

/** Thrown where a TPM did what it never may. */
export class Unsound extends Error {}

export class Victim implements Subject {
  readonly #nvram = new MemoryNvram();
  readonly #rig: Rig;
  /** Milliseconds that keys took to make, while the present command ran. */
  #making = 0;
  sent = 0;
  slowestMs = 0;
  /** How often each ordinal was met, and how often it succeeded. */
  readonly met = new Map<number, { wellFormed: number; malformed: number }>();
  readonly succeeded = new Map<number, number>();

  /** @param permall the state to start from; undefined for a new TPM */
  constructor(permall: Uint8Array | undefined) {
    if (permall !== undefined) this.#nvram.blobs.set('permall', permall);
    const generateKey: GenerateKey = (bits, exponent) => {
      const from = cpuMs();
      try {
        return pooledKey(bits, exponent);
      } finally {
        this.#making += cpuMs() - from;
      }
    };
    this.#rig = new Rig(this.#nvram, { generateKey });
  }

  start(): this {
    this.#rig.start();
    return this;
  }

  get locality(): number {
    return this.#rig.locality;
  }

  set locality(locality: number) {
    this.#rig.locality = locality;
  }

  get permanent(): Permanent {
    return decodePermall(this.#nvram.permall);
  }

  hash(data: Uint8Array): void {
    const { tpm } = this.#rig;
    tpm.hashStart();
    tpm.hashData(data);
    tpm.hashEnd();
  }

  /** @throws Unsound */
  readonly transmit = (request: Uint8Array, wellFormed = false): Uint8Array => {
    const rig = this.#rig;
    const before = rig.nvram.permall;
    rig.now += MICROSECONDS_PER_COMMAND;
    this.#making = 0;
    const from = cpuMs();
    const response = rig.transmit(request);
    const took = cpuMs() - from - this.#making;
    this.sent += 1;
    this.slowestMs = Math.max(this.slowestMs, took);
    const changed = Buffer.compare(rig.nvram.permall, before) !== 0;
    const why = wrongWith(response, changed, took);
    if (why !== undefined) {
      throw new Unsound(`${why}: ${toHex(request)} gave ${toHex(response)}`);
    }
    this.#count(request, response, wellFormed);
    return response;
  };

  #count(request: Uint8Array, response: Uint8Array, isWellFormed: boolean): void {
    if (request.length < HEADER_BYTES) return;
    const ordinal = codeOf(request);
    const { wellFormed, malformed } = this.met.get(ordinal) ?? { wellFormed: 0, malformed: 0 };
    this.met.set(ordinal, {
      wellFormed: wellFormed + Number(isWellFormed),
      malformed: malformed + Number(!isWellFormed),
    });
    if (codeOf(response) === SUCCESS) {
      this.succeeded.set(ordinal, (this.succeeded.get(ordinal) ?? 0) + 1);
    }
  }

  powerCut(): void {
    this.#rig.tpm.init(this.#nvram);
  }

  // No second TPM is there to compare with, or to depart from.
  compareStates(): void {}
  readonly departed = false;
  reunite(): void {}
}

/** The ordinal of a request, the result of a response. */
const codeOf = (bytes: Uint8Array): number => word(bytes, 6);

/** What is wrong with a response; undefined where nothing is. */
function wrongWith(response: Uint8Array, changed: boolean, took: number): string | undefined {
  if (response.length < HEADER_BYTES) return 'no response';
  const view = new DataView(response.buffer, response.byteOffset, response.length);
  const failed = view.getUint32(6) !== SUCCESS;
  // biome-ignore format: table
  const rules: Readonly<Record<string, boolean>> = {
    'a response that is too long':              response.length <= BUFFER_BYTES,
    'a tag of no response':                     TAGS.includes(view.getUint16(0)),
    'a size that lies':                         view.getUint32(2) === response.length,
    'a guest took the TPM out of service':      view.getUint32(6) !== FAIL,
    'a refusal with something in it':           !failed || response.length === HEADER_BYTES,
    'a refused command changed the state':      !failed || !changed,
    'the command took too long':                took <= MILLISECONDS_MAX,
  };
  return Object.keys(rules).find(rule => !rules[rule]);
}

const POOL = 4;

const pool = new Map<string, ReturnType<GenerateKey>[]>();

let drawn = 0;

/** Real keys, but only a few of each kind: what is attacked is not the search for primes. */
const pooledKey: GenerateKey = (bits, exponent) => {
  const kind = `${bits} ${exponent}`;
  const keys = pool.get(kind) ?? [];
  pool.set(kind, keys);
  if (keys.length < POOL) keys.push(generateRsaKey(bits, exponent));
  drawn += 1;
  const { modulus, prime } = keys[drawn % keys.length]!;
  return { modulus: modulus.slice(), prime: prime.slice() };
};
