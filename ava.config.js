/** The whole suite: `npm test`. */
export default {
  files: ['dist/test/**/*.test.js'],
  nodeArguments: ['--enable-source-maps'],
  // Locks and working directories are those of a process.
  workerThreads: false,
  // A case without a result for so long hangs: the longest takes a hundredth of that on a quiet machine.
  timeout: '60m',
};
