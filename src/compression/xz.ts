/** xz, by a decoder in WebAssembly that is loaded with the first archive that needs it. */
import {ImgtoolError} from '../errors.ts'
import {damaged, decode} from './codec.ts'

/** What the decoder's error codes mean. @see enum xz_ret of https://github.com/tukaani-project/xz-embedded linux/include/linux/xz.h */
const unsupported: Readonly<Record<string, string>> = {
  3: 'there is not enough memory for the dictionary',
  4: 'the dictionary is too large',
  6: 'it uses a filter or an integrity check beyond LZMA2, CRC32 and CRC64',
}

const invalid: Readonly<Record<string, string>> = {
  5: 'the header is damaged',
  7: 'the data is damaged',
  8: 'unexpected end of file or other data after the end',
}

/**
 * Decompresses streams and the padding between them. The decoder serves one stream a process at a time: a second one waits
 * until the first ends or is closed.
 *
 * @throws {ImgtoolError} COMPRESSION_INVALID for damage, truncation, or anything but padding after a stream;
 *   COMPRESSION_UNSUPPORTED for what the decoder does not know
 */
export function decompressXz(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return decode(source, 'xz', runDecoder)
}

async function* runDecoder(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const {default: xz} = await import('xz-decompress')
  try {
    for await (const chunk of new xz.XzReadableStream(ReadableStream.from(nonEmpty(pieces)))) {
      if (chunk.length > 0) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    }
  } catch (error) {
    throw explain(error)
  }
}

/** The decoder takes an empty piece for the end of its input, and fails where there is no input at all. */
async function* nonEmpty(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let empty = true
  for await (const piece of pieces) {
    if (piece.length === 0) continue
    empty = false
    yield piece
  }
  if (empty) throw damaged('xz', 'unexpected end of file')
}

function explain(error: unknown): unknown {
  const code = error instanceof Error ? (/error code (\d+)$/.exec(error.message)?.[1] ?? '') : ''
  if (code in invalid) return damaged('xz', invalid[code]!, error)
  if (!(code in unsupported)) return error
  return new ImgtoolError('COMPRESSION_UNSUPPORTED', `Cannot decompress xz data: ${unsupported[code]}`, {cause: error})
}
