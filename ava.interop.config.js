// The tests against other tools: as root on Debian, one after the other, with a dockerd of their own.
export default {
  extensions: ['ts'],
  files: ['test/interop/**/*.test.ts'],
  timeout: '20m',
  workerThreads: false,
  serial: true,
  concurrency: 1,
}
