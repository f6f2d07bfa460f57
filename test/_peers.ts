/**
 * Suites that need another program (qemu-img, swtpm, …) run where it is installed and say by name
 * what they skip elsewhere. Under NVTPM_REQUIRE_PEERS=1 a missing peer is a failure, not a skip.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';

/** The full path of `program`, or undefined where it is not installed. */
export function which(program: string): string | undefined {
  // Debian keeps daemons in sbin, which is not on every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders
    .map(folder => join(folder, program))
    .find(path => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** A test that runs only where all of `peers` are installed. */
export function peerTest(
  title: string,
  peers: readonly string[],
  body: (t: ExecutionContext) => void | Promise<void>,
): void {
  const test = anyTest as TestFn;
  const missing = peers.filter(peer => which(peer) === undefined);
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
