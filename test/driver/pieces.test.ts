import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {piecesOf} from '../../src/driver/pieces.ts'
import {scratch} from '../helpers/layers.ts'

const mega = 1024 * 1024

/** The pieces of what a path leads to. */
function pieces(file: string, size = fs.statSync(file).size) {
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  try {
    return [...piecesOf(descriptor, size, 'file')]
  } finally {
    fs.closeSync(descriptor)
  }
}

test('a file is told by its data, to its end and no further', (t) => {
  const file = path.join(scratch(t), 'file')
  fs.writeFileSync(file, '')
  t.deepEqual(pieces(file), [])
  fs.writeFileSync(file, 'full')
  t.deepEqual(pieces(file), [{offset: 0, length: 4}])
  // It has grown since.
  t.deepEqual(pieces(file, 3), [{offset: 0, length: 3}])
})

test('a hole at the end is one, and so is a whole file', (t) => {
  const file = path.join(scratch(t), 'file')
  fs.writeFileSync(file, '')
  fs.truncateSync(file, mega)
  t.deepEqual(pieces(file), [])
  const opened = fs.openSync(file, 'r+')
  fs.writeSync(opened, Buffer.alloc(4096, 'x'), 0, 4096, mega / 2)
  fs.closeSync(opened)
  t.deepEqual(pieces(file), [{offset: mega / 2, length: 4096}])
})

test('where nobody tells data from holes the file is one piece', (t) => {
  // Such files of the kernel know no other way of seeking than those of POSIX.
  t.deepEqual(pieces('/proc/self/status', 1000), [{offset: 0, length: 1000}])
})

test('where it cannot be found out the data is not taken for a hole', (t) => {
  const fifo = path.join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  t.throws(() => pieces(fifo, 1000), {code: 'SYSTEM_ERROR', message: /ESPIPE/})
  t.throws(() => [...piecesOf(1 << 20, 1000, 'closed')], {code: 'SYSTEM_ERROR', message: /EBADF/})
})
