/** A blob whose streams say how much of them was used. */
import type {Blob} from './archive.ts'

/** @param onBytes is called after each chunk with its size */
export function watchedBlob(blob: Blob, onBytes: (bytes: number) => void): Blob {
  return {
    ...blob,
    async *stream(buffers) {
      for await (const chunk of blob.stream(buffers)) {
        yield chunk
        onBytes(chunk.length)
      }
    },
  }
}
