/**
 * What is in an image: the store as it is on the disk, checked with the key and against the image itself.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { safeTrace, type Trace } from '../../trace.js';
import { assess } from './assess.js';
import type { Key } from './cipher.js';
import { Keyring } from './keyring.js';
import { type Inspection, refused } from './verdict.js';
import { confirmed } from './witness.js';

/** The key of the store, and a trace. */
export interface InspectOptions {
  /** Verifies the MACs of an encrypted store. */
  readonly key?: Key | undefined;
  readonly trace?: Trace | undefined;
}

/**
 * Reads and validates everything under a lock that is held; writes nothing. Damage is a verdict, not an
 * exception.
 * @throws IoError; ImageError where the image cannot be read at all
 */
export function inspectStore(disk: LockedNode, options: InspectOptions = {}): Inspection {
  const keys = new Keyring(options.key);
  try {
    return inspect(disk, keys, options.trace);
  } finally {
    keys.wipe();
  }
}

/** inspectStore() for callers that use the keys afterwards. */
export function inspect(disk: LockedNode, keys: Keyring, trace?: Trace): Inspection {
  const assessed = { ...assess(disk, keys), isProvenByHeader: false };
  const found = confirmed(disk, unlocked(assessed, keys));
  const { generation, epoch } = found.state?.directory ?? {};
  safeTrace(trace)({
    event: 'validate',
    outcome: found.verdict,
    ...(generation === undefined || epoch === undefined ? {} : { generation, epoch }),
    ...(found.findings.length > 0 ? { why: found.findings.join('; ') } : {}),
  });
  return found;
}

/** `found`, refused where the key does not open it. */
function unlocked(found: Inspection, keys: Keyring): Inspection {
  const directory = found.state?.directory;
  if (directory === undefined) return found;
  if (!keys.hasKey) {
    const note = 'the store is encrypted; without its key its authenticity was not verified';
    return directory.encryption.kind === 0 ? found : { ...found, notes: [...found.notes, note] };
  }
  if (keys.cipherOf(directory) !== undefined) return found;
  const why =
    directory.encryption.kind === 0
      ? 'a key was given, and the store is not encrypted'
      : 'this key does not open the store';
  return refused('WRONG_KEY', found, [why]);
}
