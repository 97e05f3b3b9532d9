/** The first bytes of an input, which tell what it is. */

/** Enough for the magic of a tar, which is at 257. */
export const headSize = 512

/**
 * Passes a stream on, and shows its head before more than that is taken: an endless stream of something else must not be
 * copied until the disk is full.
 *
 * @param check gets 512 bytes, fewer only where the stream is shorter, once; what it throws ends the stream
 */
export async function* withHead(source: AsyncIterable<Buffer>, check: (head: Buffer) => void): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0)
  for await (const chunk of source) {
    if (head.length < headSize) {
      head = Buffer.concat([head, chunk.subarray(0, headSize - head.length)])
      if (head.length === headSize) check(head)
    }
    yield chunk
  }
  if (head.length < headSize) check(head)
}
