/** The setup module of the machines in workers: a TPM over the image that the test names. */
import { type BlockNode, openImage } from '../../src/block/index.js';
import { type Engine, Tpm12, type WorkerSetup } from '../../src/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../../src/system.js';

/** A command that the engine of these tests has a bug in. */
export const BUGGY = Uint8Array.of(0x00, 0xc1, 0, 0, 0, 10, 0, 0, 0xde, 0xad);

export interface SetupData {
  readonly path: string;
  /** Fails before the machine is there. */
  readonly broken?: boolean;
  readonly expectExisting?: boolean;
}

function withBug(trace: ConstructorParameters<typeof Tpm12>[0]['trace']): Engine {
  const engine = new Tpm12({ entropy, clock, ...(trace && { trace }) });
  const process = engine.process.bind(engine);
  engine.process = (command, locality) => {
    if (Buffer.compare(command, BUGGY) === 0) throw new TypeError('a bug of this engine');
    return process(command, locality);
  };
  return engine;
}

const setup: WorkerSetup = ({ data, trace }) => {
  const { path, broken, expectExisting = false } = data as SetupData;
  if (broken) throw new TypeError('a bug of this setup');
  const image: BlockNode = openImage(path, { readOnly: false });
  return {
    image,
    entropy,
    engine: () => withBug(trace),
    trace,
    expectExisting,
    wait: { timeoutMs: 1000 },
  };
};
export default setup;
