/** Runs the steps before one TPM, and says what was seen of each in words that two TPMs share. */
import { verify } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pubKey, publicKeyOf } from '../../src/guest/index.js';
import { decode } from '../../src/wire/codec.js';
import type { Step } from './steps.js';
import { askAt, type Subject } from './subjects.js';
import { type Outcome, Tcsd } from './tcsd.js';

/** What one step showed; equal for two TPMs that do the same. */
export interface Seen {
  readonly step: string;
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** False where it should have shown the EK that the same TPM had before, and showed another. */
  readonly sameEk: boolean;
}

/** What the tools need to be there. */
const FILES: Readonly<Record<string, string>> = {
  clear: 'what is sealed',
  nonce: 'twenty bytes of once',
  secret: 'a secret of twenty b',
};

export async function seenBy(
  folder: string,
  make: (folder: string) => Subject,
  steps: readonly Step[],
): Promise<Seen[]> {
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(files, name), text);
  const subject = make(folder);
  const seen: Seen[] = [];
  let tcsd: Tcsd | undefined;
  let ek: string | undefined;
  try {
    await subject.start();
    for (const step of steps) {
      if ('cut' in step) {
        await tcsd?.stop();
        tcsd = undefined;
        await subject.kill();
        await subject.start();
      } else if ('raw' in step) {
        const out = await askAt(subject.port, step.raw);
        seen.push({
          step: `raw ${step.raw.slice(14, 22)}`,
          code: null,
          out,
          err: '',
          sameEk: true,
        });
      } else if ('quote' in step) {
        const out = isQuoteSound(files) ? 'sound' : 'not sound';
        seen.push({ step: 'the quote', code: null, out, err: '', sameEk: true });
      } else {
        tcsd ??= await Tcsd.start(folder, subject.port);
        const [program, ...args] = step.tool.map(word => word.replace(/^%/, `${files}/`));
        const outcome = await tcsd.run(program!, args, step.input);
        if (step.sameEk) ek ??= outcome.out;
        const sameEk = !step.sameEk || ek === outcome.out;
        seen.push({ step: step.tool.join(' '), ...shared(outcome, step, files), sameEk });
      }
    }
    return seen;
  } finally {
    await tcsd?.stop();
    await subject.kill();
  }
}

/** A TPM_PUBKEY of 2048 bits. */
const PUBKEY_BYTES = 284;
/** Where the nonce of a TPM_QUOTE_INFO2 lies (TPM Main Part 2 §11.4). */
const NONCE_AT = 6;

/** Whether the key in the file aik.pub signed the hash of the PCRs together with the nonce. */
function isQuoteSound(files: string): boolean {
  const [key, signed, nonce, quote] = ['aik.pub', 'pcr.hash', 'nonce', 'quote'].map(
    name => new Uint8Array(readFileSync(join(files, name))),
  );
  signed!.set(nonce!, NONCE_AT);
  // What comes before the TPM_PUBKEY is trousers' wrapping.
  const signer = publicKeyOf(decode(pubKey, key!.slice(-PUBKEY_BYTES)));
  return verify('sha1', signed!, signer, quote!);
}

/** An outcome without what differs between any two TPMs: bytes of keys, and uninitialised memory. */
function shared(
  { code, out, err }: Outcome,
  { random, noisy }: { readonly random?: true; readonly noisy?: true },
  files: string,
): Outcome {
  const plain = (text: string): string =>
    text.replaceAll(files, '%').replace(/(?:[0-9a-f]{8} ?){8,}/g, '…');
  return {
    code,
    out: random ? `${out.length} bytes` : plain(out),
    err: noisy ? '' : plain(err),
  };
}
