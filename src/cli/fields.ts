/**
 * Options that have fields, as those of QEMU and swtpm do.
 * @module
 */

/** The fields of `a=1,b,c=2`; what has no value is ''. */
export const fieldsOf = (text: string): [name: string, value: string][] =>
  text.split(',').map(part => {
    const at = part.indexOf('=');
    return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
  });
