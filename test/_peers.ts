/**
 * Suites that need another program (qemu-img, swtpm, …) run where it is installed and say by name
 * what they skip elsewhere. Under NVTPM_REQUIRE_PEERS=1 a missing peer is a failure, not a skip.
 */
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { which } from '../lab/which.js';

export { which };

/** A test that runs only where all of `peers` are installed. */
export function peerTest(
  title: string,
  peers: readonly string[],
  body: (t: ExecutionContext) => void | Promise<void>,
): void {
  testUnlessMissing(
    title,
    peers.filter(peer => which(peer) === undefined),
    body,
  );
}

/** A test that runs only where nothing that it needs is missing; `missing` has the names. */
export function testUnlessMissing(
  title: string,
  missing: readonly string[],
  body: (t: ExecutionContext) => void | Promise<void>,
): void {
  const test = anyTest as TestFn;
  if (missing.length === 0) {
    test(title, body);
  } else if (process.env['NVTPM_REQUIRE_PEERS'] === '1') {
    test(title, t =>
      t.fail(`missing peers: ${missing.join(', ')} (scripts/peers.sh installs them)`),
    );
  } else {
    test.skip(`${title} (skipped: ${missing.join(', ')} not installed)`, body);
  }
}
