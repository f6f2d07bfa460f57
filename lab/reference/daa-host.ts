/** A host that carries DAA commands to its TPM, as the owner. */

import {
  authorised,
  type Command,
  commands,
  HANDLE,
  type OrdinalName,
  raw,
  resultName,
  type Session,
  STARTUP,
  Tpm12Client,
  TpmResponseError,
} from '../../src/guest/index.js';
import { Reader, u32 } from '../../src/wire/codec.js';
import type { Swtpm } from '../peers/swtpm.js';
import type { Dialogue, Input } from './daa.js';
import { Mirror } from './mirror.js';
import { entropy } from './rig.js';
import { owned, ownerSecret } from './states.js';

export type DaaName = Extract<OrdinalName, 'DAA_Join' | 'DAA_Sign'>;

/** The command of a stage. */
export const daaCommand = (
  name: DaaName,
  handle: number,
  { stage, data0, data1 }: Input,
): Command<Uint8Array> => ({
  ...raw.rawCommand(name, 1, handle, raw.byte(stage), raw.counted(data0), raw.counted(data1)),
  output: outputData,
});

const outputData = {
  size: undefined,
  read: (from: Reader) => from.take(from.uint(4)),
  write: () => {
    throw new TypeError('a response is never written');
  },
};

export class DaaHost {
  readonly client: Tpm12Client;
  readonly #owner: Uint8Array;
  #session: Session | undefined;
  /** The handle of the session that is under way. */
  handle = 0;

  constructor(client: Tpm12Client, owner: Uint8Array) {
    this.client = client;
    this.#owner = owner;
  }

  /** Sends one command in a session that goes on; gives what comes out of it. */
  send(
    name: DaaName,
    input: Input,
    { handle = this.handle, secret = this.#owner }: { handle?: number; secret?: Uint8Array } = {},
  ): Uint8Array {
    const session = this.#session ?? this.client.openOiap();
    // A refusal ends it.
    this.#session = undefined;
    const auth = { session, secret, nonceOdd: this.client.nonce(), continueSession: true };
    const done = this.client.exchange(authorised(daaCommand(name, handle, input), auth));
    this.#session = done.session;
    return done.value;
  }

  /** Forgets the authorisation session, where the TPM has no sessions any more. */
  reset(): void {
    this.#session = undefined;
  }

  /** Goes through a dialogue, up to the stage that is not sent any more; gives what it came to. */
  run<T>(name: DaaName, dialogue: Dialogue<T>): T {
    for (let step = dialogue.next(); ; ) {
      if (step.done === true) return step.value;
      step = dialogue.next(this.#stage(name, step.value));
    }
  }

  /** Goes on until the command of `stage` is due, and gives it unsent. */
  runUntil(name: DaaName, dialogue: Dialogue<unknown>, stage: number): Input {
    for (let step = dialogue.next(); step.done !== true; ) {
      if (step.value.stage === stage) return step.value;
      step = dialogue.next(this.#stage(name, step.value));
    }
    throw new RangeError(`there is no stage ${stage}`);
  }

  #stage(name: DaaName, input: Input): Uint8Array {
    const output = this.send(name, input);
    if (input.stage === 0) this.handle = u32.read(new Reader(output));
    return output;
  }
}

/** What a TPM answers to something: 'TPM_SUCCESS', or how it refuses. */
export function resultOf(act: () => unknown): string {
  try {
    act();
    return resultName(0);
  } catch (error) {
    if (error instanceof TpmResponseError) return resultName(error.result);
    throw error;
  }
}

/** A host before swtpm and our engine at once, on an owned TPM that both power on with. */
export function hostOfBoth(theirs: Swtpm) {
  theirs.adopt({ permall: owned() });
  const mirror = new Mirror(theirs);
  const client = new Tpm12Client(mirror.transmit, entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  const host = new DaaHost(client, ownerSecret());
  const ek = client.ownerReadInternalPub(HANDLE.EK, ownerSecret());
  return { mirror, client, host, ek };
}
