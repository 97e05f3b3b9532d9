/** Removes trees of any depth with few descriptors, no recursion, and no path that could be bent on the way. */
import {randomBytes} from 'node:crypto'
import {readdirSync} from 'node:fs'
import {
  changeModeOfPath,
  check,
  close,
  descriptorPath,
  EISDIR,
  EMFILE,
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
import {type ByteString, printable} from '../text.ts'

/** Levels that are held open at once, fewer where descriptors are scarce; what lies deeper is moved up first. */
const maximumLevels = 16

/** Descriptors that removing needs at least: two levels, the list of the lower one, and one to spare. */
export const descriptorsForRemoval = 4

interface Level {
  readonly descriptor: number
  readonly name: ByteString
  readonly entries: ByteString[]
}

/**
 * Removes a name and all that is below it. Links are removed, never followed. What is not there is fine.
 * Needs {@link descriptorsForRemoval}.
 *
 * @throws {ImgtoolError} PERMISSION_DENIED, SYSTEM_ERROR
 */
export function removeTree(directory: number, name: ByteString): void {
  if (isGone(directory, name)) return
  const levels = [openLevel(directory, name) ?? tooMany(name)]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = level.entries.pop()
      if (entry === undefined) {
        levels.pop()
        close(level.descriptor)
        check(removeDirectoryAt(levels.at(-1)?.descriptor ?? directory, level.name), 'remove', level.name)
      } else if (!isGone(level.descriptor, entry)) {
        const next = levels.length < maximumLevels ? openLevel(level.descriptor, entry) : undefined
        if (next !== undefined) levels.push(next)
        else if (levels.length > 1) moveUp(level, entry, levels[0]!)
        else tooMany(entry)
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
  if (isUnprivileged) close(check(openWritable(level.descriptor, name), 'remove', name))
  const moved = `.imgtool-${randomBytes(8).toString('hex')}`
  check(renameAt(level.descriptor, name, top.descriptor, moved), 'remove', name)
  top.entries.push(moved)
}

/** @returns undefined where no descriptor can be had */
function openLevel(directory: number, name: ByteString): Level | undefined {
  const descriptor = openWritable(directory, name)
  if (descriptor === EMFILE) return undefined
  try {
    return {descriptor, name, entries: listDirectory(check(descriptor, 'remove', name))}
  } catch (error) {
    if (descriptor >= 0) close(descriptor)
    if (isTooMany(error)) return undefined
    throw error
  }
}

function isTooMany(error: unknown): boolean {
  return error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EMFILE'
}

function tooMany(name: ByteString): never {
  throw systemError('EMFILE', `remove "${printable(name)}"`)
}

/** Only root may empty a directory that its owner may not even list. */
const isUnprivileged = process.geteuid?.() !== 0

function openWritable(directory: number, name: ByteString): number {
  const descriptor = openAt(directory, name, O_PLACE)
  if (isUnprivileged && descriptor >= 0) changeModeOfPath(descriptor, 0o700)
  return descriptor
}
