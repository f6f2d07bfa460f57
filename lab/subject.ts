/**
 * The project as campaigns use it: the one file of them that calls its API.
 * @module
 */
import { createHash } from 'node:crypto';
import { type BlockNode, openQcow2, withLock } from '../src/block/index.js';
import { withImage } from '../src/cli/images.js';
import { NvtpmError } from '../src/errors.js';
import {
  commands,
  NV_PER,
  nvPublic,
  STARTUP,
  Tpm12Client,
  WELL_KNOWN_SECRET,
} from '../src/guest/index.js';
import { Machine, Tpm12 } from '../src/index.js';
import { type ActiveStore, inspectStore, type Key, openStore } from '../src/nvram/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../src/system.js';
import type { SimulatedDisk } from '../src/testing/index.js';
import type { Engine, EngineInfo, NvramPort } from '../src/tpm/engine.js';
import { noTrace } from '../src/trace.js';

/** What tells one TPM, and one state of it, from another. */
export interface Identity {
  readonly uuid: string;
  readonly generation: number;
  /** SHA-256 of the permanent state, in hex. */
  readonly permall: string;
}

/** What the TPM says of itself. */
export interface Personality {
  /** The modulus of the EK, in hex. */
  readonly ek: string | undefined;
  readonly owned: boolean;
  readonly nvIndices: readonly number[];
}

const tpm12 = (): Engine => new Tpm12({ entropy, clock });

/** An engine that loads its state and does nothing with it: a third of the time of a cold start. */
class Reader implements Engine {
  readonly kind = { name: 'nvtpm', version: '1.2' } as const;
  readonly commandBytes = 4096;
  readonly volatileVersion = 1;
  permall: Uint8Array = new Uint8Array();

  init(nvram: NvramPort): void {
    const found = nvram.load('permall');
    if (found === undefined) nvram.store('permall', entropy(64));
    this.permall = found ?? new Uint8Array();
  }
  process = (): Uint8Array => new Uint8Array();
  volatileState = (): Uint8Array => new Uint8Array();
  restore(): void {}
  cancel = (): boolean => false;
  established = (): boolean => false;
  hashStart(): number {
    return 0;
  }
  hashData(): number {
    return 0;
  }
  hashEnd(): number {
    return 0;
  }
  info(): EngineInfo {
    const flags = { owned: false, enabled: true, activated: true };
    return { version: '1.2', ...flags, ek: undefined, nvIndices: [] };
  }
  close(): void {}
}

const COMMON = {
  trace: noTrace,
  lockTimeout: 10_000,
  imageLock: 'auto',
  allowBacking: true,
} as const;

/** Opens an image file, runs `act` on its machine while the power is on, and closes the image. */
const withMachine = <T>(path: string, engine: () => Engine, act: (machine: Machine) => T): T =>
  withImage(path, undefined, COMMON, image => {
    const machine = new Machine({ image, entropy, engine });
    machine.powerOn();
    const result = act(machine);
    machine.cutPower();
    return result;
  });

/**
 * A cold start that is cut off at once, with an engine that only reads. Makes a new TPM where the
 * project does.
 */
export function coldStart(path: string): Identity {
  const reader = new Reader();
  return withMachine(
    path,
    () => reader,
    ({ storeInfo: { uuid, generation } }) => ({
      uuid: hex(uuid!),
      generation,
      permall: createHash('sha256').update(reader.permall).digest('hex'),
    }),
  );
}

/** The same with the TPM 1.2 engine. */
export const personalityOf = (path: string): Personality =>
  withMachine(path, tpm12, ({ info: { ek, owned, nvIndices } }) => ({
    ek: ek && hex(ek),
    owned,
    nvIndices,
  }));

/** An owner of the TPM in an image, as a guest without a driver. */
export class Owner {
  readonly #client: Tpm12Client;
  readonly #secret: Uint8Array;

  constructor(client: Tpm12Client, secret: Uint8Array) {
    this.#client = client;
    this.#secret = secret;
  }

  /** Makes the EK, and this the owner. */
  take(): void {
    this.#client.createEndorsementKeyPair();
    this.#client.takeOwnership(this.#secret, WELL_KNOWN_SECRET);
  }

  /** Defines an NV index of `size` bytes that the owner writes; size 0 deletes it. */
  define(index: number, size: number): void {
    const pub = nvPublic(index, size, NV_PER.OWNERWRITE);
    this.#client.nvDefineSpace(pub, this.#secret, WELL_KNOWN_SECRET);
  }

  write(index: number, bytes: Uint8Array): void {
    this.#client.authorise(commands.nvWriteValue(index, 0, bytes), this.#secret);
  }
}

/** Switches the TPM in an image on, lets its owner act, and switches it off in order. */
export function asOwner(path: string, secret: Uint8Array, act: (owner: Owner) => void): void {
  withMachine(path, tpm12, machine => {
    const client = new Tpm12Client(command => machine.process(command), entropy);
    client.run(commands.startup(STARTUP.CLEAR));
    act(new Owner(client, secret));
    machine.powerOff();
  });
}

/** The outcome that the project gives an error, or what makes it a bug. */
export function outcomeOf(error: unknown): string {
  if (error instanceof NvtpmError) return error.outcome;
  return `exception ${error instanceof Error ? error.name : String(error)}`;
}

const qcow2On = (disk: SimulatedDisk): BlockNode => openQcow2(disk, { readOnly: false });

function activate(disk: SimulatedDisk, key?: Key): ActiveStore {
  return withLock(qcow2On(disk), undefined, locked =>
    openStore(locked, { entropy, key }).activate(),
  );
}

/** Encrypts the plain store of a qcow2 image on a disk. */
export function encrypt(disk: SimulatedDisk, key: Uint8Array): void {
  const store = activate(disk);
  store.rekey(keyOf(key));
  store.close();
}

/** What the store of a qcow2 image on a disk is, without a key: `plain`, `encrypted`, or its fault. */
export function kindOf(disk: SimulatedDisk): string {
  const { verdict, state } = withLock(qcow2On(disk), undefined, locked => inspectStore(locked));
  if (verdict !== 'OK') return verdict;
  return state!.directory.encryption.kind === 0 ? 'plain' : 'encrypted';
}

/** Opens an encrypted store as its next instance does, and closes it in order. */
export function reopen(disk: SimulatedDisk, key: Uint8Array): void {
  activate(disk, keyOf(key)).close();
}

const keyOf = (bytes: Uint8Array): Key => ({ kind: 'key', bytes: bytes.slice() });
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
