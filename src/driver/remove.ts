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
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openAt,
  removeDirectoryAt,
  renameNoReplaceAt,
  systemError,
  unlinkAt,
} from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'

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
  const left = [name]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (isGone(directory, next)) continue
    removeLevels(directory, next, (level, deep) => {
      const moved = `.imgtool-${randomBytes(8).toString('hex')}`
      check(renameNoReplaceAt(level, deep, directory, moved), 'remove', deep)
      left.push(moved)
    })
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
  if (failed === EISDIR || failed === EPERM) return false
  if (failed !== ENOENT) check(failed, 'remove', name)
  return true
}

function removeLevels(directory: number, name: ByteString, moveUp: (level: number, deep: ByteString) => void): void {
  const levels = [openLevel(directory, name)]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = level.entries.pop()
      if (entry === undefined) {
        levels.pop()
        close(level.descriptor)
        check(
          removeDirectoryAt(levels.at(-1)?.descriptor ?? directory, level.name),
          `remove "${printable(level.name)}"`,
        )
      } else if (!isGone(level.descriptor, entry)) {
        if (levels.length < maximumLevels) levels.push(openLevel(level.descriptor, entry))
        else moveUp(level.descriptor, entry)
      }
    }
  } finally {
    for (const {descriptor} of levels) close(descriptor)
  }
}

function openLevel(directory: number, name: ByteString): Level {
  const descriptor = check(openAt(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW), 'remove', name)
  // Only root may empty a directory that its owner may not even list.
  if (process.geteuid?.() !== 0) changeModeOfPath(descriptor, 0o700)
  return {descriptor, name, entries: listDirectory(descriptor)}
}
