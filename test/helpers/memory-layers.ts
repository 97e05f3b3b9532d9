/** Layers and images whose bytes are in memory. */
import type {Blob} from '../../src/archive/archive.ts'
import type {Image, Layer} from '../../src/image/model.ts'
import {imageOf} from './images.ts'

/** A blob that counts the bytes that are read from it. */
export interface MemoryBlob extends Blob {
  /** Bytes, by either way of reading. */
  readonly taken: number
  /** Streams that were not read to their end and not closed. */
  readonly open: number
}

/** @param chunkSize of the stream, whose chunks share their memory */
export function memoryBlob(bytes: Buffer, chunkSize = 1000): MemoryBlob {
  const counts = {taken: 0, open: 0}
  return {
    name: 'layer.tar',
    size: bytes.length,
    get taken() {
      return counts.taken
    },
    get open() {
      return counts.open
    },
    read(position, length) {
      const part = Buffer.from(bytes.subarray(position, position + length))
      counts.taken += part.length
      return Promise.resolve(part)
    },
    async *stream() {
      const chunk = Buffer.alloc(chunkSize)
      counts.open++
      try {
        for (let at = 0; at < bytes.length; at += chunkSize) {
          const size = bytes.copy(chunk, 0, at, at + chunkSize)
          counts.taken += size
          yield chunk.subarray(0, size)
          chunk.fill(0xaa)
        }
      } finally {
        counts.open--
      }
    },
  }
}

/** An image of these layers, base first. */
export function imageOfTars(...tars: readonly Buffer[]): Image {
  const layers: Layer[] = tars.map((bytes, index) => ({index, blob: memoryBlob(bytes)}))
  return imageOf([], {layers})
}
