/**
 * A PC in v86 that runs Linux, with our registers at 0xFED40000 and its serial console in our hands.
 * @module
 */
import { TIS_BASE, type Tis } from 'nvtpm/tis';
import { Console } from './console.js';
import { initramfs } from './initramfs.js';
import { load, pathOf, urlOf } from './pieces.js';

/** What is used of v86, whose own types come with the package. */
interface Emulator {
  readonly v86: { readonly cpu: { readonly io: Io } };
  add_listener(event: string, listener: (value: number) => void): void;
  serial0_send(text: string): void;
  run(): Promise<void>;
  destroy(): Promise<void>;
}
interface Io {
  mmap_register(
    address: number,
    size: number,
    read8: (address: number) => number,
    write8: (address: number, value: number) => void,
    read32: (address: number) => number,
    write32: (address: number, value: number) => void,
  ): void;
}
interface V86 {
  readonly V86: new (options: Readonly<Record<string, unknown>>) => Emulator;
}

/** The kernel's own driver looks where a TIS always is, because there are no ACPI tables to say so. */
// biome-ignore format: table
const COMMAND_LINE = [
  'console=ttyS0', 'quiet', 'tpm_tis.force=1', 'tpm_tis.interrupts=0',
  // What takes its time and is not needed.
  'acpi=off', 'pnpbios=off', 'nosmp', 'noapic', 'nolapic', 'lpj=4000000', 'cryptomgr.notests=1', 'apparmor=0',
  'nokaslr', 'mitigations=off',
].join(' ');

const MEMORY_BYTES = 256 * 1024 * 1024;
/** The least that v86 maps: as good as the TIS window, since nothing else is near it. */
const WINDOW_BYTES = 128 * 1024;

export class Pc {
  readonly #emulator: Emulator;
  readonly console: Console;
  /** How often the guest has read or written a register. */
  accesses = 0;

  private constructor(emulator: Emulator) {
    this.#emulator = emulator;
    const console = new Console(text => emulator.serial0_send(text));
    emulator.add_listener('serial0-output-byte', byte => console.print(String.fromCharCode(byte)));
    this.console = console;
  }

  /** Boots Linux, until its console answers. */
  static async boot(tis: Tis): Promise<Pc> {
    const { V86 } = (await import(urlOf('v86'))) as V86;
    const emulator = new V86({
      wasm_path: pathOf('wasm'),
      bios: { buffer: load('bios') },
      vga_bios: { buffer: load('vgaBios') },
      bzimage: { buffer: load('kernel') },
      initrd: { buffer: initramfs() },
      cmdline: COMMAND_LINE,
      memory_size: MEMORY_BYTES,
      autostart: false,
    });
    await new Promise<void>(resolve => emulator.add_listener('emulator-ready', () => resolve()));
    const pc = new Pc(emulator);
    pc.#map(tis);
    await emulator.run();
    await pc.console.ready();
    return pc;
  }

  #map(tis: Tis): void {
    const counted = (address: number): number => {
      this.accesses += 1;
      // v86 has addresses and values as signed numbers.
      return (address >>> 0) - TIS_BASE;
    };
    this.#emulator.v86.cpu.io.mmap_register(
      TIS_BASE | 0,
      WINDOW_BYTES,
      address => tis.read(counted(address), 1),
      (address, value) => tis.write(counted(address), 1, value),
      address => tis.read(counted(address), 4) | 0,
      (address, value) => tis.write(counted(address), 4, value >>> 0),
    );
  }
}
