import {createHash, randomBytes} from 'node:crypto'
import {deflateRawSync, gunzipSync, gzipSync, inflateRawSync} from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import {findRuns, isIncompressible} from '../../src/compression/incompressible.ts'
import {storeBlocks, storeMember} from '../../src/compression/stored.ts'

const piece = 64 * 1024

/** Bytes that are the same in every run, and look like random ones. */
function noise(size: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < size; at += 32) parts.push(createHash('sha256').update(String(at)).digest())
  return Buffer.concat(parts).subarray(0, size)
}

const text = Buffer.from(Array.from({length: 20_000}, (_, line) => `line ${line * 7919} of a text`).join('\n'))

test('noise and what was compressed are not compressed again', (t) => {
  t.true(isIncompressible(noise(piece)))
  t.true(isIncompressible(gzipSync(noise(2 * piece).toString('base64')).subarray(0, piece)))
})

for (const [name, data] of Object.entries({
  text: text.subarray(0, piece),
  zeros: Buffer.alloc(piece),
  'all bytes in their order': Buffer.from(Array.from({length: piece}, (_, at) => at % 256)),
  'noise that repeats': Buffer.concat(Array.from({length: 64}, () => noise(1024))),
  base64: Buffer.from(noise(2 * piece).toString('base64')).subarray(0, piece),
  'a few bytes': noise(4096),
  'no bytes': Buffer.alloc(0),
})) {
  test(`compresses ${name}`, (t) => {
    t.false(isIncompressible(data))
  })
}

test('runs join and come in order', (t) => {
  const data = Buffer.concat([text.subarray(0, piece), noise(2 * piece), text.subarray(0, 2 * piece + 5)])
  t.deepEqual(findRuns(data), [
    {at: 0, size: piece, isStored: false},
    {at: piece, size: 2 * piece, isStored: true},
    {at: 3 * piece, size: 2 * piece + 5, isStored: false},
  ])
  t.deepEqual(findRuns(Buffer.alloc(0)), [])
})

test('what is stored is read by zlib', (t) => {
  fc.assert(
    fc.property(fc.integer({min: 0, max: 200_000}), (size) => {
      const data = randomBytes(size)
      const room = Buffer.alloc(size + 100)
      const end = deflateRawSync(Buffer.alloc(0))
      const open = room.subarray(0, storeBlocks(data, room))
      t.deepEqual(inflateRawSync(Buffer.concat([open, end])), data)
      if (size > 0) t.deepEqual(gunzipSync(room.subarray(0, storeMember(data, room))), data)
    }),
    {numRuns: 20},
  )
})
