/** Compresses single blocks, each by whoever was chosen. */
import {constants, deflateRawSync, zstdCompressSync} from 'node:zlib'
import {type Block, dataOf, dictionaryOf, roomOf} from './blocks.ts'
import type {Choice} from './compressors.ts'

/**
 * Compresses the data of a block into its room: to a gzip member or a zstd frame, or to raw deflate that ends at a byte and
 * does not end the stream.
 *
 * @returns bytes written
 */
export type Encode = (block: Block) => number

/** Loads what one thread compresses with. */
export async function loadEncoder({compressor, level}: Choice): Promise<Encode> {
  switch (compressor) {
    case 'zlib':
      return zlibEncoder(level)
    case 'zstd':
      return zstdEncoder(level)
    case 'pako':
      return pakoEncoder(level)
    default: {
      const {loadLibrary} = await import('../os/deflate-libraries.ts')
      const encode = loadLibrary(compressor, level)
      return (block) => encode(dataOf(block), dictionaryOf(block), roomOf(block))
    }
  }
}

/** With the most memory it takes a tenth less time, for half a percent of size. */
function zlibEncoder(level: number): Encode {
  const finishFlush = constants.Z_SYNC_FLUSH
  return (block) => {
    const room = roomOf(block)
    // The encoder tells an empty dictionary from none.
    const dictionary = block.dictionarySize > 0 ? {dictionary: dictionaryOf(block)} : {}
    const options = {level, memLevel: 9, finishFlush, chunkSize: room.length, ...dictionary}
    return move(deflateRawSync(dataOf(block), options), room)
  }
}

function zstdEncoder(level: number): Encode {
  const params = {[constants.ZSTD_c_compressionLevel]: level}
  return (block) => {
    const room = roomOf(block)
    return move(zstdCompressSync(dataOf(block), {params, chunkSize: room.length}), room)
  }
}

/** With room for everything, node:zlib makes one chunk; waiting for a garbage collection, these would fill a hundred megabytes. */
function move(bytes: Buffer, room: Buffer): number {
  const size = bytes.copy(room)
  const {buffer} = bytes as Buffer<ArrayBuffer>
  if (buffer.byteLength === room.length) buffer.transfer(0)
  return size
}

async function pakoEncoder(level: number): Promise<Encode> {
  const pako = await import('pako')
  const stream = new pako.ZStream()
  const [deflate, rawWindowBits, memoryLevel] = [8, -15, 8] as const
  pako.zlibDeflateInit2(stream, level, deflate, rawWindowBits, memoryLevel, pako.Z_DEFAULT_STRATEGY)
  return (block) => {
    const room = roomOf(block)
    pako.zlibDeflateReset(stream)
    if (block.dictionarySize > 0) pako.zlibDeflateSetDictionary(stream, dictionaryOf(block))
    Object.assign(stream, {input: dataOf(block), next_in: 0, avail_in: block.size})
    Object.assign(stream, {output: room, next_out: 0, avail_out: room.length})
    const status = pako.zlibDeflate(stream, pako.Z_SYNC_FLUSH)
    if (status !== pako.Z_OK) throw new Error(`pako failed with ${status}: ${stream.msg}`)
    return stream.next_out
  }
}
