// 1. A TPM on a board
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import {
  systemClock as clock,
  systemEntropy as entropy,
  Machine,
  makeManifest,
  readManifest,
  Tpm12,
} from 'nvtpm';
import { createQcow2, openImage } from 'nvtpm/block';
import { TIS_BASE, TIS_SPACE } from 'nvtpm/tis';

const IMAGE_BYTES = 1024 * 1024;

/** The TPM of an emulated PC. `irq` is called with the level of its interrupt line. */
export class BoardTpm {
  #image;
  #machine;

  constructor(path, irq = () => {}) {
    if (!existsSync(path)) createQcow2(path, { size: IMAGE_BYTES });
    this.#image = openImage(path, { readOnly: false });
    const engine = () => new Tpm12({ entropy, clock });
    this.#machine = new Machine({ image: this.#image, entropy, engine, irq });
  }

  // 2. The bus: reads and writes of 1, 2 or 4 bytes at guest-physical addresses
  claims(address) {
    return address >= TIS_BASE && address < TIS_BASE + TIS_SPACE;
  }
  read(address, size) {
    if (this.#machine.power !== 'on') return 2 ** (8 * size) - 1;
    return this.#machine.tis.read(address - TIS_BASE, size);
  }
  write(address, size, value) {
    if (this.#machine.power === 'on') this.#machine.tis.write(address - TIS_BASE, size, value);
  }

  // 3. Power
  powerOn() {
    this.#machine.powerOn();
  }
  reset() {
    this.#machine.reset();
  }
  /** Switches off in order. What the TPM keeps without power is in the image. */
  powerOff() {
    this.#machine.powerOff();
  }
  close() {
    this.#machine.powerOff();
    this.#image.close();
  }

  // 4. Snapshots of the running emulator
  /** The registers, PCRs, sessions and loaded keys. The machine runs on. */
  saveTo(file) {
    writeFileSync(file, JSON.stringify(makeManifest(this.#machine.save())));
  }
  /** Powers on with a saved state. The image must hold what it held then, or this throws REFUSED. */
  loadFrom(file) {
    this.#machine.load(readManifest(JSON.parse(readFileSync(file, 'utf8'))));
  }
}
