/**
 * JSON values in a stream, as QMP has them: one after another, with or without white space in between,
 * strings in double or single quotes. The length and the depth of a value are bounded. A malformed value
 * is one fault: if its end is unknown, the rest of the line is skipped.
 * @module
 */

/** Characters and nesting of one value: far more than any command has. */
const LENGTH_MAX = 64 * 1024;
const DEPTH_MAX = 64;

export type Parsed = { readonly value: unknown } | { readonly fault: string };

export class JsonStream {
  readonly #decoder = new TextDecoder();
  /** The value so far, in double quotes. */
  #text = '';
  #depth = 0;
  #quote = '';
  #escaped = false;
  /** Until the end of the line. */
  #skipping = false;

  /** Whether a value has begun that is not complete. */
  get partial(): boolean {
    return this.#text !== '';
  }

  /** The values that `chunk` completes. */
  *push(chunk: Uint8Array): Generator<Parsed> {
    for (const char of this.#decoder.decode(chunk, { stream: true })) {
      const parsed = this.#skipping ? undefined : this.#next(char);
      // Before the yield: a consumer may stop there.
      if (char === '\n') this.#skipping = false;
      if (parsed !== undefined) yield parsed;
    }
  }

  #next(char: string): Parsed | undefined {
    return this.#quote === '' ? this.#outside(char) : this.#inside(char);
  }

  /** A character of a string. */
  #inside(char: string): Parsed | undefined {
    if (char < ' ') return this.#fault('a control character in a string');
    if (this.#escaped) {
      this.#escaped = false;
      // JSON knows no escaped single quote, and needs none.
      if (char === "'") this.#text = this.#text.slice(0, -1);
      return this.#add(char);
    }
    if (char === this.#quote) {
      this.#quote = '';
      return this.#add('"') ?? (this.#depth === 0 ? this.#done() : undefined);
    }
    this.#escaped = char === '\\';
    return this.#add(char === '"' ? '\\"' : char);
  }

  #outside(char: string): Parsed | undefined {
    if (' \t\r\n'.includes(char)) {
      // White space ends a number or a word, which nothing else does.
      return this.#depth === 0 && this.#text !== '' ? this.#done() : this.#gap();
    }
    if (char === '\uFFFD') return this.#fault('a byte that is not UTF-8');
    if (char === '"' || char === "'") {
      this.#quote = char;
      return this.#add('"');
    }
    if (char === '{' || char === '[') {
      this.#depth += 1;
      if (this.#depth > DEPTH_MAX) return this.#fault(`nested deeper than ${DEPTH_MAX}`);
    }
    if (char === '}' || char === ']') {
      this.#depth -= 1;
      if (this.#depth < 0) return this.#fault('expecting value');
      return this.#add(char) ?? (this.#depth === 0 ? this.#done() : undefined);
    }
    return this.#add(char);
  }

  /** White space within a value parts its words. */
  #gap(): Parsed | undefined {
    return this.#text === '' || this.#text.endsWith(' ') ? undefined : this.#add(' ');
  }

  #add(text: string): Parsed | undefined {
    this.#text += text;
    return this.#text.length > LENGTH_MAX ? this.#fault('it is too long') : undefined;
  }

  #done(): Parsed {
    const text = this.#text;
    this.#reset();
    try {
      return { value: JSON.parse(text) };
    } catch {
      return { fault: 'JSON parse error, it is malformed' };
    }
  }

  /** A fault whose value has no known end. */
  #fault(why: string): Parsed {
    this.#reset();
    this.#skipping = true;
    return { fault: `JSON parse error, ${why}` };
  }

  #reset(): void {
    this.#text = '';
    this.#depth = 0;
    this.#quote = '';
    this.#escaped = false;
  }
}
