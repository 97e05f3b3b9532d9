/**
 * Compresses by streaming, in blocks and on all cores: bounded memory, and the same bytes for any number of threads.
 *
 * The output has no time, no name and no operating system in it.
 */
import {crc32} from 'node:zlib'
import {type Block, cutBlocks, dataOf} from './blocks.ts'
import {type Choice, type CompressionOptions, chooseCompressor, traitsOf} from './compressors.ts'
import {EncodeThreads} from './encode-threads.ts'
import {memberHeader, memberTrailer} from './stored.ts'

export {type Choice, type CompressionOptions, chooseCompressor, type GzipCompressor} from './compressors.ts'

/** Compresses streams, with threads that last as long as it does. Dispose of it. */
export interface Compressor extends AsyncDisposable {
  readonly choice: Choice
  /**
   * @param source its chunks need to be valid until the next one is asked for; its errors pass through unchanged
   * @returns chunks of any size, valid until the next one is asked for; whoever stops early calls `return()`, which closes
   *   the source
   */
  compress(source: AsyncIterable<Buffer>): AsyncIterable<Buffer>
}

/**
 * Makes a compressor; its threads start when there is something for them to do.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID, PLATFORM_UNSUPPORTED: see {@link chooseCompressor}
 */
export async function startCompressor(options: CompressionOptions): Promise<Compressor> {
  const choice = await chooseCompressor(options)
  const threads = new EncodeThreads(choice, options.threads)
  return {
    choice,
    compress: (source) => (traitsOf(choice).isWhole ? encodeAll(source, threads) : compressMember(source, threads)),
    [Symbol.asyncDispose]: () => threads.close(),
  }
}

/**
 * Compresses one stream; for several, {@link startCompressor} starts threads only once.
 *
 * @returns chunks that are valid until the next one is asked for
 * @throws {ImgtoolError} REFERENCE_INVALID, PLATFORM_UNSUPPORTED while reading: see {@link chooseCompressor}
 */
export async function* compress(source: AsyncIterable<Buffer>, options: CompressionOptions): AsyncGenerator<Buffer> {
  await using compressor = await startCompressor(options)
  yield* compressor.compress(source)
}

/** A last block with nothing in it: the code for its end, by the fixed code. @see RFC 1951 3.2.6 */
const lastBlock = Buffer.from('0300', 'hex')

/** One gzip member of blocks that end at a byte. */
async function* compressMember(source: AsyncIterable<Buffer>, threads: EncodeThreads): AsyncGenerator<Buffer> {
  let [checksum, size] = [0, 0]
  yield Buffer.from(memberHeader)
  yield* encodeAll(source, threads, (block) => {
    checksum = crc32(dataOf(block), checksum)
    size += block.size
  })
  yield Buffer.concat([lastBlock, memberTrailer(checksum, size)])
}

/** Blocks in their order, some of which are under way at a time. */
async function* encodeAll(
  source: AsyncIterable<Buffer>,
  threads: EncodeThreads,
  onBlock: (block: Block) => void = () => {},
): AsyncGenerator<Buffer> {
  const underWay: {readonly block: Block; readonly encoded: Promise<Buffer>}[] = []
  async function* finishFirst(): AsyncGenerator<Buffer> {
    const {block, encoded} = underWay.shift()!
    yield await encoded
    threads.release(block)
  }
  for await (const block of cutBlocks(source, threads)) {
    onBlock(block)
    const encoded = threads.encode(block)
    // Whoever awaits it learns of a failure; until then nobody does.
    encoded.catch(() => {})
    underWay.push({block, encoded})
    if (underWay.length >= threads.capacity) yield* finishFirst()
  }
  while (underWay.length > 0) yield* finishFirst()
}
