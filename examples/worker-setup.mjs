import { systemClock as clock, systemEntropy as entropy, Tpm12 } from 'nvtpm';
import { openImage } from 'nvtpm/block';

export default ({ data, trace }) => ({
  image: openImage(data.path, { readOnly: false }),
  entropy,
  engine: () => new Tpm12({ entropy, clock }),
  trace,
});
