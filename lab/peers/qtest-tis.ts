/**
 * A TPM command through the TIS registers of a QEMU, over its qtest socket: the device is driven beside the
 * processor, which may run or not. Source: the command flow of TCG PC Client TIS 1.3.
 */
import type { Lines } from './qtest.js';

const BASE = 0xfed4_0000;
/** Offsets in locality 0. */
const REGISTER = { access: 0x00, status: 0x18, fifo: 0x24 } as const;
const ACCESS = { active: 0x20, requestUse: 0x02 } as const;
const STATUS = { commandReady: 0x40, go: 0x20, dataAvailable: 0x10 } as const;
const HEADER_BYTES = 10;

/** The response to `command`, at locality 0. @throws Error if QEMU ends */
export async function transmit(qtest: Lines, command: Uint8Array): Promise<Uint8Array> {
  await write(qtest, REGISTER.access, [ACCESS.requestUse]);
  await until(qtest, REGISTER.access, ACCESS.active);
  await write(qtest, REGISTER.status, [STATUS.commandReady]);
  await until(qtest, REGISTER.status, STATUS.commandReady);
  await write(qtest, REGISTER.fifo, [...command]);
  await write(qtest, REGISTER.status, [STATUS.go]);
  await until(qtest, REGISTER.status, STATUS.dataAvailable);
  const header = await read(qtest, REGISTER.fifo, HEADER_BYTES);
  const length = new DataView(header.buffer).getUint32(2);
  const body = await read(qtest, REGISTER.fifo, length - HEADER_BYTES);
  await write(qtest, REGISTER.status, [STATUS.commandReady]);
  await write(qtest, REGISTER.access, [ACCESS.active]);
  return Uint8Array.of(...header, ...body);
}

async function until(qtest: Lines, register: number, bit: number): Promise<void> {
  for (;;) {
    const [value] = await read(qtest, register, 1);
    if ((value! & bit) !== 0) return;
  }
}

/** Bytes of one register, read one after another. */
async function read(
  qtest: Lines,
  register: number,
  times: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const answers = await ask(qtest, Array<string>(times).fill(`readb ${BASE + register}`));
  return Uint8Array.from(answers, answer => Number(answer.split(' ')[1]));
}

const write = (qtest: Lines, register: number, bytes: readonly number[]): Promise<string[]> =>
  ask(
    qtest,
    bytes.map(byte => `writeb ${BASE + register} ${byte}`),
  );

async function ask(qtest: Lines, lines: readonly string[]): Promise<string[]> {
  if (lines.length > 0) qtest.send(lines.map(line => `${line}\n`).join(''));
  const answers: string[] = [];
  while (answers.length < lines.length) answers.push(await qtest.next());
  return answers;
}
