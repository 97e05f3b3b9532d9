/**
 * Staging: what a run makes beside its target until it is complete, under a name that no other run has, locked for as long
 * as the run lives. What is there without a lock was left by a run that was killed.
 */
import {readdirSync} from 'node:fs'
import process from 'node:process'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText} from '../text.ts'
import type {Privileges} from './privileges.ts'
import {removeTree} from './remove.ts'
import {isStagingName, stagingName} from './staging-name.ts'
import {accessName, inheritedName} from './xattr-policy.ts'

/** Runs that clean up at this very moment are few; whoever loses to more of them has met something else. */
export const maximumAttempts = 16

/** A directory beside the target, locked by its descriptor. */
export interface Staging {
  readonly name: string
  readonly descriptor: number
}

/** Makes a locked directory beside the target that nobody else can look into. */
export function makeStaging(parent: number, target: string, shown: string): Staging {
  for (let attempt = 0; attempt < maximumAttempts; attempt++) {
    const name = stagingName(target)
    os.check(os.makeDirectoryAt(parent, fromText(name), 0o700), `make a directory beside "${shown}"`)
    const descriptor = os.openAt(parent, fromText(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    // A run that cleans up may have taken it for a leftover in the moment before it was locked.
    if (descriptor === os.ENOENT) continue
    if (descriptor < 0) os.removeDirectoryAt(parent, fromText(name))
    os.check(descriptor, `open a directory beside "${shown}"`)
    // Where a file system has no locks nobody can tell leftovers from work, and so nobody removes them.
    if (lockStaging(parent, name, descriptor)) return {name, descriptor}
    os.close(descriptor)
  }
  throw new ImgtoolError('SYSTEM_ERROR', `Cannot keep a directory beside "${shown}": it is removed again and again`)
}

/** Takes the lock of a staging directory or file; false when a run that cleans up took it for a leftover in the moment before. */
function lockStaging(parent: number, name: string, descriptor: number): boolean {
  return os.lock(descriptor) !== os.EAGAIN && isSame(parent, name, descriptor)
}

/**
 * Takes off a staging directory what it has from its parent: a set-group-id bit or a default ACL would give its group or its
 * rules to every file of the image.
 */
export function dropInherited(descriptor: number, {uid, gid}: Privileges, shown: string): void {
  const status = os.statusAt(descriptor, '')
  if (typeof status !== 'number' && status.gid !== gid)
    os.check(os.changeOwner(descriptor, uid, gid), `own a directory beside "${shown}"`)
  os.check(os.changeMode(descriptor, 0o700), `protect a directory beside "${shown}"`)
  os.removeXattr(descriptor, inheritedName)
  os.removeXattr(descriptor, accessName)
}

function isSame(parent: number, name: string, descriptor: number): boolean {
  const named = os.statusAt(parent, fromText(name))
  const open = os.statusAt(descriptor, '')
  return typeof named !== 'number' && typeof open !== 'number' && named.identity === open.identity
}

/** Removes the directories and files of runs for this target that were killed: those whose lock is free. */
export function removeLeftovers(parent: number, target: string): void {
  let names: string[]
  try {
    names = readdirSync(os.descriptorPath(parent))
  } catch {
    // A directory that can be written to but not listed: what is left there is not found.
    return
  }
  for (const name of names) {
    if (!isStagingName(name, target)) continue
    const descriptor = os.openAt(parent, fromText(name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if (descriptor < 0) continue
    try {
      if (os.lock(descriptor) === 0) removeTree(parent, fromText(name))
    } catch {
      // Somebody else's: it must not keep us from our work.
    } finally {
      os.close(descriptor)
    }
  }
}

/** Names that {@link removeLeftovers} would remove. */
export function findLeftovers(parent: number, target: string): string[] {
  const names = readdirSync(os.descriptorPath(parent)).filter((name) => isStagingName(name, target))
  return names.filter((name) => {
    const descriptor = os.openAt(parent, fromText(name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if (descriptor < 0) return false
    const isLeft = os.lock(descriptor) === 0
    os.close(descriptor)
    return isLeft
  })
}

/** As {@link removeLeftovers}, for a parent by its path. */
export function removeLeftoversIn(parent: string, target: string): void {
  within(parent, (descriptor) => removeLeftovers(descriptor, target))
}

/** As {@link lockStaging}, for a parent by its path. */
export function lockStagingIn(parent: string, name: string, descriptor: number): boolean {
  return within(parent, (directory) => lockStaging(directory, name, descriptor))
}

/** Takes the lock of a directory that several runs add to. @returns false while somebody else has it */
export function lockDirectory(descriptor: number): boolean {
  return os.lock(descriptor) !== os.EAGAIN
}

/** A directory that will take the place of nothing, or of an empty directory. */
export interface StagedDirectory {
  readonly name: string
  /** Open until it is committed or aborted. */
  readonly descriptor: number
  /**
   * @param options.sync write it to the disk first
   * @throws {ImgtoolError} TARGET_EXISTS when somebody else was faster, TARGET_INVALID for a mount point
   */
  commit(options: {readonly sync: boolean}): void
  /** Does nothing after {@link commit}. */
  abort(): void
}

/**
 * Makes a staging directory, and removes what killed runs left.
 *
 * @param keepMode it is made with its mode and all; otherwise it gets the one that a new directory has
 * @throws {ImgtoolError} PERMISSION_DENIED, NO_SPACE
 */
export function stageDirectory(parentPath: string, target: string, shown: string, keepMode = false): StagedDirectory {
  const parent = os.check(
    os.openAt(os.AT_FDCWD, fromText(parentPath), os.O_PATH | os.O_DIRECTORY),
    `open the parent of "${shown}"`,
  )
  let staging: Staging
  try {
    removeLeftovers(parent, target)
    staging = makeStaging(parent, target, shown)
  } catch (error) {
    os.close(parent)
    throw error
  }
  const {name, descriptor} = staging
  let isOpen = true
  const close = () => {
    if (!isOpen) return
    isOpen = false
    os.close(descriptor)
    os.close(parent)
  }
  return {
    name,
    descriptor,
    commit({sync}) {
      if (!keepMode) os.check(os.changeMode(descriptor, 0o777 & ~process.umask()), `make "${shown}" readable`)
      if (sync) os.check(os.syncFileSystem(descriptor), 'write to the disk')
      const failed = os.renameAt(parent, fromText(name), parent, fromText(target))
      if (failed === os.EEXIST || failed === os.ENOTEMPTY || failed === os.ENOTDIR) {
        throw new ImgtoolError('TARGET_EXISTS', `Cannot write "${shown}": it was made by somebody else meanwhile`)
      }
      if (failed === os.EBUSY) {
        throw new ImgtoolError('TARGET_INVALID', `Cannot write "${shown}": it is a mount point`, {
          hint: 'Give a directory inside it',
        })
      }
      os.check(failed, `rename to "${shown}"`)
      close()
    },
    abort() {
      try {
        if (isOpen) removeTree(parent, fromText(name))
      } finally {
        close()
      }
    },
  }
}

function within<Result>(parent: string, use: (descriptor: number) => Result): Result {
  const descriptor = os.check(os.openAt(os.AT_FDCWD, fromText(parent), os.O_PATH | os.O_DIRECTORY), 'open a directory')
  try {
    return use(descriptor)
  } finally {
    os.close(descriptor)
  }
}
