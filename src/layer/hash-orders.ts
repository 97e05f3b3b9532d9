/** What one thread asks another to hash: streams by number, their bytes in shared memory. */
import {createHash, type Hash} from 'node:crypto'
import {digestAlgorithms} from '../digest.ts'
import {firstWord, type Run} from '../thread/ring.ts'

/** What an order is, in its first word. */
export const order = {start: 0, update: 1, digest: 2} as const
/** Words of an order: which stream, and then what it is about. */
export const word = {
  kind: firstWord,
  stream: firstWord + 1,
  offset: firstWord + 2,
  length: firstWord + 3,
  algorithm: firstWord + 2,
} as const
/** Words of a record. */
export const orderSize = 8

/** Bytes of the longest digest. */
export const digestRoom = 64

/**
 * Carries out orders.
 *
 * @param chunks the memory of all chunks
 * @param digests room for one digest of each stream
 */
export function hashOrders(chunks: SharedArrayBuffer, digests: SharedArrayBuffer): Run {
  const bytes = Buffer.from(chunks)
  const room = Buffer.from(digests)
  const streams = new Map<number, Hash>()
  return ({words}, at) => {
    const stream = words[at + word.stream]!
    switch (words[at + word.kind]) {
      case order.start:
        streams.set(stream, createHash(digestAlgorithms[words[at + word.algorithm]!]!))
        break
      case order.update: {
        const offset = words[at + word.offset]!
        streams.get(stream)!.update(bytes.subarray(offset, offset + words[at + word.length]!))
        break
      }
      default:
        streams
          .get(stream)!
          .digest()
          .copy(room, stream * digestRoom)
        streams.delete(stream)
    }
    return 0
  }
}
