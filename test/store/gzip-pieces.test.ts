import {gunzipSync} from 'node:zlib'
import test from 'ava'
import {GzipPieces} from '../../src/store/gzip-pieces.ts'

function gzip(pieces: readonly Buffer[]): Buffer {
  const written: Buffer[] = []
  const compressor = new GzipPieces((bytes) => written.push(bytes))
  for (const piece of pieces) compressor.update(piece)
  compressor.finish()
  return Buffer.concat(written)
}

test('pieces of every size are one member', (t) => {
  const large = Buffer.from(Array.from({length: 300_000}, (_, at) => (at * at) >> 7).join(), 'latin1')
  for (const pieces of [
    [],
    [Buffer.alloc(0)],
    [large],
    [large, Buffer.alloc(0), Buffer.from('x'), large],
    [Buffer.from('x')],
  ]) {
    const bytes = gzip(pieces)
    t.deepEqual(gunzipSync(bytes), Buffer.concat(pieces))
    t.deepEqual(bytes, gzip(pieces))
  }
})

test('a piece refers to the one before', (t) => {
  const piece = Buffer.from(Array.from({length: 4000}, (_, at) => (at * at * 31) % 997).join(), 'latin1')
  t.true(gzip([piece, piece]).length < 1.2 * gzip([piece]).length)
})
