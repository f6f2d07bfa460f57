/**
 * The guest's serial console, over which the script of the initramfs takes one request at a time
 * (initramfs.ts).
 * @module
 */
import { MARK } from './initramfs.js';

export class Console {
  readonly #send: (text: string) => void;
  readonly #lines: string[] = [];
  #rest = '';
  #wake: (() => void) | undefined;

  /** @param send writes to the serial port of the guest */
  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  /** Takes a character that the guest has printed. */
  print(char: string): void {
    if (char === '\r') return;
    if (char !== '\n') {
      this.#rest += char;
      return;
    }
    this.#lines.push(this.#rest);
    this.#rest = '';
    this.#wake?.();
  }

  /** Resolves once the script waits for its first request. */
  async ready(): Promise<void> {
    await this.#answer();
  }

  /** Runs a shell command in the guest and gives the lines that it prints. */
  async shell(command: string): Promise<readonly string[]> {
    this.#send(`sh ${command}\n`);
    const { lines } = await this.#answer();
    return lines;
  }

  /** Writes a command to /dev/tpm0 in the guest, and gives what is read there. */
  async tpm(request: Uint8Array): Promise<Uint8Array> {
    this.#send(`tpm ${Buffer.from(request).toString('hex')}\n`);
    const { mark } = await this.#answer();
    return new Uint8Array(Buffer.from(mark, 'hex'));
  }

  /** Waits for the script's next answer: its mark, and the lines before it. */
  async #answer(): Promise<{ lines: readonly string[]; mark: string }> {
    for (;;) {
      const end = this.#lines.findIndex(line => line.startsWith(MARK));
      if (end >= 0) {
        const [mark, ...lines] = this.#lines.splice(0, end + 1).reverse();
        return { lines: lines.reverse(), mark: mark!.slice(MARK.length) };
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }
}
