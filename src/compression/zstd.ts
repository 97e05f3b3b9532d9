/**
 * zstd of one frame or several: zstd:chunked and pzstd write many, with skippable ones between.
 *
 * Node 24 drops what follows the end of a frame in the same write, silently, so the frames are found here, by the sizes in
 * their headers, and no write crosses the end of one. It also tells a truncated frame, which Node takes for a whole one.
 *
 * @see RFC 8878 3.1 for the layout; https://github.com/nodejs/node/issues/64741
 */
import {constants, createZstdDecompress} from 'node:zlib'
import {ImgtoolError} from '../errors.ts'
import {damaged, decode, engineOptions, runEngine} from './codec.ts'
import {PieceReader} from './piece-reader.ts'

/** Memory that a frame may ask for: what zstd(1) and libzstd accept unless told otherwise. */
const windowLogMax = 27

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50

/**
 * @throws {ImgtoolError} COMPRESSION_INVALID for damage, a truncated frame, or anything but a frame after a frame;
 *   COMPRESSION_UNSUPPORTED for a window of more than 128 MiB
 */
export function decompressZstd(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return decode(source, 'zstd', (pieces) => {
    const params = {[constants.ZSTD_d_windowLogMax]: windowLogMax}
    return runEngine(frames(pieces), createZstdDecompress({...engineOptions, params}))
  })
}

/** All frames but the skippable ones, in pieces that end where a frame ends. */
async function* frames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = new PieceReader(source)
  try {
    do {
      const magic = (await header(input, 4)).readUInt32LE()
      if (magic === frameMagic) yield* frame(input)
      else if ((magic & ~0xf) === skippableMagic) await skipFrame(input)
      else throw damaged('zstd', 'no frame starts where one should')
    } while ((await input.peek(1)).length > 0)
  } finally {
    await input.close()
  }
}

async function* frame(input: PieceReader): AsyncGenerator<Buffer> {
  const descriptor = (await header(input, 5)).readUInt8(4)
  const hasChecksum = (descriptor & 0x04) !== 0
  yield* whole(input, await frameHeaderSize(input, descriptor))
  for (let last = false; !last; ) {
    const block = (await header(input, 3)).readUIntLE(0, 3)
    const isRunLength = ((block >> 1) & 3) === 1
    last = (block & 1) !== 0
    yield* whole(input, 3 + (isRunLength ? 1 : block >> 3))
  }
  if (hasChecksum) yield* whole(input, 4)
}

/** @see RFC 8878 3.1.1.1 */
async function frameHeaderSize(input: PieceReader, descriptor: number): Promise<number> {
  const isSingleSegment = (descriptor & 0x20) !== 0
  const dictionarySize = [0, 1, 2, 4][descriptor & 3]!
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const size = 5 + (isSingleSegment ? 0 : 1) + dictionarySize + contentSize
  const bytes = await header(input, size)
  const windowSize = isSingleSegment
    ? readContentSize(bytes.subarray(-contentSize))
    : readWindowSize(bytes.readUInt8(5))
  if (windowSize > 2 ** windowLogMax) {
    const [expected, actual] = [`at most ${2 ** windowLogMax}`, `${windowSize}`]
    const message = `Cannot decompress zstd data: the window is too large, expected ${expected} bytes, got ${actual}`
    throw new ImgtoolError('COMPRESSION_UNSUPPORTED', message, {expected, actual})
  }
  return size
}

function readWindowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 7)
}

function readContentSize(bytes: Buffer): number {
  if (bytes.length === 8) return Number(bytes.readBigUInt64LE())
  return bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0)
}

async function skipFrame(input: PieceReader): Promise<void> {
  const size = 8 + (await header(input, 8)).readUInt32LE(4)
  for await (const piece of whole(input, size)) void piece
}

async function header(input: PieceReader, size: number): Promise<Buffer> {
  const bytes = await input.peek(size)
  if (bytes.length < size) throw truncated()
  return bytes
}

async function* whole(input: PieceReader, size: number): AsyncGenerator<Buffer> {
  let left = size
  for await (const piece of input.take(size)) {
    left -= piece.length
    yield piece
  }
  if (left > 0) throw truncated()
}

function truncated(): ImgtoolError {
  return damaged('zstd', 'unexpected end of file')
}
