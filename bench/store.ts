/**
 * What a durable NV write costs against the least that a durable write can cost: the same bytes by
 * pwrite and fdatasync, on the same file system, in the same run.
 * @module
 */
import { join } from 'node:path';
import { createQcow2, openImage, withLock } from '../src/block/index.js';
import { machineOver } from '../src/cli/machines.js';
import {
  authorised,
  commands,
  NV_PER,
  nvPublic,
  type Session,
  STARTUP,
  secretOf,
  Tpm12Client,
  WELL_KNOWN_SECRET,
} from '../src/guest/index.js';
import type { Machine } from '../src/machine/index.js';
import { formatStore, inspectStore, openStore } from '../src/nvram/index.js';
import { systemEntropy as entropy } from '../src/system.js';
import { TisDriver } from '../src/tis/index.js';
import { noTrace } from '../src/trace.js';
import { type Case, table, takeTurns } from './measure.js';
import { bare } from './nvram.js';

const OWNER = secretOf('bench');
const INDEX = 0x0001_1101;
const NV_BYTES = 32;
const PERMALL_BYTES = 2135;
const DIRECTORY_BYTES = 4096;

/** NV_WriteValue under the owner's session, through the TIS registers, into the image. */
function nvWrite(machine: Machine): Case {
  const driver = new TisDriver(machine.tis);
  const client = new Tpm12Client(command => driver.transmit(command), entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  client.createEndorsementKeyPair();
  client.takeOwnership(OWNER, WELL_KNOWN_SECRET);
  const pub = nvPublic(INDEX, NV_BYTES, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
  client.nvDefineSpace(pub, OWNER, WELL_KNOWN_SECRET);
  let session: Session = client.openOiap();
  const data = new Uint8Array(NV_BYTES);
  const view = new DataView(data.buffer);
  const next = (round: number) => {
    view.setUint32(0, round);
    const command = commands.nvWriteValue(INDEX, 0, data);
    const nonceOdd = client.nonce();
    return authorised(command, { session, secret: OWNER, nonceOdd, continueSession: true });
  };
  let exchange = next(0);
  let response: Uint8Array = new Uint8Array();
  return {
    name: `TPM_NV_WriteValue of ${NV_BYTES} bytes, through TIS into qcow2`,
    // The guest's own HMACs are the guest's.
    prepare: round => {
      if (response.length > 0) session = exchange.verify(response).session!;
      exchange = next(round);
    },
    run: () => {
      response = driver.transmit(exchange.request);
    },
  };
}

export function benchStore(folder: string, rounds: number): string[] {
  const common = {
    trace: noTrace,
    lockTimeout: 1000,
    imageLock: 'auto',
    allowBacking: false,
  } as const;
  const tpmPath = join(folder, 'tpm.qcow2');
  const blobPath = join(folder, 'blob.qcow2');
  for (const path of [tpmPath, blobPath]) createQcow2(path, { size: 64 * 1024 * 1024 });
  using tpmImage = openImage(tpmPath, { readOnly: false });
  using blobImage = openImage(blobPath, { readOnly: false });
  const machine = machineOver(tpmImage, common);
  machine.powerOn();
  const store = withLock(blobImage, undefined, disk => {
    formatStore(disk, { entropy });
    return openStore(disk).activate();
  });
  const blob = new Uint8Array(PERMALL_BYTES);
  const view = new DataView(blob.buffer);

  const floor = bare(folder, PERMALL_BYTES);
  const whole = bare(folder, DIRECTORY_BYTES + PERMALL_BYTES);
  const least = bare(folder, NV_BYTES);
  const again = bare(folder, DIRECTORY_BYTES + PERMALL_BYTES, ' (again: the noise)');
  const writes = takeTurns(
    [
      whole,
      floor,
      least,
      {
        name: `store of a blob of ${PERMALL_BYTES} bytes (lock, validate, write, flush, record)`,
        run: round => {
          view.setUint32(0, round);
          store.store('permall', blob);
        },
      },
      nvWrite(machine),
      again,
    ],
    rounds,
  );
  machine.powerOff();
  store.close();
  for (const each of [floor, whole, least, again]) each.close();

  const opening = takeTurns(
    [
      {
        name: 'open the image, validate the store, close',
        run: () => {
          using image = openImage(tpmPath, { readOnly: true });
          withLock(image, undefined, disk => inspectStore(disk));
        },
      },
    ],
    Math.ceil(rounds / 4),
  );
  return [table('A durable NV write', writes), table('Opening', opening)];
}
