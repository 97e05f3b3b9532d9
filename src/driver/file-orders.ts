/**
 * Orders for whole files, or for parts of large ones. Files rarely depend on one another, so that another thread can make them
 * while the next ones are read.
 */
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import {firstWord, type Records, type Run} from '../thread/ring.ts'
import {withoutOwner} from './privileges.ts'

/** Steps of one order, bits of its first word, in the order of doing. @see chown(2): it clears special bits, so it comes before the mode */
export const step = {create: 1, write: 2, own: 4, changeMode: 8, changeTime: 16, close: 32} as const

/** Words of an order: numbers of 32 bits. */
export const word = {
  steps: firstWord,
  /** Of the file, or of its directory when it is to be created. */
  descriptor: firstWord + 1,
  offset: firstWord + 2,
  length: firstWord + 3,
  uid: firstWord + 4,
  gid: firstWord + 5,
  mode: firstWord + 6,
  nanoseconds: firstWord + 7,
  nameLength: firstWord + 8,
} as const
/** Seconds have more than 32 bits; counted in words of 64. */
export const secondsWord = 6
/** Byte where the name of a file to create begins. */
export const nameAt = 56
/** Bytes of the longest name. @see linux include/uapi/linux/limits.h, NAME_MAX */
export const nameRoom = 255
/** Words of a record, so that the next one begins at a number of 64 bits. */
export const orderSize = (nameAt + nameRoom + 1) / 4

const O_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

/** Makes a file that was not there. @returns a descriptor, or a negative errno */
export function createFile(directory: number, name: ByteString, mode: number): number {
  return os.openAt(directory, name, O_NEW, mode & 0o777)
}

/**
 * Carries out orders; what failed comes back as {@link unpackFailure | one number}. A step that fails ends its order, but
 * for the owner, which may be one that does not exist here.
 *
 * @param memory of all chunks
 */
export function fileOrders(memory: SharedArrayBuffer): Run {
  const chunks = Buffer.from(memory)
  return (records, at) => {
    const {words} = records
    const steps = words[at + word.steps]!
    const descriptor = (steps & step.create) === 0 ? words[at + word.descriptor]! : create(records, at)
    if (descriptor < 0) return packFailure(step.create, descriptor)
    const failure = fill(descriptor, steps, chunks, records, at)
    if ((steps & step.close) !== 0) os.close(descriptor)
    return failure
  }
}

function create({words, bytes}: Records, at: number): number {
  const start = 4 * at + nameAt
  const name = bytes.toString('latin1', start, start + words[at + word.nameLength]!)
  return createFile(words[at + word.descriptor]!, name, words[at + word.mode]!)
}

function fill(descriptor: number, steps: number, chunks: Buffer, {words, longs}: Records, at: number): number {
  let result = 0
  let failure = 0
  let mode = words[at + word.mode]!
  if ((steps & step.write) !== 0) {
    const offset = words[at + word.offset]!
    result = os.write(descriptor, chunks.subarray(offset, offset + words[at + word.length]!))
    if (result < 0) return packFailure(step.write, result)
  }
  if ((steps & step.own) !== 0) {
    result = os.changeOwner(descriptor, words[at + word.uid]! >>> 0, words[at + word.gid]! >>> 0)
    if (result < 0) {
      failure = packFailure(step.own, result)
      mode = withoutOwner(mode)
    }
  }
  if ((steps & step.changeMode) !== 0) {
    result = os.changeMode(descriptor, mode)
    if (result < 0) return packFailure(step.changeMode, result)
  }
  if ((steps & step.changeTime) !== 0) {
    result = os.changeTime(descriptor, longs[(at >> 1) + secondsWord]!, words[at + word.nanoseconds]!)
    if (result < 0) return packFailure(step.changeTime, result)
  }
  return failure
}

function packFailure(failed: number, result: number): number {
  return (failed << 16) | -result
}

/** @returns the step that failed, and its negative errno */
export function unpackFailure(failure: number): {readonly failed: number; readonly result: number} {
  return {failed: failure >> 16, result: -(failure & 0xffff)}
}
