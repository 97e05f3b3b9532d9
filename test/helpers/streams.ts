/** Sources that behave as badly as the contract of a stream allows. */

/** All that a stream gives. */
export async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

/** Streams bytes in chunks of the sizes given, repeated, from one buffer that is overwritten when the next one is asked for. */
export async function* chunked(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(Math.max(...sizes, 1))
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = bytes.copy(buffer, 0, at, at + sizes[turn % sizes.length]!)
    yield buffer.subarray(0, size)
    buffer.fill(0xaa)
    at += size
  }
}

/** A stream that counts what is taken from it and knows when it is closed. */
export class WatchedSource {
  readonly chunks: Iterable<Buffer>
  taken = 0
  closed = false

  constructor(chunks: Iterable<Buffer>) {
    this.chunks = chunks
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (const chunk of this.chunks) {
        this.taken++
        yield chunk
      }
    } finally {
      this.closed = true
    }
  }
}
