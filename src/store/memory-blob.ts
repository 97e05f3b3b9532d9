/** A blob that is made, and not read. */
import type {Blob} from '../archive/archive.ts'
import type {ByteString} from '../text.ts'

export function memoryBlob(name: ByteString, bytes: Buffer): Blob {
  return {
    name,
    size: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
    async *stream() {
      yield bytes
    },
  }
}
