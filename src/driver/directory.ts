/**
 * The directory driver: one root file system in one directory, which appears complete or not at all. Everything is made
 * beside the target under a name of its own, locked for as long as its run lives, and renamed once.
 */
import {ImgtoolError} from '../errors.ts'
import type {OnWarning} from '../layer/change.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {copyTree} from './copy-tree.ts'
import type {ApplyOptions} from './driver.ts'
import {InPlace} from './in-place.ts'
import {type Privileges, readPrivileges} from './privileges.ts'
import {descriptorsForRemoval, removeTree} from './remove.ts'
import {dropInherited, makeStaging, removeLeftovers, type Staging} from './staging.ts'
import {checkTarget, locateTarget, openParent, type TargetState} from './target.ts'

export interface DriverOptions extends ApplyOptions {
  /** Unpack over what the target holds. */
  readonly force: boolean
}

/** A directory under construction. Commit it or abort it; both leave nothing behind but the target. */
export class DirectoryDriver {
  readonly changes: InPlace
  readonly privileges: Privileges
  readonly #shown: string
  readonly #warn: OnWarning
  readonly #name: string
  /** The parent directory, and the staging directory in it with its lock. */
  readonly #parent: number
  #staging: Staging | undefined
  readonly #state: TargetState
  /** Descriptors that nobody else gets, so that a run that ends for want of them can still clean up. */
  readonly #reserve: number[] = []

  /**
   * Prepares the target and removes what killed runs left beside it.
   *
   * @throws {ImgtoolError} as {@link checkTarget}, PERMISSION_DENIED, NO_SPACE
   */
  constructor(target: string, options: DriverOptions) {
    this.#state = checkTarget(target, options)
    const located = locateTarget(target)
    const {name, shown} = located
    this.#shown = shown
    this.#warn = options.onWarning
    this.#name = name
    this.privileges = readPrivileges()
    this.#parent = openParent(located)
    try {
      this.#holdReserve()
      removeLeftovers(this.#parent, name)
      this.#staging = makeStaging(this.#parent, name, shown)
      dropInherited(this.#staging.descriptor, this.privileges, shown)
      if (this.isMerge) {
        requireExchange(this.#parent, name, this.#staging, shown)
        copyInto(this.#parent, name, this.#staging)
      }
      this.changes = new InPlace(this.#staging.descriptor, this.privileges, options)
      if (this.isMerge) this.changes.startMerge()
    } catch (error) {
      this.abort()
      throw error
    }
  }

  /** Something lies below the first layer: the target's own content. */
  get isMerge(): boolean {
    return this.#state === 'occupied'
  }

  /**
   * Makes the result visible under the target's name, at once.
   *
   * @param options.sync write it to the disk first, so that it also survives a loss of power
   * @throws {ImgtoolError} TARGET_EXISTS when somebody else was faster; nothing is left behind
   */
  commit(options: {readonly sync: boolean}): void {
    const staging = this.#staging!
    this.changes.finish()
    this.changes.close()
    if (options.sync) os.check(os.syncFileSystem(staging.descriptor), 'write to the disk')
    const failed = this.#rename(fromText(staging.name), fromText(this.#name))
    if (failed === os.EEXIST || failed === os.ENOTEMPTY || failed === os.ENOTDIR) {
      throw new ImgtoolError(
        'TARGET_EXISTS',
        `Cannot unpack to "${this.#shown}": it was made by somebody else meanwhile`,
      )
    }
    if (failed === os.EBUSY) {
      throw new ImgtoolError('TARGET_INVALID', `Cannot unpack to "${this.#shown}": it is a mount point`, {
        hint: 'Give a directory inside it',
      })
    }
    os.check(failed, `rename to "${this.#shown}"`)
    this.#freeReserve()
    // What was exchanged now has the staging name, and goes. The result is there: it is no failure when that cannot be done.
    if (this.#state === 'occupied') this.#removeStaging(staging.name)
    os.close(staging.descriptor)
    this.#staging = undefined
    this.#release()
  }

  /** Removes everything that was made. Does nothing after {@link commit}. */
  abort(): void {
    this.changes?.close()
    this.#release()
  }

  #rename(staging: string, name: string): number {
    switch (this.#state) {
      case 'occupied':
        return os.exchangeAt(this.#parent, staging, name)
      case 'empty':
        // rename(2) replaces an empty directory, and fails when it is not empty any more.
        return os.renameAt(this.#parent, staging, this.#parent, name)
      case 'absent': {
        const failed = os.renameNoReplaceAt(this.#parent, staging, this.#parent, name)
        // Some network file systems have no flags; there an empty directory made meanwhile is replaced.
        return failed === os.EINVAL ? os.renameAt(this.#parent, staging, this.#parent, name) : failed
      }
    }
  }

  #holdReserve(): void {
    while (this.#reserve.length < descriptorsForRemoval)
      this.#reserve.push(os.check(os.openAt(this.#parent, '.', os.O_PLACE), `open the parent of "${this.#shown}"`))
  }

  #freeReserve(): void {
    for (const descriptor of this.#reserve.splice(0)) os.close(descriptor)
  }

  #release(): void {
    this.#freeReserve()
    const staging = this.#staging
    this.#staging = undefined
    if (staging !== undefined) {
      this.#removeStaging(staging.name)
      os.close(staging.descriptor)
    }
    if (this.#parentOpen) os.close(this.#parent)
    this.#parentOpen = false
  }

  /** What went wrong before matters more than what is left; the next run tries again. */
  #removeStaging(name: string): void {
    try {
      removeTree(this.#parent, fromText(name))
    } catch (error) {
      const why = error instanceof Error ? `: ${error.message}` : ''
      this.#warn({code: 'LEFTOVER', message: `"${printableText(name)}" is left beside "${this.#shown}"${why}`})
    }
  }

  #parentOpen = true
}

/**
 * Finds out whether a merged directory could take the target's place in the end, before anything is copied.
 *
 * Some network file systems cannot exchange two names (EINVAL), and overlayfs cannot rename what it has from a lower directory
 * (EXDEV), which shows when the target is to replace a directory that is not empty: that fails everywhere.
 *
 * @throws {ImgtoolError} TARGET_INVALID
 * @see renameat2(2); linux Documentation/filesystems/overlayfs.rst, "Renaming directories"
 */
function requireExchange(parent: number, name: string, staging: Staging, shown: string): void {
  const [one, other] = ['one', 'other']
  for (const probe of [one, other])
    os.check(os.makeDirectoryAt(staging.descriptor, probe, 0o700), `make a directory beside "${shown}"`)
  const exchanged = os.exchangeAt(staging.descriptor, one, other)
  const renamed = os.renameAt(parent, fromText(name), parent, fromText(staging.name))
  for (const probe of [one, other]) os.removeDirectoryAt(staging.descriptor, probe)
  if (exchanged === 0 && renamed !== os.EXDEV) return
  const why = os.errnoName(exchanged < 0 ? exchanged : renamed)
  throw new ImgtoolError(
    'TARGET_INVALID',
    `Cannot unpack over "${shown}": its file system cannot exchange it, ${why}`,
    {
      hint: 'Unpack to a new directory',
    },
  )
}

/** Copies what the target holds, so that merging, too, happens at once or not at all. */
function copyInto(parent: number, name: string, staging: Staging): void {
  const source = os.check(
    os.openAt(parent, fromText(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW),
    'open',
    fromText(name),
  )
  try {
    copyTree(source, staging.descriptor)
  } finally {
    os.close(source)
  }
}
