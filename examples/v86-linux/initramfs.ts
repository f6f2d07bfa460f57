/**
 * The guest's whole user space: busybox, and a script that does what the serial console says. It is
 * packed as the kernel wants it: the "newc" format of cpio (cpio(5)).
 * @module
 */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { pathOf } from './pieces.js';

/** What the guest's script prints before each of its answers. */
export const MARK = '@';

/**
 * `sh COMMAND` runs a command and prints `@` and its exit code; `tpm HEX` writes bytes to /dev/tpm0 and
 * prints `@` and what it reads there.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
dmesg -n 1
stty raw -echo </dev/ttyS0
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo ${MARK}ready
while read -r verb rest; do
  case $verb in
    sh)
      eval "$rest"
      echo "${MARK}$?"
      ;;
    tpm)
      echo "$rest" | xxd -r -p >/tmp/command
      exec 3<>/dev/tpm0
      dd if=/tmp/command bs=4096 >&3 2>/dev/null
      echo "${MARK}$(dd bs=4096 count=1 <&3 2>/dev/null | xxd -p | tr -d '\\n')"
      exec 3>&-
      ;;
  esac
done
`;

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
const CHARACTER_DEVICE = 0o020600;

export function initramfs(): ArrayBuffer {
  const archive = [
    entry(1, 'bin', DIRECTORY),
    entry(2, 'dev', DIRECTORY),
    entry(3, 'dev/console', CHARACTER_DEVICE, new Uint8Array(), [5, 1]),
    entry(4, 'bin/busybox', PROGRAM, readFileSync(pathOf('busybox'))),
    entry(5, 'init', PROGRAM, new TextEncoder().encode(INIT)),
    entry(0, 'TRAILER!!!', 0),
  ];
  return new Uint8Array(gzipSync(Buffer.concat(archive))).buffer;
}

function entry(
  inode: number,
  name: string,
  mode: number,
  data: Uint8Array = new Uint8Array(),
  [major, minor]: readonly [number, number] = [0, 0],
): Buffer {
  const [uid, gid, links, time, device, checksum] = [0, 0, 1, 0, 0, 0];
  const path = Buffer.from(`${name}\0`);
  // biome-ignore format: table
  const fields = [inode, mode, uid, gid, links, time, data.length, device, device, major, minor, path.length, checksum];
  const head = `070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.from(head), path), padded(data)]);
}

/** The parts one after another, and zeros to a multiple of 4 bytes. */
function padded(...parts: readonly Uint8Array[]): Buffer {
  const whole = Buffer.concat(parts);
  return Buffer.concat([whole, Buffer.alloc((4 - (whole.length % 4)) % 4)]);
}
