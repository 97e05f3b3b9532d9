/** gzip of one member or several: pigz, bgzf and eStargz write many, and some of them empty. */
import {createGunzip} from 'node:zlib'
import {damaged, decode, engineOptions, runEngine} from './codec.ts'

/**
 * @throws {ImgtoolError} COMPRESSION_INVALID for damage, a truncated member, or anything but zero bytes after the last one
 * @see RFC 1952; tapes and some tools pad with zero bytes, and gzip(1) accepts them
 */
export function decompressGzip(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return decode(source, 'gzip', (pieces) => {
    const engine = createGunzip(engineOptions)
    return runEngine(withoutPadding(pieces, engine), engine)
  })
}

/** Node stops at the first zero byte between members and ignores what follows, whatever it is. */
async function* withoutPadding(
  pieces: AsyncIterable<Buffer>,
  engine: {readonly bytesWritten: number},
): AsyncGenerator<Buffer> {
  let padded = false
  for await (const piece of pieces) {
    let rest = piece
    if (!padded) {
      const before = engine.bytesWritten
      yield piece
      rest = piece.subarray(engine.bytesWritten - before)
      padded = rest.length > 0
    }
    if (rest.some((byte) => byte !== 0)) throw damaged('gzip', 'other data follows the last member')
  }
}
