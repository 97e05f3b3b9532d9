/** Removes trees of any depth with few descriptors, no recursion, and no path that could be bent on the way. */
import {randomBytes} from 'node:crypto'
import {readdirSync} from 'node:fs'
import {
  changeModeOfPath,
  check,
  close,
  descriptorPath,
  EISDIR,
  ENOENT,
  EPERM,
  isDirectoryAt,
  O_PLACE,
  openAt,
  removeDirectoryAt,
  renameAt,
  systemError,
  unlinkAt,
} from '../os/libc.ts'
import type {ByteString} from '../text.ts'

/** Levels that are held open at once; what lies deeper is moved up first. */
const maximumLevels = 16

interface Level {
  readonly descriptor: number
  readonly name: ByteString
  readonly entries: ByteString[]
}

/**
 * Removes a name and all that is below it. Links are removed, never followed. What is not there is fine.
 *
 * @throws {ImgtoolError} PERMISSION_DENIED, SYSTEM_ERROR
 */
export function removeTree(directory: number, name: ByteString): void {
  if (isGone(directory, name)) return
  const levels = [openLevel(directory, name)]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = level.entries.pop()
      if (entry === undefined) {
        levels.pop()
        close(level.descriptor)
        check(removeDirectoryAt(levels.at(-1)?.descriptor ?? directory, level.name), 'remove', level.name)
      } else if (!isGone(level.descriptor, entry)) {
        if (levels.length < maximumLevels) levels.push(openLevel(level.descriptor, entry))
        else moveUp(level, entry, levels[0]!)
      }
    }
  } finally {
    for (const {descriptor} of levels) close(descriptor)
  }
}

/** Names in a directory, as bytes, in the order of the file system. */
export function listDirectory(descriptor: number): ByteString[] {
  try {
    return readdirSync(descriptorPath(descriptor), {encoding: 'latin1'})
  } catch (error) {
    throw systemError((error as NodeJS.ErrnoException).code ?? 'EIO', 'list a directory', error)
  }
}

/** Tries to unlink. @returns false for a directory */
function isGone(directory: number, name: ByteString): boolean {
  const failed = unlinkAt(directory, name)
  // POSIX lets unlink(2) say EPERM of a directory; of anything else it means what it says.
  if (failed === EISDIR || (failed === EPERM && isDirectoryAt(directory, name))) return false
  if (failed !== ENOENT) check(failed, 'remove', name)
  return true
}

/** Puts a deep directory into the topmost, under a name that nobody has, to be removed from there. */
function moveUp(level: Level, name: ByteString, top: Level): void {
  // Its entry `..` changes, for which it must be writable.
  if (isUnprivileged) close(openWritable(level.descriptor, name))
  const moved = `.imgtool-${randomBytes(8).toString('hex')}`
  check(renameAt(level.descriptor, name, top.descriptor, moved), 'remove', name)
  top.entries.push(moved)
}

function openLevel(directory: number, name: ByteString): Level {
  const descriptor = openWritable(directory, name)
  return {descriptor, name, entries: listDirectory(descriptor)}
}

/** Only root may empty a directory that its owner may not even list. */
const isUnprivileged = process.geteuid?.() !== 0

function openWritable(directory: number, name: ByteString): number {
  const descriptor = check(openAt(directory, name, O_PLACE), 'remove', name)
  if (isUnprivileged) changeModeOfPath(descriptor, 0o700)
  return descriptor
}
