/** Compresses single blocks, each by whoever was chosen. */
import {constants, deflateRawSync, zstdCompressSync} from 'node:zlib'
import {type Block, dataOf, dictionaryOf, roomOf} from './blocks.ts'
import type {Choice} from './compressors.ts'
import {findRuns} from './incompressible.ts'
import {storeBlocks, storeMember} from './stored.ts'

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
    case 'zstd':
      return zstdEncoder(level)
    case 'zlib':
      return inRuns(zlibEncoder(level), storeBlocks)
    case 'pako':
      return inRuns(await pakoEncoder(level), storeBlocks)
    default: {
      const {loadLibrary} = await import('../os/deflate-libraries.ts')
      return inRuns(loadLibrary(compressor, level), compressor === 'libdeflate' ? storeMember : storeBlocks)
    }
  }
}

/** Compresses a run of bytes. @returns bytes written to the room, which is large enough for anything */
type EncodeRun = (data: Buffer, dictionary: Buffer, room: Buffer) => number

/** Compresses what is worth it, and stores the rest: trying takes as long as succeeding. */
function inRuns(encode: EncodeRun, store: (data: Buffer, room: Buffer) => number): Encode {
  return (block) => {
    const [data, room] = [dataOf(block), roomOf(block)]
    let written = 0
    for (const {at, size, isStored} of findRuns(data)) {
      const run = data.subarray(at, at + size)
      const free = room.subarray(written)
      written += isStored ? store(run, free) : encode(run, dictionaryOf(block, at), free)
    }
    // No bytes at all are a member, too.
    return data.length > 0 ? written : encode(data, dictionaryOf(block), room)
  }
}

/** With the most memory it takes a tenth less time, for half a percent of size. */
function zlibEncoder(level: number): EncodeRun {
  const finishFlush = constants.Z_SYNC_FLUSH
  return (data, dictionary, room) => {
    // The encoder tells an empty dictionary from none.
    const before = dictionary.length > 0 ? {dictionary} : {}
    const options = {level, memLevel: 9, finishFlush, chunkSize: room.length, ...before}
    return move(deflateRawSync(data, options), room)
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

async function pakoEncoder(level: number): Promise<EncodeRun> {
  const pako = await import('pako')
  const stream = new pako.ZStream()
  const [deflate, rawWindowBits, memoryLevel] = [8, -15, 8] as const
  pako.zlibDeflateInit2(stream, level, deflate, rawWindowBits, memoryLevel, pako.Z_DEFAULT_STRATEGY)
  return (data, dictionary, room) => {
    pako.zlibDeflateReset(stream)
    if (dictionary.length > 0) pako.zlibDeflateSetDictionary(stream, dictionary)
    Object.assign(stream, {input: data, next_in: 0, avail_in: data.length})
    Object.assign(stream, {output: room, next_out: 0, avail_out: room.length})
    const status = pako.zlibDeflate(stream, pako.Z_SYNC_FLUSH)
    if (status !== pako.Z_OK) throw new Error(`pako failed with ${status}: ${stream.msg}`)
    return stream.next_out
  }
}
