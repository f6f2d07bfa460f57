/**
 * The code that pages show without a file behind it: `ts` blocks, each compiled against the package as
 * it is built. What a block takes for granted is declared in a comment before it, which a page does
 * not render:
 *
 *     <!-- given: const fd: number; const path: string; -->
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { ROOT } from '../files.js';

/** A block of a page. */
export interface Snippet {
  readonly page: string;
  /** The line of its first line of code, from 1. */
  readonly line: number;
  readonly code: string;
  /** Declarations of what it takes for granted. */
  readonly given: string;
}

const FENCE = /(?:<!-- given: (.+?) -->\n)?^```ts\n([\s\S]*?)^```$/gm;

/** The `ts` blocks of a page. */
export function snippetsOf(page: string): Snippet[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(FENCE)].map(({ 0: whole, 1: given = '', 2: code = '', index }) => ({
    page,
    line: text.slice(0, index + whole.indexOf(code)).split('\n').length,
    code,
    given: given.replaceAll(/\b(const|function)\b/g, 'declare $1'),
  }));
}

/** The lines of `js` blocks that neither show a file nor name the test that runs them. */
export function unchecked(page: string): number[] {
  const lines = readFileSync(join(ROOT, page), 'utf8').split('\n');
  return lines.flatMap((line, at) =>
    /^```(js|mjs|javascript|typescript)$/.test(line) &&
    !/^<!-- (file|tested): /.test(lines[at - 1] ?? '')
      ? [at + 1]
      : [],
  );
}

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.NodeNext,
  types: ['node'],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
};

/**
 * What the compiler says of the snippets, as `page:line: message`. They are modules of this package, so
 * that `nvtpm` is what its entry points export.
 */
export function faultsOf(snippets: readonly Snippet[]): string[] {
  const files = new Map(
    snippets.map((snippet, at) => [join(ROOT, 'docs', `snippet-${at}.ts`), snippet]),
  );
  const host = ts.createCompilerHost(OPTIONS);
  const { fileExists, readFile, getSourceFile } = host;
  host.getCurrentDirectory = () => ROOT;
  host.fileExists = path => files.has(path) || fileExists(path);
  host.readFile = path => sourceOf(files.get(path)) ?? readFile(path);
  host.getSourceFile = (path, ...rest) => {
    const source = sourceOf(files.get(path));
    return source === undefined
      ? getSourceFile(path, ...rest)
      : ts.createSourceFile(path, source, rest[0], true);
  };
  const program = ts.createProgram([...files.keys()], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(fault => sentence(fault, files));
}

/** The declarations stand behind the code, so that lines are those of the page. */
const sourceOf = (snippet: Snippet | undefined): string | undefined =>
  snippet && `${snippet.code}\nexport {};\n${snippet.given}\n`;

function sentence(fault: ts.Diagnostic, files: ReadonlyMap<string, Snippet>): string {
  const message = ts.flattenDiagnosticMessageText(fault.messageText, ' ');
  const snippet = fault.file && files.get(fault.file.fileName);
  if (fault.file === undefined || snippet === undefined) return message;
  const { line } = fault.file.getLineAndCharacterOfPosition(fault.start ?? 0);
  return `${snippet.page}:${snippet.line + line}: ${message}`;
}
