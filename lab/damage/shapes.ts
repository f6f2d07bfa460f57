/**
 * Images with an owned TPM in them, in several shapes. Each has been started again after it was
 * owned, so that an older state of the same TPM is left below it where the shape keeps one.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROGRAM } from '../program/program.js';
import { asOwner } from '../subject.js';

export interface Shape {
  readonly name: string;
  /** The image that is opened. */
  readonly image: string;
  /** The file that is damaged: the image, or one below it. */
  readonly harmed: string;
}

const SECRET = new Uint8Array(20).fill(0x77);
const INDEX = 0x1_1101;

const qemuImg = (...args: readonly string[]): void => {
  execFileSync('qemu-img', args, { stdio: ['ignore', 'ignore', 'inherit'] });
};

function overlayOn(base: string, overlay: string, clusterSize: string): void {
  const options = ['-F', 'qcow2', '-o', `cluster_size=${clusterSize}`];
  qemuImg('create', '-q', '-f', 'qcow2', '-b', base, ...options, overlay);
}

const changeState = (image: string, fill: number): void =>
  asOwner(image, SECRET, owner => owner.write(INDEX, new Uint8Array(32).fill(fill)));

/** Makes the shapes in `folder`. Needs qemu-img. */
export function makeShapes(folder: string, clusterSize: string): Shape[] {
  const at = (name: string): string => join(folder, `${name}.qcow2`);
  const owned = at('owned');
  const options = ['-o', `cluster_size=${clusterSize}`, '--size', '64M'];
  execFileSync(process.execPath, [PROGRAM, 'create', owned, ...options], { stdio: 'ignore' });
  asOwner(owned, SECRET, owner => {
    owner.take();
    owner.define(INDEX, 32);
  });
  changeState(owned, 1);

  for (const name of ['plain', 'snapshot', 'base', 'base-of-empty']) copyFileSync(owned, at(name));
  qemuImg('snapshot', '-q', '-c', 'before', at('snapshot'));
  overlayOn(at('base'), at('overlay'), clusterSize);
  overlayOn(at('base-of-empty'), at('empty'), clusterSize);
  for (const name of ['plain', 'snapshot', 'overlay']) changeState(at(name), 2);
  return [
    { name: 'plain', image: at('plain'), harmed: at('plain') },
    { name: 'snapshot', image: at('snapshot'), harmed: at('snapshot') },
    { name: 'overlay', image: at('overlay'), harmed: at('overlay') },
    { name: 'base of an empty overlay', image: at('empty'), harmed: at('base-of-empty') },
  ];
}
