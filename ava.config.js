// The tests that need nothing but Node: `npm test`.
import {accessSync, constants, statfsSync} from 'node:fs'
import {availableMemory} from 'node:process'
import {fileURLToPath} from 'node:url'

export default {
  extensions: ['ts'],
  files: ['test/**/*.test.ts', '!test/interop/**'],
  timeout: '2m',
  workerThreads: false,
  environmentVariables: {
    TMPDIR: process.env.TMPDIR ?? memory() ?? '/tmp',
    NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compile', import.meta.url)),
  },
}

// The tests make and remove tens of thousands of files, which takes a disk three times as long as memory.
function memory() {
  const directory = '/dev/shm'
  const needed = 2 ** 30
  try {
    accessSync(directory, constants.W_OK)
    const {type, bavail, bsize} = statfsSync(directory)
    const tmpfs = 0x01021994
    if (type === tmpfs && Math.min(bavail * bsize, availableMemory()) > needed) return directory
  } catch {
    // No memory file system here.
  }
}
