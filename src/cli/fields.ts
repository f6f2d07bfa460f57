/**
 * Options that have fields, as those of QEMU and swtpm do: `a=1,b,c=2`.
 * @module
 */

/** The fields in order; the value of one without `=` is ''. */
export const fieldsOf = (text: string): [name: string, value: string][] =>
  text.split(',').map(part => {
    const at = part.indexOf('=');
    return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
  });
