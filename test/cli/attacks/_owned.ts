/** A TPM with an EK, an owner and NV indices, made through `nvtpm serve` as a guest makes it. */
import assert from 'node:assert/strict';
import { hex, toHex } from '../../../lab/files.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { type Client, Serving } from '../../../lab/program/serving.js';
import { SECRETS } from '../../../lab/residue/secrets.js';
import {
  authorised,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  encryptTo,
  HANDLE,
  NV_PER,
  nvPublic,
  osapShared,
  plain,
  type Session,
  WELL_KNOWN_SECRET,
} from '../../../src/guest/index.js';

const OWNER_SECRET = SECRETS["the owner's auth"];
const NONCE = new Uint8Array(20).fill(0x3c);

/** The owner of a TPM behind a socket. */
export class Owner {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async run<T>(command: Command<T>): Promise<T> {
    const { request, verify } = plain(command);
    return verify(await this.#send(request));
  }

  async takeOwnership(): Promise<void> {
    const { publicKey } = await this.run(commands.createEndorsementKeyPair(NONCE));
    const owner = encryptTo(publicKey, OWNER_SECRET);
    const srk = encryptTo(publicKey, WELL_KNOWN_SECRET);
    await this.#authorise(commands.takeOwnership(owner, srk));
  }

  /** Defines an NV index of `size` bytes that the owner writes; size 0 deletes it. */
  async define(index: number, size: number): Promise<void> {
    const answer = await this.run(commands.osap(ENTITY.OWNER, HANDLE.OWNER, NONCE));
    const shared = osapShared(OWNER_SECRET, answer.nonceEvenOsap, NONCE);
    const session = { ...answer, shared };
    const pub = nvPublic(index, size, NV_PER.OWNERWRITE);
    await this.#under(
      session,
      commands.nvDefineSpace(pub, encryptAuth(session, new Uint8Array(20))),
    );
  }

  async write(index: number, bytes: Uint8Array): Promise<void> {
    await this.#authorise(commands.nvWriteValue(index, 0, bytes));
  }

  async #authorise<T>(command: Command<T>): Promise<void> {
    await this.#under({ ...(await this.run(commands.oiap())), shared: undefined }, command);
  }

  async #under<T>(session: Session, command: Command<T>): Promise<void> {
    const { request, verify } = authorised(command, {
      ...{ session, secret: OWNER_SECRET, nonceOdd: NONCE },
    });
    verify(await this.#send(request));
  }

  async #send(request: Uint8Array): Promise<Uint8Array> {
    return hex(await this.#client.ask(toHex(request)));
  }
}

/** Serves `image`, lets `act` use its TPM as the owner, and ends the server in order. */
export async function asOwner(
  image: string,
  act: (owner: Owner) => Promise<void>,
  ...args: readonly string[]
): Promise<void> {
  const server = ['--server', `type=unixio,path=${image}.sock`, '--flags', 'startup-clear'];
  const serving = await Serving.start(image, ...server, ...args);
  try {
    const client = serving.client();
    await act(new Owner(client));
    client.close();
  } catch (error) {
    await serving.stop('SIGKILL');
    throw error;
  }
  const { exit, err } = await serving.stop();
  assert.equal(exit, 0, err);
}

/** Makes an image with an owned TPM in it; `options` are those of `nvtpm create`. */
export async function ownedImage(path: string, ...options: readonly string[]): Promise<void> {
  const made = nvtpm(['create', path, ...options]);
  assert.equal(made.exit, 0, made.err);
  const key = options.indexOf('--key');
  const open = key < 0 ? [] : options.slice(key, key + 2);
  await asOwner(path, owner => owner.takeOwnership(), ...open);
}

/** What tells one TPM from another, as `nvtpm info` shows it. */
export interface Identity {
  readonly uuid: string;
  readonly generation: number;
  readonly ek: string | undefined;
  readonly owned: boolean | undefined;
}

export function identityOf(image: string, ...args: readonly string[]): Identity {
  const { nvram, tpm } = nvtpm(['info', image, '--json', ...args]).json() as unknown as {
    nvram: { uuid: string; generation: number };
    tpm: { ek: { modulus: string } | null; owned: boolean } | null;
  };
  const { uuid, generation } = nvram;
  return { uuid, generation, ek: tpm?.ek?.modulus, owned: tpm?.owned };
}
