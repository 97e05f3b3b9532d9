/**
 * Docker's vfs driver: every place is a whole tree, which begins as a copy of its parent's. Deletions delete, and nothing is
 * ever mounted.
 *
 * @see moby daemon/graphdriver/vfs/driver.go
 */
import {readdirSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {copyTree} from './copy-tree.ts'
import type {Driver, LayerOptions, LayerTarget, PlaceID} from './driver.ts'
import {InPlace} from './in-place.ts'
import {checkPlaceID, isPlaceID} from './place-id.ts'
import {type Privileges, readPrivileges} from './privileges.ts'
import {removeTree} from './remove.ts'
import {dropInherited, makeStaging, removeLeftovers} from './staging.ts'

/** Modes of directories that are docker's own. @see moby 20.10: daemon/graphdriver/vfs/driver.go, daemon/daemon.go */
const homeMode = 0o710
const temporaryMode = 0o700
/** Mode of a place that has no parent, before a layer says otherwise. */
const placeMode = 0o755

/** Staging directories in the store's own place for them are there for no other name. */
const noTarget = ''

export class VfsDriver implements Driver {
  readonly name = 'vfs'
  readonly #store: string
  readonly #privileges: Privileges
  /** The directory of all places, while it is known to be there. */
  #home: number | undefined
  /** Places that were made without a parent and are still empty. */
  readonly #bases = new Set<PlaceID>()

  /** @param store docker's data-root; it is there, and nothing is made in it before the first place is */
  constructor(store: string) {
    this.#store = resolve(store)
    this.#privileges = readPrivileges()
  }

  /**
   * Copies the parent's tree; where the file system can share contents, they are. What a killed run has copied is below
   * `tmp` of the store, locked for as long as its run lives, and goes with the next place that is made.
   *
   * @throws {ImgtoolError} STORE_INVALID without the parent, TARGET_EXISTS, PERMISSION_DENIED, NO_SPACE
   */
  create(id: PlaceID, parent: PlaceID | undefined): void {
    const name = checkPlaceID(id)
    if (parent === undefined) {
      this.#stage(name, (staging) => os.check(os.changeMode(staging, placeMode), 'set the mode of', name))
      this.#bases.add(name)
      return
    }
    const from = this.#open(parent)
    try {
      this.#stage(name, (staging) => copyTree(from, staging))
    } finally {
      os.close(from)
    }
  }

  exists(id: PlaceID): boolean {
    const name = checkPlaceID(id)
    const home = this.#findHome()
    return home !== undefined && os.isDirectoryAt(home, name)
  }

  /**
   * Removes a place with all that is in it. Whoever refers to it must forget it before: a run that is killed meanwhile leaves
   * a part of it under its name.
   */
  remove(id: PlaceID): void {
    const name = checkPlaceID(id)
    const home = this.#findHome()
    if (home !== undefined) removeTree(home, name)
    this.#bases.delete(name)
  }

  /** None: a place has all that it needs, and only docker's layerdb knows what it was copied from. */
  parents(_id: PlaceID): PlaceID[] {
    return []
  }

  /** @throws {ImgtoolError} STORE_INVALID for what is not there */
  get(id: PlaceID): string {
    if (!this.exists(id)) throw missing(id)
    return join(this.#store, 'vfs/dir', id)
  }

  put(_id: PlaceID): void {
    // Nothing was mounted.
  }

  list(): PlaceID[] {
    const home = this.#findHome()
    if (home === undefined) return []
    return readdirSync(os.descriptorPath(home)).filter((name) => isPlaceID(name) && os.isDirectoryAt(home, name))
  }

  /** Nothing: docker says no more of vfs than its name. */
  status(): [] {
    return []
  }

  /**
   * Fills a place on what its parent left there. Until the end its directories have neither their modes nor their times; what
   * failed is to be removed.
   */
  startLayer(id: PlaceID, {onWarning, thread, onImplied}: LayerOptions): LayerTarget {
    const root = this.#open(id)
    const changes = new InPlace(root, this.#privileges, onWarning, thread, onImplied)
    const close = () => {
      changes.close()
      os.close(root)
    }
    try {
      const hasLower = !this.#bases.delete(id)
      if (hasLower) changes.startMerge()
      changes.startLayer(hasLower)
    } catch (error) {
      close()
      throw error
    }
    return {changes, finish: () => changes.finish(), close}
  }

  [Symbol.dispose](): void {
    if (this.#home !== undefined) os.close(this.#home)
    this.#home = undefined
  }

  /** @returns undefined while there are no places */
  #findHome(): number | undefined {
    if (this.#home !== undefined) return this.#home
    const path = join(this.#store, 'vfs/dir')
    const home = os.openAt(os.AT_FDCWD, fromText(path), os.O_PATH | os.O_DIRECTORY)
    if (home === os.ENOENT) return undefined
    this.#home = os.check(home, `open "${printableText(path)}"`)
    return this.#home
  }

  #makeHome(): number {
    if (this.#home !== undefined) return this.#home
    os.close(makeDirectory(join(this.#store, 'vfs'), homeMode))
    this.#home = makeDirectory(join(this.#store, 'vfs/dir'), homeMode)
    return this.#home
  }

  /** A descriptor of a place. */
  #open(id: PlaceID): number {
    const home = this.#findHome()
    const name = checkPlaceID(id)
    const descriptor = home === undefined ? os.ENOENT : os.openAt(home, name, os.O_PLACE)
    if (descriptor === os.ENOENT || descriptor === os.ENOTDIR) throw missing(id)
    return os.check(descriptor, 'open', name)
  }

  #stage(id: PlaceID, fill: (staging: number) => void): void {
    const home = this.#makeHome()
    const parent = makeDirectory(join(this.#store, 'tmp'), temporaryMode)
    try {
      removeLeftovers(parent, noTarget)
      const {name, descriptor} = makeStaging(parent, noTarget, id)
      try {
        dropInherited(descriptor, this.#privileges, id)
        fill(descriptor)
        rename(parent, fromText(name), home, id)
      } catch (error) {
        removeQuietly(parent, fromText(name))
        throw error
      } finally {
        os.close(descriptor)
      }
    } finally {
      os.close(parent)
    }
  }
}

/**
 * Makes a directory of docker's own where it is missing, with docker's mode whatever the umask.
 *
 * @returns its descriptor
 */
function makeDirectory(path: string, mode: number): number {
  const name = fromText(path)
  const made = os.makeDirectoryAt(os.AT_FDCWD, name, mode)
  if (made !== os.EEXIST) os.check(made, 'make', name)
  const descriptor = os.check(os.openAt(os.AT_FDCWD, name, os.O_PATH | os.O_DIRECTORY), 'open', name)
  if (made === 0) os.changeModeOfPath(descriptor, mode)
  return descriptor
}

function rename(parent: number, name: string, home: number, id: PlaceID): void {
  const failed = os.renameNoReplaceAt(parent, name, home, id)
  // Some network file systems have no flags; there an empty directory made meanwhile is replaced.
  const result = failed === os.EINVAL ? os.renameAt(parent, name, home, id) : failed
  if (result === os.EEXIST || result === os.ENOTEMPTY || result === os.ENOTDIR)
    throw new ImgtoolError('TARGET_EXISTS', `The place "${id}" of a layer is there already`)
  os.check(result, 'rename to', id)
}

/** What went wrong before matters more than what is left; the next run tries again. */
function removeQuietly(parent: number, name: string): void {
  try {
    removeTree(parent, name)
  } catch {
    // It is recognised by its name.
  }
}

function missing(id: PlaceID): ImgtoolError {
  return new ImgtoolError('STORE_INVALID', `The store has no place "${printableText(id)}"`)
}
