/**
 * A guest for a PC without an operating system: a boot sector that takes TPM commands from the first
 * serial port and passes them to the TPM by the firmware (TCG PC Client BIOS 1.2, §13: INT 1Ah,
 * TCG_PassThroughToTPM). On the serial port a command and a response have their length in front, 16
 * bits, low byte first; a response of no bytes says that the firmware has refused the command.
 * @module
 */

const SECTOR_BYTES = 512;
const SIGNATURE = [0x55, 0xaa];

/** Lines of machine code and what it does; `@label` stands for 16 bits and `~label` for 8, relative. */
// biome-ignore format: table
const PROGRAM: readonly string[] = [
  '31 c0',             // xor ax, ax
  '8e d8',             // mov ds, ax
  '8e c0',             // mov es, ax
  '8e d0',             // mov ss, ax
  'bc 00 7c',          // mov sp, 0x7c00
  'fc',                // cld
  'next:',
  'e8 @in',            // call in
  '88 c1',             // mov cl, al
  'e8 @in',            // call in
  '88 c5',             // mov ch, al       ; cx: bytes of the command
  'bf 00 80',          // mov di, 0x8000   ; the input block
  '89 c8',             // mov ax, cx
  '05 08 00',          // add ax, 8
  'ab',                // stosw            ; its length
  '31 c0',             // xor ax, ax
  'ab',                // stosw
  'b8 00 10',          // mov ax, 0x1000
  'ab',                // stosw            ; room for the output block
  '31 c0',             // xor ax, ax
  'ab',                // stosw
  'read:',
  'e8 @in',            // call in
  'aa',                // stosb
  'e2 ~read',          // loop read
  'bf 00 80',          // mov di, 0x8000
  'be 00 90',          // mov si, 0x9000   ; the output block
  '66 bb 54 43 50 41', // mov ebx, "TCPA"
  '66 31 c9',          // xor ecx, ecx
  '66 31 d2',          // xor edx, edx
  'b8 02 bb',          // mov ax, 0xbb02   ; TCG_PassThroughToTPM
  'cd 1a',             // int 0x1a
  'be 00 90',          // mov si, 0x9000
  'ad',                // lodsw            ; its length
  '83 e8 04',          // sub ax, 4
  '89 c1',             // mov cx, ax       ; bytes of the response
  '46',                // inc si
  '46',                // inc si
  '88 c8',             // mov al, cl
  'e8 @out',           // call out
  '88 e8',             // mov al, ch
  'e8 @out',           // call out
  'e3 ~next',          // jcxz next
  'write:',
  'ac',                // lodsb
  'e8 @out',           // call out
  'e2 ~write',         // loop write
  'eb ~next',          // jmp next
  'in:',
  'ba fd 03',          // mov dx, 0x3fd    ; the state of the serial port
  'empty:',
  'ec',                // in al, dx
  'a8 01',             // test al, 1
  '74 ~empty',         // jz empty
  'ba f8 03',          // mov dx, 0x3f8    ; its data
  'ec',                // in al, dx
  'c3',                // ret
  'out:',
  '50',                // push ax
  'ba fd 03',          // mov dx, 0x3fd
  'full:',
  'ec',                // in al, dx
  'a8 20',             // test al, 0x20
  '74 ~full',          // jz full
  '58',                // pop ax
  'ba f8 03',          // mov dx, 0x3f8
  'ee',                // out dx, al
  'c3',                // ret
];

/** The bytes that a part of a line becomes. */
const widthOf = (part: string): number => (part.startsWith('@') ? 2 : 1);

/** @returns a sector of 512 bytes that a PC's firmware boots */
export function bootSector(): Uint8Array {
  const labels = new Map<string, number>();
  const parts: string[] = [];
  let length = 0;
  for (const line of PROGRAM) {
    if (line.endsWith(':')) {
      labels.set(line.slice(0, -1), length);
      continue;
    }
    for (const part of line.split(' ')) {
      parts.push(part);
      length += widthOf(part);
    }
  }
  const sector = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(sector.buffer);
  let at = 0;
  for (const part of parts) {
    const next = at + widthOf(part);
    const label = labels.get(part.slice(1));
    if (label === undefined) sector[at] = Number.parseInt(part, 16);
    else if (part.startsWith('@')) view.setInt16(at, label - next, true);
    else view.setInt8(at, label - next);
    at = next;
  }
  sector.set(SIGNATURE, SECTOR_BYTES - SIGNATURE.length);
  return sector;
}
