/** The directory in which a driver keeps its places, each a directory of its own that appears complete. */
import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import type {Driver, Neighbours, PlaceID} from './driver.ts'
import {checkPlaceID, isPlaceID} from './place-id.ts'
import {readPrivileges} from './privileges.ts'
import {removeTree} from './remove.ts'
import {dropInherited, makeStaging, removeLeftovers} from './staging.ts'

/** Modes of directories that are docker's own. @see moby 20.10: daemon/graphdriver, daemon/daemon.go */
export const homeMode = 0o710
const temporaryMode = 0o700

/** Staging directories in the store's own place for them are there for no other name. */
const noTarget = ''

/** Close it. */
export class Places implements Disposable {
  readonly #store: string
  /** From the store on; docker gives each the same mode. */
  readonly #way: readonly string[]
  /** The directory of all places, while it is known to be there. */
  #home: number | undefined
  /** Descriptors of the places that are in the making, which have their locks. */
  readonly #locks = new Map<PlaceID, number>()

  /** @param store docker's data-root, absolute; nothing is made in it before the first place is */
  constructor(store: string, ...way: string[]) {
    this.#store = store
    this.#way = way
  }

  get path(): string {
    return join(this.#store, ...this.#way)
  }

  get #temporary(): string {
    return join(this.#store, 'tmp')
  }

  /** @returns undefined while there are no places */
  find(): number | undefined {
    if (this.#home !== undefined) return this.#home
    const home = openOwn(this.#store, this.#way)
    if (home !== os.ENOENT) this.#home = home
    return this.#home
  }

  make(): number {
    if (this.#home !== undefined) return this.#home
    makeDirectories(this.#store, this.#way.slice(0, -1), homeMode)
    this.#home = makeDirectory(this.path, homeMode)
    return this.#home
  }

  exists(id: PlaceID): boolean {
    const name = checkPlaceID(id)
    const home = this.find()
    return home !== undefined && os.isDirectoryAt(home, name)
  }

  /** For whoever hands on its path, which would be followed. @throws {ImgtoolError} STORE_INVALID for a symlink, or nothing */
  require(id: PlaceID): void {
    if (!this.exists(id)) throw missing(id)
  }

  /** @returns a descriptor of a place. @throws {ImgtoolError} STORE_INVALID without it */
  open(id: PlaceID): number {
    const home = this.find()
    const name = checkPlaceID(id)
    const descriptor = home === undefined ? os.ENOENT : os.openAt(home, name, os.O_PLACE)
    if (descriptor === os.ENOENT || descriptor === os.ENOTDIR) throw missing(id)
    return os.check(descriptor, 'open', name)
  }

  /** In no order. */
  list(): PlaceID[] {
    const home = this.find()
    if (home === undefined) return []
    return readdirSync(os.descriptorPath(home)).filter((name) => isPlaceID(name) && os.isDirectoryAt(home, name))
  }

  /**
   * Makes a place, which is locked from the moment that it has its name until {@link release}. What a killed run was about to
   * make is below `tmp` of the store until {@link cleanup}.
   *
   * @param fill gets a descriptor of an empty directory
   * @throws {ImgtoolError} TARGET_EXISTS, PERMISSION_DENIED, NO_SPACE
   */
  create(id: PlaceID, fill: (place: number) => void): void {
    const home = this.make()
    const parent = makeDirectory(this.#temporary, temporaryMode)
    try {
      const {name, descriptor} = makeStaging(parent, noTarget, id)
      try {
        dropInherited(descriptor, readPrivileges(), id)
        fill(descriptor)
        rename(parent, fromText(name), home, checkPlaceID(id))
      } catch (error) {
        removeQuietly(parent, fromText(name))
        os.close(descriptor)
        throw error
      }
      this.#locks.set(id, descriptor)
    } finally {
      os.close(parent)
    }
  }

  /** Removes what killed runs were about to make. */
  cleanup(): void {
    const parent = openOwn(this.#store, ['tmp'])
    if (parent === os.ENOENT) return
    try {
      removeLeftovers(parent, noTarget)
    } finally {
      os.close(parent)
    }
  }

  /** Ends the lock of a place that was made. */
  release(id: PlaceID): void {
    const descriptor = this.#locks.get(id)
    this.#locks.delete(id)
    if (descriptor !== undefined) os.close(descriptor)
  }

  /** Whether another run is making a place. */
  isLocked(id: PlaceID): boolean {
    const home = this.find()
    const flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    const descriptor = home === undefined ? os.ENOENT : os.openAt(home, checkPlaceID(id), flags)
    if (descriptor < 0) return false
    try {
      return os.lock(descriptor) === os.EAGAIN
    } finally {
      os.close(descriptor)
    }
  }

  /** Removes a place with all that is in it, if it is there. */
  remove(id: PlaceID): void {
    const name = checkPlaceID(id)
    const home = this.find()
    if (home !== undefined) removeTree(home, name)
    this.release(id)
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#locks.keys()]) this.release(id)
    if (this.#home !== undefined) os.close(this.#home)
    this.#home = undefined
  }
}

/** What drivers have in common whose places are directories. */
export abstract class PlaceDriver implements Pick<Driver, 'release' | 'isLocked' | 'exists' | 'list'>, Disposable {
  protected readonly places: Places

  constructor(places: Places) {
    this.places = places
  }

  release(id: PlaceID): void {
    this.places.release(id)
  }

  isLocked(id: PlaceID): boolean {
    return this.places.isLocked(id)
  }

  exists(id: PlaceID): boolean {
    return this.places.exists(id)
  }

  list(): PlaceID[] {
    return this.places.list()
  }

  [Symbol.dispose](): void {
    this.places[Symbol.dispose]()
  }
}

/**
 * Makes a directory of docker's own where it is missing, with docker's mode whatever the umask.
 *
 * @returns its descriptor
 * @throws {ImgtoolError} STORE_INVALID for a symlink, which could lead out of the store
 */
export function makeDirectory(path: string, mode: number): number {
  const name = fromText(path)
  const made = os.makeDirectoryAt(os.AT_FDCWD, name, mode)
  if (made !== os.EEXIST) os.check(made, 'make', name)
  const descriptor = os.check(openDirectly(path), 'open', name)
  if (made === 0) os.changeModeOfPath(descriptor, mode)
  return descriptor
}

/**
 * Makes a directory of docker's own and those on the way to it; the store is there.
 *
 * @throws {ImgtoolError} as {@link makeDirectory}
 */
export function makeDirectories(store: string, way: readonly string[], mode: number): void {
  for (const at of way.keys()) os.close(makeDirectory(join(store, ...way.slice(0, at + 1)), mode))
}

/** @returns a descriptor of a directory below the store, or ENOENT. @throws {ImgtoolError} STORE_INVALID for a symlink on the way */
function openOwn(store: string, way: readonly string[]): number {
  let descriptor = os.ENOENT
  for (const at of way.keys()) {
    if (descriptor >= 0) os.close(descriptor)
    descriptor = openDirectly(join(store, ...way.slice(0, at + 1)))
    if (descriptor < 0) break
  }
  return descriptor
}

/** @returns a descriptor, or ENOENT */
function openDirectly(path: string): number {
  const descriptor = os.openAt(os.AT_FDCWD, fromText(path), os.O_PLACE)
  if (descriptor === os.ENOTDIR) {
    throw new ImgtoolError('STORE_INVALID', `Cannot use "${printableText(path)}": a store has a directory there`, {
      hint: 'A symlink could lead anywhere: mount what it leads to in its place',
    })
  }
  return descriptor === os.ENOENT ? descriptor : os.check(descriptor, `open "${printableText(path)}"`)
}

/** What a refusal to use a place says. */
export function faultsOf(use: () => unknown): string[] {
  try {
    use()
    return []
  } catch (error) {
    if (error instanceof ImgtoolError && error.code === 'STORE_INVALID') return [error.message]
    throw error
  }
}

/** A list of those below a place that is lost may look like that of a place with none. @throws {ImgtoolError} STORE_INVALID */
export function requireBelow(id: PlaceID, found: readonly PlaceID[], near: Neighbours | undefined): void {
  if (found.length > 0 || !near?.below?.length) return
  throw new ImgtoolError(
    'STORE_INVALID',
    `The place "${printableText(id)}" cannot be used: nothing says what is below it`,
  )
}

export function mounted(id: PlaceID): ImgtoolError {
  return new ImgtoolError('STORE_INVALID', `The place "${printableText(id)}" is mounted`, {hint: 'Unmount it first'})
}

function missing(id: PlaceID): ImgtoolError {
  return new ImgtoolError('STORE_INVALID', `The store has no place "${printableText(id)}"`)
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
