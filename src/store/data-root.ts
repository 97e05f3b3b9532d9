/**
 * The directories of docker's data-root while somebody is at work there: made where they are missing, locked against other runs
 * and daemons, and removed by a run that failed, when nobody else needs them.
 */
import {lstatSync, mkdirSync, readdirSync, rmdirSync, type Stats, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import type {DriverName} from '../driver/driver.ts'
import {makeDirectories} from '../driver/places.ts'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {printableText} from '../text.ts'
import {requireNoDaemon} from './daemon.ts'
import {configsName, imagesMetadataName, layersName, metadataRoot, temporaryName} from './layout.ts'
import {openForLock, takeLock} from './lock.ts'
import {isDataRoot, mayBeDataRoot} from './looks-like.ts'
import {explained} from './new-file.ts'

/** What was at the place of a data-root. */
type Before = 'nothing' | 'an empty directory' | 'something'

/** What was opened. */
interface Opened {
  readonly before: Before
  /** The directory of the layers. */
  readonly layers: number
}

/** Mode of directories that are docker's own. */
export const directoryMode = 0o700
/** How often one is made whose directories failed runs remove meanwhile, and the milliseconds between. */
const [maximumAttempts, interval] = [10, 10]

/** Close it. */
export class DataRoot implements Disposable {
  readonly path: string
  readonly #driver: DriverName
  readonly #descriptor: number
  /** Of the layers; locked by all who are at work in the store. */
  readonly #layers: number
  readonly #before: Before

  /**
   * @param path absolute
   * @throws {ImgtoolError} STORE_IN_USE, PERMISSION_DENIED, STORE_INVALID where a symlink is in the place of a directory,
   *   TARGET_EXISTS for a directory of something else, TARGET_INVALID for what is none or has no parent
   */
  constructor(path: string, driver: DriverName) {
    this.path = path
    this.#driver = driver
    explained(() => requireUsable(path), `look at "${printableText(path)}"`)
    requireNoDaemon(path)
    const {before, layers} = this.#make()
    this.#before = before
    this.#layers = layers
    try {
      this.#descriptor = openForLock(path)
    } catch (error) {
      os.close(layers)
      removeUnused(path, before)
      throw error
    }
  }

  /**
   * Keeps other runs from changing what refers to what. Dispose of it soon.
   *
   * @throws {ImgtoolError} STORE_IN_USE, and the signal's reason
   */
  async lock(signal?: AbortSignal): Promise<Disposable> {
    const held = await takeLock(this.#descriptor, signal)
    try {
      // One may have been started since.
      requireNoDaemon(this.path)
    } catch (error) {
      held[Symbol.dispose]()
      throw error
    }
    // Nobody has this one alone for longer than the other.
    os.lockShared(this.#layers)
    return held
  }

  /**
   * Whether nobody else is at work here, who could count on layers that no image has yet. Call with the {@link lock}; it holds
   * as long.
   */
  isAlone(): boolean {
    const isAlone = os.lock(this.#layers) !== os.EAGAIN
    os.lockShared(this.#layers)
    return isAlone
  }

  /**
   * Removes what this run has made, unless something is in it or another run is at work here. Call with the {@link lock}, and
   * then nothing else.
   */
  removeIfUnused(): void {
    if (os.lock(this.#layers) !== os.EAGAIN) removeUnused(this.path, this.#before)
  }

  /** Makes a directory of docker's own with all above it. @param name below {@link metadataRoot} */
  makeDirectories(name: string): void {
    makeDirectories(this.path, join(metadataRoot(this.#driver), name).split('/'), directoryMode)
  }

  /** Waits until the disk has everything. */
  sync(): void {
    os.check(os.syncFileSystem(this.#descriptor), 'write to the disk')
  }

  [Symbol.dispose](): void {
    os.close(this.#layers)
    os.close(this.#descriptor)
  }

  /** Makes what is missing. A run that failed may be about to remove it again, see {@link removeIfUnused}. */
  #make(): Opened {
    for (let attempts = 1; ; attempts++) {
      try {
        const opened = this.#makeOnce()
        if (opened !== undefined) return opened
      } catch (error) {
        if (attempts >= maximumAttempts) throw error
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, interval)
    }
  }

  /** @returns undefined where another run has removed it, or is about to */
  #makeOnce(): Opened | undefined {
    const before = explained(() => makeRoot(this.path), `write the store "${printableText(this.path)}"`)
    try {
      for (const name of [configsName, imagesMetadataName, layersName, temporaryName]) this.makeDirectories(name)
      const layers = openForLock(join(this.path, metadataRoot(this.#driver), layersName))
      if (os.lockShared(layers) !== os.EAGAIN && isLinked(layers)) return {before, layers}
      os.close(layers)
      return undefined
    } catch (error) {
      removeUnused(this.path, before)
      throw error
    }
  }
}

/** Removes what was made where there was less, as far as it is empty. */
function removeUnused(path: string, before: Before): void {
  if (before === 'something') return
  removeEmptyDirectories(path)
  if (before === 'nothing') removeDirectory(path)
}

/** Refuses what a data-root would be mixed with. */
function requireUsable(path: string): void {
  const shown = printableText(path)
  const status = statusOf(path, statSync)
  if (status === undefined && statusOf(path, lstatSync) === undefined) {
    requireParent(path)
    return
  }
  if (!status?.isDirectory()) {
    const what = status === undefined ? 'a symlink that leads nowhere' : 'no directory'
    throw new ImgtoolError('TARGET_INVALID', `Cannot make a data-root at "${shown}": it is ${what}`)
  }
  const names = readdirSync(path)
  if (names.length === 0 || mayBeDataRoot(path, names)) return
  const above = [dirname(path), dirname(dirname(path))].find(isDataRoot)
  throw new ImgtoolError('TARGET_EXISTS', `Cannot make a data-root at "${shown}": something else is in it`, {
    hint: above === undefined ? 'Give a new directory, or the data-root of a docker' : `Give ${printableText(above)}`,
  })
}

function requireParent(path: string): void {
  const parent = dirname(path)
  if (statusOf(parent, statSync)?.isDirectory()) return
  const message = `Cannot make a data-root at "${printableText(path)}": its parent is not a directory that exists`
  throw new ImgtoolError('TARGET_INVALID', message, {hint: `Make it first: mkdir -p '${printableText(parent)}'`})
}

function statusOf(path: string, inspect: typeof statSync): Stats | undefined {
  try {
    return inspect(path, {throwIfNoEntry: false})
  } catch (error) {
    if (codeOf(error) !== 'ENOTDIR') throw error
    const message = `Cannot make a data-root at "${printableText(path)}": what is above it is no directory`
    throw new ImgtoolError('TARGET_INVALID', message, {cause: error})
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

/** @see moby daemon/daemon_unix.go, setupDaemonRoot */
function makeRoot(path: string): Before {
  try {
    mkdirSync(path, {mode: 0o710})
    return 'nothing'
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return readdirSync(path).length === 0 ? 'an empty directory' : 'something'
  }
}

function isLinked(descriptor: number): boolean {
  const status = os.statusAt(descriptor, '')
  return typeof status !== 'number' && status.links > 0
}

/** Removes what has no files of what is in a directory. */
function removeEmptyDirectories(path: string): void {
  for (const entry of readdirSync(path, {withFileTypes: true})) {
    if (!entry.isDirectory()) continue
    removeEmptyDirectories(join(path, entry.name))
    removeDirectory(join(path, entry.name))
  }
}

function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // Something is in it.
  }
}
