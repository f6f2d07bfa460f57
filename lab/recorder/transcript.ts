/**
 * Transcript files: exchanges with a reference TPM, what happened to the TPM between them, and which
 * bytes of a response a second TPM cannot be expected to repeat. One step a line.
 * @module
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ordinalName, resultName } from '../../src/guest/index.js';
import { fixture, hex, ROOT, word } from '../files.js';

/** Bytes of a response that the TPM drew at random. */
export interface Range {
  readonly field: string;
  readonly offset: number;
  readonly length: number;
}

export interface Exchange {
  readonly event?: undefined;
  readonly what: string;
  readonly locality: number;
  readonly request: string;
  readonly response: string;
  /** An engine whose entropy repeats these bytes repeats the response. */
  readonly random: readonly Range[];
}

/** What the machine around the TPM does. `storesFail` is true while no permall can be stored. */
export type Event =
  | { readonly event: 'powerCut' }
  | { readonly event: 'hash'; readonly data: string }
  | { readonly event: 'storesFail'; readonly value: boolean };

export type Step = Exchange | Event;

export interface Transcript {
  readonly source: string;
  readonly recordedBy: string;
  readonly about: string;
  /** Secrets that the requests are made with, where there is an owner. */
  readonly secrets: { readonly owner: string; readonly srk: string; readonly area: string };
  /** libtpms's permall when the power came on; null for a TPM that never ran. */
  readonly startsFrom: string | null;
  readonly steps: readonly Step[];
  readonly endsWith: string;
}

/** The states that scenarios start from. All with an owner start from one pair, so that keys agree. */
export type Start = 'nothing' | 'ek' | 'owned';
export interface States {
  readonly source: string;
  readonly recordedBy: string;
  readonly ek: string;
  readonly owned: string;
}

/** An exchange in a file: locality 0, and no random bytes, are left out. */
interface FileExchange extends Pick<Exchange, 'event' | 'what' | 'request' | 'response'> {
  readonly locality?: number;
  readonly random?: readonly (readonly [field: string, offset: number, length: number])[];
}
interface FileTranscript extends Omit<Transcript, 'startsFrom' | 'steps'> {
  readonly startsFrom: Start;
  readonly steps: readonly (FileExchange | Event)[];
}

export const FOLDER = join(ROOT, 'fixtures', 'transcripts');

/** The name of a request's command, as libtpms spells it. */
export const nameOf = ({ request }: Pick<Exchange, 'request'>): string =>
  ordinalName(word(hex(request), ORDINAL_AT));
/** The name of a response's result code. */
export const resultOf = ({ response }: Pick<Exchange, 'response'>): string =>
  resultName(word(hex(response), ORDINAL_AT));
const ORDINAL_AT = 6;

/** The names of all transcripts. */
export const transcripts = (): string[] =>
  readdirSync(FOLDER)
    .map(name => name.replace('.json', ''))
    .sort();

/** The state of that name, in hex; null for a TPM that never ran. */
export const stateOf = (start: Start): string | null =>
  start === 'nothing' ? null : fixture<States>('states/permall.json')[start];

export function transcript(name: string): Transcript {
  const { steps, startsFrom, ...rest } = fixture<FileTranscript>(`transcripts/${name}.json`);
  const whole = steps.map(step => (step.event === undefined ? exchangeOf(step) : step));
  return { ...rest, startsFrom: stateOf(startsFrom), steps: whole };
}

const exchangeOf = ({ random = [], ...step }: FileExchange): Exchange => ({
  locality: 0,
  ...step,
  random: random.map(([field, offset, length]) => ({ field, offset, length })),
});

/** Writes the file of a transcript. */
export function writeTranscript(
  name: string,
  startsFrom: Start,
  { source, recordedBy, about, secrets, steps, endsWith }: Omit<Transcript, 'startsFrom'>,
): void {
  const head = Object.entries({ source, recordedBy, about, secrets, startsFrom, endsWith });
  const lines = steps.map(step => JSON.stringify(step.event === undefined ? inFile(step) : step));
  const parts = [
    ...head.map(([field, value]) => `"${field}": ${JSON.stringify(value)}`),
    `"steps": [\n${lines.join(',\n')}\n]`,
  ];
  writeFileSync(join(FOLDER, `${name}.json`), `{\n${parts.join(',\n')}\n}\n`);
}

const inFile = ({ what, locality, request, response, random }: Exchange): FileExchange => ({
  what,
  ...(locality !== 0 && { locality }),
  request,
  response,
  ...(random.length > 0 && {
    random: random.map(({ field, offset, length }) => [field, offset, length] as const),
  }),
});
