/**
 * `nvtpm info`: what is in an image. It writes nothing and makes nothing.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  type ImageHolder,
  type ImageInfo,
  imageHolders,
  imageInfo,
  withLock,
} from '../../block/index.js';
import type { NvtpmError } from '../../errors.js';
import {
  type Directory,
  ENCRYPTION_EXTRA_BYTES,
  ENCRYPTION_KINDS,
  type Inspection,
  inspectStore,
  isCurrent,
  keptGenerations,
  NvramError,
  faultOf as storeFaultOf,
} from '../../nvram/index.js';
import { type EngineInfo, StateError } from '../../tpm/engine.js';
import { type CommonOptions, lookInside, withImage } from '../images.js';
import { describe, type Result, size, toHex } from '../output.js';

export interface InfoOptions extends CommonOptions {
  /** Look at an image that somebody else is writing to. */
  readonly forceShare: boolean;
}

export function info(path: string, options: InfoOptions): Result {
  return withImage(path, options.forceShare ? 'sharing' : 'probe', options, image => {
    const holders = imageHolders(image);
    const wait = { timeoutMs: options.lockTimeout };
    const found = withLock(image, wait, disk => inspectStore(disk, options));
    const inside = lookInside(image, found);
    const tpm = inside instanceof StateError ? undefined : inside;
    const fault = faultOf(path, found, inside);
    const about = withLock(image, wait, imageInfo);
    return {
      lines: [
        ...imageLines(about),
        ...storeLines(found),
        ...tpmLines(tpm),
        ...holders.map(holderLine),
        ...(fault === undefined ? [] : [`fault: ${fault.message}`]),
      ],
      data: {
        image: about,
        nvram: storeData(found),
        tpm: tpm === undefined ? null : tpmData(tpm),
        lock: { guard: holders.some(({ role }) => role === 'writer'), holders },
        ...(fault === undefined ? {} : { error: describe(fault) }),
      },
      outcome: fault?.outcome ?? 'OK',
    };
  });
}

/** What is wrong with a store, as the error that starting it would give; nothing for OK and EMPTY. */
export function faultOf(
  path: string,
  found: Inspection,
  inside: EngineInfo | StateError | undefined,
): NvtpmError | undefined {
  if (inside instanceof StateError) {
    const code = inside.code === 'REVISION' ? 'REVISION' : 'CORRUPT';
    return new NvramError(code, path, [inside.message]);
  }
  return storeFaultOf(path, found);
}

/** The EK as people compare it: SHA-256 of the modulus, its first 16 bytes. */
export function fingerprint(modulus: Uint8Array): string {
  const digest = createHash('sha256').update(modulus).digest('hex').slice(0, 32);
  return digest.match(/../g)!.join(':');
}

function imageLines(image: ImageInfo): string[] {
  const { format, version, clusterSize, virtualSize, snapshots } = image;
  const kind = version === undefined ? format : `${format} v${version}`;
  const clusters = clusterSize === undefined ? '' : `, clusters of ${size(clusterSize)}`;
  const shots = snapshots.length > 0 ? `, ${snapshots.length} snapshots` : '';
  return [`image: ${kind}, ${size(virtualSize)}${clusters}${shots}`];
}

function storeLines({ verdict, state, notes }: Inspection): string[] {
  if (state === undefined) return [`nvram: ${verdict}`];
  const { directory, ackRecord } = state;
  const kept = keptGenerations(directory.entries);
  const closed =
    ackRecord === undefined || ackRecord.state === 'open' ? 'in use, or cut off' : ackRecord.state;
  return [
    `nvram: ${verdict}, generation ${directory.generation}, epoch ${directory.epoch}, ${closed}`,
    `  uuid ${toHex(directory.uuid)}`,
    ...blobsOf(directory).map(
      ({ name, size, generation }) => `  ${name}: ${size} bytes, of generation ${generation}`,
    ),
    ...(directory.encryption.kind === 0 ? [] : [`  sealed with a ${sealedWith(directory)}`]),
    ...(kept.length === 0 ? [] : [`  kept generations: ${kept.join(', ')}`]),
    ...notes.map(note => `  note: ${note}`),
  ];
}

function storeData({ verdict, state, revision, regions, notes, findings }: Inspection) {
  const directory = state?.directory;
  return {
    outcome: verdict,
    revision: revision ?? null,
    uuid: directory === undefined ? null : toHex(directory.uuid),
    generation: directory?.generation ?? null,
    epoch: directory?.epoch ?? null,
    clean: state?.ackRecord === undefined ? null : state.ackRecord.state !== 'open',
    mark: state?.ackRecord?.state ?? null,
    sealed: directory !== undefined && directory.encryption.kind !== 0,
    sealedWith: directory === undefined ? null : sealedWith(directory),
    keep: directory?.historyLength ?? null,
    kept: keptGenerations(directory?.entries ?? []),
    blobs: directory === undefined ? [] : blobsOf(directory),
    regions,
    findings,
    notes,
  };
}

const sealedWith = ({ encryption }: Directory): string => ENCRYPTION_KINDS[encryption.kind]!;

/** The current blobs; the size is the user's, the digest that of the bytes as stored. */
const blobsOf = ({ entries, encryption }: Directory) =>
  entries.filter(isCurrent).map(({ name, length, generation, digest }) => ({
    name,
    size: encryption.kind === 0 ? length : length - ENCRYPTION_EXTRA_BYTES,
    generation,
    sha256: toHex(digest),
  }));

const holderLine = ({ pid, command, role, bytes }: ImageHolder): string =>
  `in use: ${command ?? 'a process'} (pid ${pid ?? 'unknown'}) as ${role ?? `holder of bytes ${bytes.join(' ')}`}`;

function tpmLines(tpm: EngineInfo | undefined): string[] {
  if (tpm === undefined) return [];
  const ek = tpm.ek === undefined ? 'none' : fingerprint(tpm.ek);
  const flags = [
    tpm.enabled ? 'enabled' : 'disabled',
    tpm.activated ? 'activated' : 'deactivated',
    tpm.owned ? 'owned' : 'not owned',
  ];
  const indices = tpm.nvIndices.map(index => `0x${index.toString(16).padStart(8, '0')}`);
  return [
    `tpm: ${tpm.version}, ${flags.join(', ')}`,
    `  EK ${ek}`,
    ...(indices.length > 0 ? [`  NV indices ${indices.join(' ')}`] : []),
  ];
}

const tpmData = ({ version, owned, enabled, activated, ek, nvIndices }: EngineInfo) => ({
  version,
  ek: ek === undefined ? null : { modulus: toHex(ek), fingerprint: fingerprint(ek) },
  owned,
  enabled,
  activated,
  nvIndices,
});
