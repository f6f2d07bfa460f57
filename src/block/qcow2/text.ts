/**
 * Text for messages.
 * @module
 */

/** A name from an image, which may go to a terminal: without control characters. */
export const printable = (name: string): string => name.replaceAll(/[^\x20-\x7e]/g, '?');

export const hex = (value: number): string => `0x${value.toString(16)}`;
