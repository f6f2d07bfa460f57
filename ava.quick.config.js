/**
 * The inner loop: `npm run test:quick`. No peers, and none of the files that say `@long` in their head:
 * those that take more than some seconds of processor time, or start many processes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import whole from './ava.config.js';

const isLong = file => /^\/\*\*.*?@long\b.*?\*\//s.test(readFileSync(join('test', file), 'utf8'));
const long = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts') && isLong(file))
  .map(file => `!dist/test/${file.replace(/ts$/, 'js')}`);

export default {
  ...whole,
  files: [...whole.files, ...long],
  environmentVariables: { NVTPM_PEERS: 'none' },
};
