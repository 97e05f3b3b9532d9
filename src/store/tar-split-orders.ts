/** What one thread asks another to write of a layer's tar-split: bytes in shared memory, one layer after the other. */
import {ImgtoolError} from '../errors.ts'
import {firstWord, type Records, type Run} from '../thread/ring.ts'
import {TarSplitFile} from './tar-split-file.ts'

/** What an order is, in its first word. */
export const order = {start: 0, name: 1, entry: 2, ended: 3, chunk: 4, finish: 5} as const
/** Words of an order, and what it is about. */
export const word = {
  kind: firstWord,
  descriptor: firstWord + 1,
  offset: firstWord + 1,
  length: firstWord + 2,
  nameLength: firstWord + 1,
} as const
/** Counted in words of 64 bits. */
export const longWord = {position: 3, size: 4} as const
/** Byte where a name begins, or the part of it that comes last: those before it have orders of their own. */
export const nameAt = 40
export const nameRoom = 216
/** Words of a record, so that the next one begins at a number of 64 bits. */
export const orderSize = (nameAt + nameRoom) / 4

/** Bytes for what went wrong: a name of an entry and a sentence about it. */
export const failureRoom = 32 * 1024

/**
 * Carries out orders. What follows a failure, up to the next layer, is passed over.
 *
 * @param chunks the memory of all chunks
 * @param failure takes what went wrong, for {@link readFailure}
 */
export function tarSplitOrders(chunks: SharedArrayBuffer, failure: SharedArrayBuffer): Run {
  const memory = Buffer.from(chunks)
  let file: TarSplitFile | undefined
  let name = ''
  const carryOut = (records: Records, at: number) => {
    const {words, longs} = records
    const long = (index: number) => longs[(at >> 1) + index]!
    switch (words[at + word.kind]) {
      case order.start:
        file = new TarSplitFile(words[at + word.descriptor]!)
        name = ''
        break
      case order.name:
        name += readName(records, at)
        break
      case order.entry:
        file?.entry(name + readName(records, at), long(longWord.size), long(longWord.position))
        name = ''
        break
      case order.ended:
        file?.ended(long(longWord.position))
        break
      case order.chunk: {
        const offset = words[at + word.offset]!
        file?.chunk(memory.subarray(offset, offset + words[at + word.length]!))
        break
      }
      case order.finish:
        file?.finish()
    }
  }
  return (records, at) => {
    try {
      carryOut(records, at)
      return 0
    } catch (error) {
      file = undefined
      return writeFailure(Buffer.from(failure), error)
    }
  }
}

function readName({words, bytes}: Records, at: number): string {
  const start = 4 * at + nameAt
  return bytes.toString('latin1', start, start + words[at + word.nameLength]!)
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
