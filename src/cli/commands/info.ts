/**
 * `nvtpm info`: what is in an image. It writes nothing and makes nothing.
 * @module
 */
import { statSync } from 'node:fs';
import {
  type ImageHolder,
  type ImageInfo,
  imageHolders,
  imageInfo,
  type StoreTag,
  storeTag,
  withLock,
} from '../../block/index.js';
import { IoError } from '../../errors.js';
import {
  type Directory,
  ENCRYPTION_KINDS,
  type Inspection,
  inspectStore,
  keptGenerations,
} from '../../nvram/index.js';
import { type EngineInfo, StateError } from '../../tpm/engine.js';
import { fingerprint } from '../fingerprint.js';
import { withImage } from '../images.js';
import { faultOf, isStoredOnly, lookInside, type TpmInside } from '../inside.js';
import { flag } from '../options.js';
import { describe, type Paint } from '../output.js';
import { currentBlobs } from '../stored-blobs.js';
import { subcommand } from '../subcommand.js';
import { hex32, sizeText, toHex } from '../values.js';

export const info = subcommand({
  name: 'info',
  summary: 'describe an image, its store and the TPM in it',
  arguments: { '<file>': 'the image' },
  options: {
    forceShare: flag('-U, --force-share', 'read it although another process writes to it'),
  },
  key: 'verifies that an encrypted store is authentic',
  isOnImage: true,
  example: 'nvtpm info tpm.qcow2',
  run: ({ file, options, common, printer: { paint } }) =>
    withImage(file, options.forceShare ? 'sharing' : 'probe', common, image => {
      const holders = imageHolders(image);
      const wait = { timeoutMs: common.lockTimeout };
      const found = withLock(image, wait, disk => inspectStore(disk, common));
      const tag = withLock(image, wait, storeTag);
      const inside = lookInside(image, found, common);
      const tpm = inside instanceof StateError ? undefined : inside;
      const fault = faultOf(file, found, inside);
      const about = withLock(image, wait, imageInfo);
      const actualSize = bytesOnDisk(file);
      return {
        lines: [
          ...imageLines(about, actualSize, tag, paint),
          ...storeLines(found, paint),
          ...tpmLines(tpm, paint),
          ...holders.map(holderLine),
          ...(fault === undefined ? [] : [`${paint.red('fault:')} ${fault.message}`]),
        ],
        data: {
          image: { ...about, actualSize, storeTag: tag === undefined ? null : tagData(tag) },
          nvram: storeData(found),
          tpm: tpm === undefined ? null : tpmData(tpm),
          lock: { guard: holders.some(({ role }) => role === 'writer'), holders },
          ...(fault === undefined ? {} : { error: describe(fault) }),
        },
        outcome: fault?.outcome ?? 'OK',
      };
    }),
});

const STAT_BLOCK_BYTES = 512;

/** The blocks that a file takes, as `qemu-img info` counts them. @throws IoError */
function bytesOnDisk(file: string): number {
  try {
    return statSync(file).blocks * STAT_BLOCK_BYTES;
  } catch (error) {
    throw new IoError('use', file, error);
  }
}

const tagData = ({ uuid, kind }: StoreTag) => ({ uuid: toHex(uuid), kind });

function imageLines(
  image: ImageInfo,
  actualSize: number,
  tag: StoreTag | undefined,
  paint: Paint,
): string[] {
  const { format, version, clusterSize, virtualSize, snapshots } = image;
  const kind = version === undefined ? format : `${format} v${version}`;
  const clusters = clusterSize === undefined ? '' : `, clusters of ${sizeText(clusterSize)}`;
  const shots = snapshots.length > 0 ? `, ${snapshots.length} snapshots` : '';
  return [
    `${paint.bold('image:')} ${kind}, ${sizeText(virtualSize)} (${sizeText(actualSize)} on disk)${clusters}${shots}`,
    ...(tag === undefined ? [] : [`  its header names store ${toHex(tag.uuid)}`]),
  ];
}

function storeLines({ verdict, state, notes }: Inspection, paint: Paint): string[] {
  const head = `${paint.bold('nvram:')} ${verdict === 'OK' ? paint.green(verdict) : verdict}`;
  if (state === undefined) return [head];
  const { directory, ackRecord } = state;
  const kept = keptGenerations(directory.entries);
  const closed =
    ackRecord === undefined || ackRecord.state === 'open' ? 'in use, or cut off' : ackRecord.state;
  return [
    `${head}, generation ${directory.generation}, epoch ${directory.epoch}, ${closed}`,
    `  uuid ${toHex(directory.uuid)}`,
    ...currentBlobs(directory).map(
      ({ name, size, generation }) => `  ${name}: ${size} bytes, of generation ${generation}`,
    ),
    ...(directory.encryption.kind === 0 ? [] : [`  encrypted with a ${sealedWith(directory)}`]),
    ...(kept.length === 0 ? [] : [`  kept generations: ${kept.join(', ')}`]),
    ...notes.map(note => `  ${paint.yellow('note:')} ${note}`),
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
    blobs: directory === undefined ? [] : currentBlobs(directory),
    regions,
    findings,
    notes,
  };
}

const sealedWith = ({ encryption }: Directory): string =>
  ENCRYPTION_KINDS[encryption.kind] ?? 'key of an unknown kind';

const holderLine = ({ pid, command, role, bytes }: ImageHolder): string =>
  `in use: ${command ?? 'a process'} (pid ${pid ?? 'unknown'}) as ${role ?? `holder of bytes ${bytes.join(' ')}`}`;

function tpmLines(tpm: TpmInside | undefined, paint: Paint): string[] {
  if (tpm === undefined) return [];
  if (isStoredOnly(tpm))
    return [`${paint.bold('tpm:')} ${tpm.version}, its state only: there is no engine for it`];
  const ek = tpm.ek === undefined ? 'none' : fingerprint(tpm.ek);
  const flags = [...stateWords(tpm), tpm.owned ? 'owned' : 'not owned'];
  const indices = tpm.nvIndices.map(hex32);
  return [
    `${paint.bold('tpm:')} ${tpm.version}, ${flags.join(', ')}`,
    `  EK ${ek}`,
    ...(indices.length > 0 ? [`  NV indices ${indices.join(' ')}`] : []),
  ];
}

/** How a TPM stands, in the words of its version. */
const stateWords = (tpm: EngineInfo): string[] =>
  tpm.version === '1.2'
    ? [tpm.enabled ? 'enabled' : 'disabled', tpm.activated ? 'activated' : 'deactivated']
    : Object.entries(tpm.hierarchies).map(
        ([name, enabled]) => `${name} hierarchy ${enabled ? 'enabled' : 'disabled'}`,
      );

function tpmData(tpm: TpmInside) {
  if (isStoredOnly(tpm)) return tpm;
  const { version, ek, ...info } = tpm;
  return {
    version,
    ek: ek === undefined ? null : { modulus: toHex(ek), fingerprint: fingerprint(ek) },
    ...info,
  };
}
