/**
 * The positional arguments of a script, all of them optional.
 *
 *     const { lives, only } = parameters('travel-tpm12', { lives: 500, only: ['both', 'ours', 'theirs'] });
 * @module
 */

/** A whole number and its default, or the words that are allowed, the default first. */
type Parameter = number | readonly string[];
type Value<P extends Parameter> = P extends number ? number : string;
type Values<T extends Readonly<Record<string, Parameter>>> = {
  readonly [name in keyof T]: Value<T[name]>;
};

/** Reads the arguments of this process. Where one is invalid, it ends with a usage sentence and 2. */
export function parameters<const T extends Readonly<Record<string, Parameter>>>(
  script: string,
  specs: T,
): Values<T> {
  const given = process.argv.slice(2);
  const entries = Object.entries(specs);
  const read = entries.map(([name, spec], at) => [name, argumentOf(spec, given[at])] as const);
  if (given.length > entries.length || read.some(([, value]) => value === undefined)) {
    console.error(usage(script, entries));
    process.exit(2);
  }
  // Object.fromEntries cannot know the names: they are those of `specs`.
  return Object.fromEntries(read) as Values<T>;
}

function argumentOf(spec: Parameter, text: string | undefined): number | string | undefined {
  if (typeof spec === 'number') {
    if (text === undefined) return spec;
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }
  return text === undefined ? spec[0] : spec.find(word => word === text);
}

function usage(script: string, specs: readonly (readonly [string, Parameter])[]): string {
  const words = specs.map(([name, spec]) =>
    typeof spec === 'number' ? `${name}=${spec}` : `${name}=${spec.join('|')}`,
  );
  const optional = words.reduceRight((rest, word) => ` [${word}${rest}]`, '');
  return `usage: node dist/scripts/${script}.js${optional}`;
}

/** The cluster sizes of qcow2, as qemu-img spells them; 64k is its default. */
// biome-ignore format: table
export const CLUSTER_SIZES = ['64k', '512', '1k', '2k', '4k', '8k', '16k', '32k', '128k', '256k', '512k', '1M', '2M'];
