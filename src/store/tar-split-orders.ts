/** What one thread asks another to write of a layer's tar-split: bytes in shared memory, one layer after the other. */
import {ImgtoolError} from '../errors.ts'
import type {Limits} from '../limits.ts'
import {firstWord, type Run} from '../thread/ring.ts'
import {TarSplitFile} from './tar-split-file.ts'

/** What an order is, in its first word. */
export const order = {start: 0, update: 1, finish: 2} as const
/** Words of an order, and what it is about. */
export const word = {
  kind: firstWord,
  descriptor: firstWord + 1,
  offset: firstWord + 1,
  length: firstWord + 2,
} as const
/** Words of a record. */
export const orderSize = 6

/** Bytes for what went wrong: a name of an entry and a sentence about it. */
export const failureRoom = 32 * 1024

/**
 * Carries out orders. What follows a failure, up to the next layer, is passed over.
 *
 * @param chunks the memory of all chunks
 * @param failure takes what went wrong, for {@link readFailure}
 */
export function tarSplitOrders(chunks: SharedArrayBuffer, failure: SharedArrayBuffer, limits: Limits): Run {
  const bytes = Buffer.from(chunks)
  let file: TarSplitFile | undefined
  return ({words}, at) => {
    try {
      switch (words[at + word.kind]) {
        case order.start:
          file = new TarSplitFile(words[at + word.descriptor]!, limits)
          break
        case order.update: {
          const offset = words[at + word.offset]!
          file?.update(bytes.subarray(offset, offset + words[at + word.length]!))
          break
        }
        default:
          file?.finish()
      }
      return 0
    } catch (error) {
      file = undefined
      return writeFailure(Buffer.from(failure), error)
    }
  }
}

/** @returns bytes written, more than 0 */
function writeFailure(room: Buffer, error: unknown): number {
  const known = error instanceof ImgtoolError ? error : new ImgtoolError('SYSTEM_ERROR', String(error))
  const {code, message, details} = known
  const {entry} = details
  const whole = Buffer.from(JSON.stringify({code, message, entry}))
  const text = whole.length <= room.length ? whole : Buffer.from(JSON.stringify({code, message: message.slice(0, 200)}))
  return text.copy(room)
}

/** The error that an order's result tells of. */
export function readFailure(failure: SharedArrayBuffer, size: number): ImgtoolError {
  const {code, message, entry} = JSON.parse(Buffer.from(failure, 0, size).toString())
  return new ImgtoolError(code, message, entry === undefined ? {} : {entry})
}
