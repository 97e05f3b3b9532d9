/** The small files in which drivers keep what they know of a place. The store may be anybody's, and so may these. */
import {fstatSync} from 'node:fs'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printableText} from '../text.ts'

/** More than any of them has: the names of 16,000 layers below. */
const maximumSize = 1024 * 1024

/**
 * @returns the text without blanks at its ends; undefined where there is no such file
 * @throws {ImgtoolError} STORE_INVALID for what is no file, or no small one
 */
export function readSmallFile(directory: number, name: string): string | undefined {
  const descriptor = openRegular(directory, name, () => invalid(name, 'it is no file'))
  if (descriptor === undefined) return undefined
  try {
    const room = Buffer.alloc(Math.min(fstatSync(descriptor).size, maximumSize) + 1)
    const size = os.check(os.read(descriptor, room, 0), 'read', name)
    if (size > maximumSize) throw invalid(name, `it has more than ${maximumSize} bytes`)
    return room.toString('latin1', 0, size).trim()
  } finally {
    os.close(descriptor)
  }
}

/**
 * Opens a file to read it, and nothing else: opening a device can do something, and opening a fifo waits.
 *
 * @param refuse makes the error for what is no file
 * @param path of the name, for other errors
 * @returns undefined where there is nothing
 */
export function openRegular(
  directory: number,
  name: ByteString,
  refuse: () => ImgtoolError,
  path = name,
): number | undefined {
  const status = os.statusAt(directory, name)
  if (status === os.ENOENT) return undefined
  if (typeof status !== 'number' && (status.mode & os.S_IFMT) !== os.S_IFREG) throw refuse()
  return os.check(os.openAt(directory, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), 'open', path)
}

function invalid(name: string, why: string): ImgtoolError {
  return new ImgtoolError('STORE_INVALID', `Cannot read "${printableText(name)}" of the store: ${why}`)
}

/** Writes a new file, which nobody reads before it is complete, or whose only text it is. */
export function writeSmallFile(directory: number, name: string, text: string, mode: number): void {
  const descriptor = os.check(os.openAt(directory, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), 'make', name)
  try {
    os.check(os.write(descriptor, Buffer.from(text, 'latin1')), 'write', name)
    os.check(os.changeMode(descriptor, mode), 'set the mode of', name)
  } finally {
    os.close(descriptor)
  }
}
