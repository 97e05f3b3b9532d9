/** The small files in which drivers keep what they know of a place. */
import {constants} from 'node:fs'
import * as os from '../os/libc.ts'

/** More than any of them has: the names of 128 layers below. */
const maximumSize = 64 * 1024

/** @returns the text without blanks at its ends; undefined where there is no such file */
export function readSmallFile(directory: number, name: string): string | undefined {
  const descriptor = os.openAt(directory, name, os.O_RDONLY | os.O_NOFOLLOW | constants.O_NONBLOCK)
  if (descriptor === os.ENOENT) return undefined
  os.check(descriptor, 'open', name)
  try {
    const room = Buffer.alloc(maximumSize)
    return room.toString('latin1', 0, os.check(os.read(descriptor, room, 0), 'read', name)).trim()
  } finally {
    os.close(descriptor)
  }
}

/** Writes a file that nobody reads before it is complete, or whose only text it is. */
export function writeSmallFile(directory: number, name: string, text: string, mode: number): void {
  const descriptor = os.check(os.openAt(directory, name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode), 'make', name)
  try {
    os.check(os.write(descriptor, Buffer.from(text, 'latin1')), 'write', name)
    os.check(os.changeMode(descriptor, mode), 'set the mode of', name)
  } finally {
    os.close(descriptor)
  }
}
