import {randomBytes} from 'node:crypto'
import {gunzipSync} from 'node:zlib'
import test from 'ava'
import {type EncodePiece, GzipPieces, loadEncoder, zlibEncode} from '../../src/store/gzip-pieces.ts'

function gzip(pieces: readonly Buffer[], encode: EncodePiece): Buffer {
  const written: Buffer[] = []
  const compressor = new GzipPieces((bytes) => written.push(Buffer.from(bytes)), encode)
  for (const piece of pieces) compressor.update(piece)
  compressor.finish()
  return Buffer.concat(written)
}

for (const [name, encode] of [
  ['zlib', zlibEncode],
  ['the fastest', loadEncoder()],
] as const) {
  test(`pieces of every size are one member, by ${name}`, (t) => {
    const large = Buffer.from(Array.from({length: 300_000}, (_, at) => (at * at) >> 7).join(), 'latin1')
    for (const pieces of [
      [],
      [Buffer.alloc(0)],
      [large],
      [large, Buffer.alloc(0), Buffer.from('x'), large],
      [Buffer.from('x')],
      [randomBytes(2_000_000)],
    ]) {
      const bytes = gzip(pieces, encode)
      t.true(gunzipSync(bytes).equals(Buffer.concat(pieces)))
      t.true(bytes.equals(gzip(pieces, encode)))
    }
  })

  test(`a piece refers to the one before, by ${name}`, (t) => {
    const piece = Buffer.from(Array.from({length: 4000}, (_, at) => (at * at * 31) % 997).join(), 'latin1')
    t.true(gzip([piece, piece], encode).length < 1.2 * gzip([piece], encode).length)
  })
}
