/** A sample of images that the real qemu-img judges, where it is installed. @module */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../peers/qemu.js';
import { ownTemplates, qemuTemplates, type Template } from './power-cut.js';

/** What `qemu-img check` says: its exit code, and its text. */
export interface QemuVerdict {
  readonly status: number | null;
  readonly text: string;
}

export class Sample {
  readonly templates: readonly Template[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'nvtpm-sample-'));
  readonly #hasQemu = run('qemu-img', '--version').status === 0;
  readonly #every: number;

  /** @param size how many of `images` images QEMU judges */
  constructor(images: number, size: number) {
    this.#every = Math.max(1, Math.floor(images / Math.max(1, size)));
    this.templates = [...ownTemplates(), ...(this.#hasQemu ? qemuTemplates(this.#folder) : [])];
  }

  templateOf(seed: number): Template {
    return this.templates[seed % this.templates.length]!;
  }

  /** QEMU's verdict on an image, if that of this seed is in the sample. */
  judge(seed: number, image: Uint8Array): QemuVerdict | undefined {
    if (!this.#hasQemu || seed % this.#every !== 0) return undefined;
    const path = join(this.#folder, 'sample.qcow2');
    writeFileSync(path, image);
    return run('qemu-img', 'check', '-f', 'qcow2', path);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** How many images QEMU found clean, with leaks, and corrupt. */
export class Judged {
  clean = 0;
  leaks = 0;
  corrupt = 0;

  /** Counts a verdict. @returns what is wrong, as a sentence */
  count({ status }: QemuVerdict): string | undefined {
    if (status === 0) this.clean += 1;
    else if (status === 3) this.leaks += 1;
    else this.corrupt += 1;
    return status === 0 || status === 3 ? undefined : `qemu-img check says ${status}`;
  }
}
