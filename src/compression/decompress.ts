/** Decompresses by streaming: bounded memory, no temporary files, no programs. */
import {ImgtoolError} from '../errors.ts'
import type {Compression} from './detect.ts'
import {decompressGzip} from './gzip.ts'
import {decompressXz} from './xz.ts'
import {decompressZstd} from './zstd.ts'

/**
 * Decompresses a stream.
 *
 * @param source its chunks need to be valid until the next one is asked for; its errors pass through unchanged
 * @returns chunks of any size; whoever stops early calls `return()`, which closes the source
 * @throws {ImgtoolError} COMPRESSION_UNSUPPORTED at once for bzip2; COMPRESSION_INVALID while reading
 */
export function decompress(source: AsyncIterable<Buffer>, compression: Compression): AsyncIterable<Buffer> {
  return decoders[compression](source)
}

const decoders: Record<Compression, (source: AsyncIterable<Buffer>) => AsyncIterable<Buffer>> = {
  none: (source) => source,
  gzip: decompressGzip,
  zstd: decompressZstd,
  xz: decompressXz,
  bzip2: () => {
    throw new ImgtoolError('COMPRESSION_UNSUPPORTED', 'Cannot decompress bzip2 data: bzip2 is not supported')
  },
}
