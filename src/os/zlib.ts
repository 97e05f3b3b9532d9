/**
 * The zlib that Node itself is made with, called directly: Node's own streams of it hand every piece from thread to thread, which
 * costs as much as decompressing it. Buffers go in and out by address, so that nothing is copied.
 */
import koffi from 'koffi'

/** @see zlib.h: z_stream on Linux, where pointers and `unsigned long` have 64 bits */
const field = {nextIn: 0, availableIn: 8, nextOut: 24, availableOut: 32, message: 48} as const
const streamSize = 112
/** Largest window, gzip header and trailer wanted. @see zlib.h, inflateInit2 */
const gzipOnly = 15 + 16
const Z_NO_FLUSH = 0
const Z_STREAM_END = 1
const Z_BUF_ERROR = -5

function load() {
  const library = koffi.load(null)
  return {
    inflateInit2: library.func('int inflateInit2_(void *, int, const char *, int)'),
    inflate: library.func('int inflate(void *, int)'),
    inflateReset: library.func('int inflateReset(void *)'),
    inflateEnd: library.func('int inflateEnd(void *)'),
  }
}

let calls: ReturnType<typeof load> | undefined

/** Whether there is one: a Node that was built with a zlib of the system's has none of its own. */
export function hasZlib(): boolean {
  try {
    calls ??= load()
    return true
  } catch {
    return false
  }
}

/** What one step of {@link GzipMember.inflate} came to. */
export interface Inflated {
  readonly consumed: number
  readonly produced: number
  /** The member is complete, its checksum right. */
  readonly ended: boolean
}

/** Decompresses gzip members one after the other. Close it. */
export class GzipMember {
  readonly #stream = Buffer.alloc(streamSize)

  constructor() {
    if (!hasZlib()) throw new Error('this Node has no zlib of its own')
    const failed = calls!.inflateInit2(this.#stream, gzipOnly, '1', streamSize)
    if (failed !== 0) throw new Error(`inflateInit2 failed: ${failed}`)
  }

  /**
   * Decompresses from one buffer into another, as far as either reaches.
   *
   * @param input not empty
   * @param output not empty
   * @throws {Error} that says what is wrong with the data
   */
  inflate(input: Buffer, output: Buffer): Inflated {
    const stream = this.#stream
    stream.writeBigUInt64LE(BigInt(koffi.address(input)), field.nextIn)
    stream.writeUInt32LE(input.length, field.availableIn)
    stream.writeBigUInt64LE(BigInt(koffi.address(output)), field.nextOut)
    stream.writeUInt32LE(output.length, field.availableOut)
    const result = calls!.inflate(stream, Z_NO_FLUSH)
    const consumed = input.length - stream.readUInt32LE(field.availableIn)
    const produced = output.length - stream.readUInt32LE(field.availableOut)
    if (result < 0 && result !== Z_BUF_ERROR) throw new Error(this.#message(result))
    return {consumed, produced, ended: result === Z_STREAM_END}
  }

  /** Begins the next member. */
  reset(): void {
    calls!.inflateReset(this.#stream)
  }

  close(): void {
    calls!.inflateEnd(this.#stream)
  }

  #message(result: number): string {
    const pointer = this.#stream.readBigUInt64LE(field.message)
    return pointer === 0n ? `zlib error ${result}` : koffi.decode(this.#stream, field.message, 'const char *')
  }
}
