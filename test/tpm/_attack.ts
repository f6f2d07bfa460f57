/** A guest that attacks: what must hold of every response, whatever was sent. */
import { toHex } from '../_files.js';
import { MemoryNvram } from './_memory-nvram.js';
import { HEADER_BYTES, STATES } from './_mutations.js';
import { Rig } from './_rig.js';
import { fixedKey } from './_states.js';

const SUCCESS = 0;
const FAIL = 9;
const BUFFER_BYTES = 4096;
const TAGS = [0x00c4, 0x00c5, 0x00c6];
/** Commands that one TPM gets before the next one, of another state, takes its place. */
const COMMANDS_PER_TPM = 500;

export class Attack {
  /** How many commands succeeded. */
  succeeded = 0;
  #sent = 0;
  #rig = this.#next();

  #next(): Rig {
    const nvram = new MemoryNvram();
    const permall = STATES[(this.#sent / COMMANDS_PER_TPM) % STATES.length];
    if (permall !== undefined) nvram.blobs.set('permall', permall);
    return new Rig(nvram, { generateKey: fixedKey }).start();
  }

  /** What is wrong with the response to a request; undefined where nothing is. */
  send(request: Uint8Array): string | undefined {
    if (this.#sent > 0 && this.#sent % COMMANDS_PER_TPM === 0) this.#rig = this.#next();
    this.#sent += 1;
    const rig = this.#rig;
    rig.locality = this.#sent % 5;
    const before = rig.nvram.permall;
    const response = rig.transmit(request);
    const view = new DataView(response.buffer, response.byteOffset, response.length);
    const result = view.getUint32(6);
    if (result === SUCCESS) this.succeeded += 1;
    const changed = Buffer.compare(rig.nvram.permall, before) !== 0;
    const sound =
      response.length >= HEADER_BYTES &&
      response.length <= BUFFER_BYTES &&
      TAGS.includes(view.getUint16(0)) &&
      view.getUint32(2) === response.length &&
      result !== FAIL &&
      (result === SUCCESS || response.length === HEADER_BYTES) &&
      (result === SUCCESS || !changed);
    return sound ? undefined : `gave ${toHex(response)}${changed ? ', and changed the state' : ''}`;
  }
}
