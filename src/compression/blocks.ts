/** Cuts a stream into blocks in memory that threads share, each with what came before it. */

/** What deflate can refer back to, bytes. @see RFC 1951 2 */
const windowSize = 32 * 1024

/** One block. It is told to another thread by its numbers. */
export interface Block {
  /** A window, then the data, then room for the output. */
  readonly memory: SharedArrayBuffer
  /** Bytes of the window that are the end of the block before, at its end. */
  dictionarySize: number
  size: number
  /** Bytes that the data may have. */
  readonly capacity: number
}

/** Where blocks come from. */
export interface BlockSource {
  readonly blockSize: number
  /** Memory of blocks that are done with. */
  readonly free: SharedArrayBuffer[]
}

/** What came before the data, or before a position in it. */
export function dictionaryOf({memory, dictionarySize}: Block, at = 0): Buffer {
  const size = Math.min(dictionarySize + at, windowSize)
  return Buffer.from(memory, windowSize + at - size, size)
}

export function dataOf({memory, size}: Block): Buffer {
  return Buffer.from(memory, windowSize, size)
}

/** Room for what the data becomes. */
export function roomOf({memory, capacity}: Block): Buffer {
  return Buffer.from(memory, windowSize + capacity)
}

/** What cannot be compressed becomes stored blocks, with five bytes for every few thousand, and headers around them. */
function roomFor(capacity: number): number {
  return capacity + (capacity >> 3) + 4096
}

/** @returns full blocks, and then one that may be shorter; it is empty only where the source is */
export async function* cutBlocks(source: AsyncIterable<Buffer>, blocks: BlockSource): AsyncGenerator<Block> {
  let block = take(blocks)
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      if (block.size === block.capacity) {
        const full = block
        // Before the full one is handed on: its memory may be used again as soon as it is compressed.
        block = follow(full, blocks)
        yield full
      }
      const free = Buffer.from(block.memory, windowSize + block.size, block.capacity - block.size)
      const copied = chunk.copy(free, 0, at)
      block.size += copied
      at += copied
    }
  }
  yield block
}

function take({blockSize: capacity, free}: BlockSource): Block {
  const memory = free.pop() ?? new SharedArrayBuffer(windowSize + capacity + roomFor(capacity))
  return {memory, capacity, dictionarySize: 0, size: 0}
}

function follow(full: Block, blocks: BlockSource): Block {
  const block = take(blocks)
  dataOf(full).copy(Buffer.from(block.memory), 0, full.size - windowSize)
  block.dictionarySize = windowSize
  return block
}
