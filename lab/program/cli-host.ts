/**
 * The process behind `nvtpm()` of cli.ts: runs the command for each line of JSON on standard input,
 * and answers on file descriptor 3.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { main } from '../../src/cli/program.js';
import type { Output, Surroundings } from '../../src/cli/surroundings.js';
import type { Request, Response } from './cli.js';

const RESPONSES = 3;
const LISTENING = /listening at|running \(/;

function collector(heard: (text: string) => void): { output: Output; text: () => string } {
  const chunks: Uint8Array[] = [];
  const text = (): string => Buffer.concat(chunks).toString();
  const output: Output = {
    isTerminal: false,
    columns: undefined,
    write: bytes => {
      chunks.push(bytes.slice());
      heard(text());
      return bytes.length;
    },
  };
  return { output, text };
}

async function respond({ args, cwd, env, endsServers }: Request): Promise<Response> {
  process.chdir(cwd);
  let isEnding = false;
  const endServer = (said: string): void => {
    if (!endsServers || isEnding || !LISTENING.test(said)) return;
    isEnding = true;
    setImmediate(() => process.emit('SIGTERM'));
  };
  const [out, err] = [collector(endServer), collector(endServer)];
  const surroundings: Surroundings = {
    stdin: Readable.from([]),
    stdout: out.output,
    stderr: err.output,
    env,
  };
  const exit = await main(args, surroundings);
  for (const signal of ['SIGTERM', 'SIGINT']) process.removeAllListeners(signal);
  return { exit, out: out.text(), err: err.text() };
}

for await (const line of createInterface({ input: process.stdin })) {
  writeSync(RESPONSES, `${JSON.stringify(await respond(JSON.parse(line)))}\n`);
}
