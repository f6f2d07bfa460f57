/** A TPM of ours with a guest's client before it: real keys, a real clock, blobs in memory. */
import { randomBytes } from 'node:crypto';
import { Tpm12Client } from '../../src/guest/client.js';
import { commands, PRESENCE, STARTUP } from '../../src/guest/index.js';
import { Tpm12, type Tpm12Options } from '../../src/tpm/tpm12/tpm12.js';
import { MemoryNvram } from './memory-nvram.js';

export const entropy = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

export class Rig {
  readonly nvram: MemoryNvram;
  readonly tpm: Tpm12;
  readonly client: Tpm12Client;
  /** The locality of every command from now on. */
  locality = 0;
  /** Microseconds that the clock shows. */
  now = 0;

  constructor(nvram = new MemoryNvram(), options: Partial<Tpm12Options> = {}) {
    this.nvram = nvram;
    this.tpm = new Tpm12({ entropy, clock: () => this.now, ...options });
    this.client = new Tpm12Client(this.transmit, entropy);
    this.tpm.init(nvram);
  }

  readonly transmit = (request: Uint8Array): Uint8Array => {
    this.now += 1;
    return this.tpm.process(request, this.locality);
  };

  start(): this {
    this.client.run(commands.startup(STARTUP.CLEAR));
    return this;
  }

  /** Cuts the power, gives it back, and starts the TPM. */
  powerCycle(): this {
    this.tpm.init(this.nvram);
    return this.start();
  }

  /** Asserts physical presence. */
  bePresent(): this {
    this.client.run(commands.physicalPresence(PRESENCE.CMD_ENABLE));
    this.client.run(commands.physicalPresence(PRESENCE.PRESENT));
    return this;
  }
}
