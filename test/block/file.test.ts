/** The file node: it stores only in the file that its path names. */
import {
  copyFileSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { openFile, withLock } from '../../src/block/index.js';
import { IoError } from '../../src/errors.js';

/** What can happen to a file that is open, and whether stores into it would be lost. */
// biome-ignore format: table
const EVENTS: Readonly<Record<string, { readonly act: (path: string, aside: string) => void; readonly lost: boolean }>> = {
  'nothing':                        { act: () => {},                                                           lost: false },
  'another name is added':          { act: (path, aside) => linkSync(path, aside),                             lost: false },
  'it is moved, and copied back':   { act: (path, aside) => { renameSync(path, aside); copyFileSync(aside, path); }, lost: true },
  'it is moved':                    { act: (path, aside) => renameSync(path, aside),                           lost: true },
  'it is moved, and linked back':   { act: (path, aside) => { renameSync(path, aside); symlinkSync(aside, path); }, lost: false },
  'it is removed':                  { act: path => rmSync(path),                                               lost: true },
  'it is removed, a hard link left': { act: (path, aside) => { linkSync(path, aside); rmSync(path); },         lost: true },
  'another file is moved over it':  { act: (path, aside) => { writeFileSync(aside, 'other'); renameSync(aside, path); }, lost: true },
};

for (const [what, { act, lost }] of Object.entries(EVENTS)) {
  test(`a file that is open: ${what}`, t => {
    const folder = scratch(t);
    const path = join(folder, 'image');
    writeFileSync(path, 'before');
    const file = openFile(path);
    t.teardown(() => file.close());
    act(path, join(folder, 'aside'));
    const write = (): void =>
      withLock(file, undefined, disk => disk.write(0, Buffer.from('after!')));
    if (lost) {
      t.is(t.throws<IoError>(write, { instanceOf: IoError })?.errno, 'ESTALE');
      t.false(file.isAtItsPath());
    } else {
      write();
      t.is(readFileSync(path, 'latin1'), 'after!');
    }
  });
}
