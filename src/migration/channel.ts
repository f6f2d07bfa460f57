/**
 * Messages over a stream socket: one JSON document a line. What the other side sends is bounded, and
 * waiting for it has a limit.
 * @module
 */
import type { Socket } from 'node:net';
import { NvtpmError } from '../errors.js';

/** The longest line that is taken, in bytes: a manifest with the largest states is far below it. */
const LINE_BYTES_MAX = 1024 * 1024;

/** The other side was silent for too long, went away, or sent what is no message. */
export class ChannelError extends NvtpmError {
  override readonly name = 'ChannelError';
  readonly outcome = 'FAILED';
  readonly code: 'TIMEOUT' | 'CLOSED' | 'MESSAGE';

  constructor(code: ChannelError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export function send(socket: Socket, message: unknown): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** The next line of the other side, parsed. One call at a time for each socket. */
export function receive(socket: Socket, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      act();
    };
    const fail = (code: ChannelError['code'], message: string): void =>
      settle(() => reject(new ChannelError(code, message)));
    const timer = setTimeout(
      () => fail('TIMEOUT', `the other side said nothing for ${timeoutMs} ms`),
      timeoutMs,
    );
    const onEnd = (): void => fail('CLOSED', 'the other side closed the connection');
    const onData = (part: Buffer): void => {
      length += part.length;
      if (length > LINE_BYTES_MAX) {
        fail('MESSAGE', `the other side sent over ${LINE_BYTES_MAX} bytes in a line`);
        return;
      }
      parts.push(part);
      if (!part.includes(0x0a)) return;
      const line = Buffer.concat(parts).toString('utf8').split('\n', 1)[0]!;
      try {
        const message: unknown = JSON.parse(line);
        settle(() => resolve(message));
      } catch {
        fail('MESSAGE', 'the other side sent a line that is not JSON');
      }
    };
    socket.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onEnd);
  });
}
