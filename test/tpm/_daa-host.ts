/** A host that carries DAA commands to its TPM, as the owner. */
import {
  authorised,
  type Command,
  type OrdinalName,
  raw,
  type Tpm12Client,
} from '../../src/testing/guest/index.js';
import { Reader, u32 } from '../../src/wire/codec.js';
import type { Dialogue, Input } from './_daa.js';

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
    throw new TypeError('nobody writes it');
  },
};

export class DaaHost {
  readonly client: Tpm12Client;
  readonly #owner: Uint8Array;
  /** The handle of the session that is under way. */
  handle = 0;

  constructor(client: Tpm12Client, owner: Uint8Array) {
    this.client = client;
    this.#owner = owner;
  }

  /** Sends one command; gives what comes out of it. */
  send(name: DaaName, input: Input, handle = this.handle): Uint8Array {
    const session = this.client.openOiap();
    const nonceOdd = this.client.nonce();
    const auth = { session, secret: this.#owner, nonceOdd };
    return this.client.exchange(authorised(daaCommand(name, handle, input), auth)).value;
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
