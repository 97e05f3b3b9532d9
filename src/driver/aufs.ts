/**
 * Docker's aufs driver: every place has the changes of its layer, with deletions as they stand in the layer's tar, a list of
 * those below it, and a place to mount it.
 *
 * @see moby daemon/graphdriver/aufs/aufs.go, dirs.go
 */
import {statfsSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import * as os from '../os/libc.ts'
import {fromText, printableText} from '../text.ts'
import {UnionContents} from './contents.ts'
import {anyAufs, aufsDialect} from './dialect.ts'
import type {Driver, LayerOptions, LayerTarget, Neighbours, PlaceID} from './driver.ts'
import {fileSystemName} from './file-systems.ts'
import {startLonePlace} from './lone-layer.ts'
import {LowerLayers} from './lower.ts'
import {mountAufs} from './mount-aufs.ts'
import {isMounted, unmount} from './mounts.ts'
import {checkPlaceID, isPlaceID} from './place-id.ts'
import {faultsOf, homeMode, makeDirectory, mounted, PlaceDriver, Places, requireBelow} from './places.ts'
import {listDirectory, removeTree} from './remove.ts'
import {readSmallFile, writeSmallFile} from './small-file.ts'
import {startUpper} from './upper.ts'

export class AufsDriver extends PlaceDriver implements Driver {
  readonly name = 'aufs'
  /** A container has two layers of its own, and aufs stacks 127. @see aufs Kconfig, AUFS_BRANCH_MAX_127 */
  readonly maximumLayers = 125
  readonly contents = new UnionContents({
    open: (id) => this.places.open(id),
    parents: (id) => this.parents(id),
    reader: anyAufs,
  })
  readonly #home: string

  /** @param store docker's data-root; it is there, and nothing is made in it before the first place is */
  constructor(store: string) {
    // A place is there when its changes are.
    super(new Places(resolve(store), 'aufs', 'diff'))
    this.#home = join(resolve(store), 'aufs')
  }

  create(id: PlaceID, parent: PlaceID | undefined): void {
    const below = parent === undefined ? [] : [parent, ...this.parents(parent)]
    // First, so that nobody takes what is beside it for something that is left.
    this.places.create(id, (place) => os.check(os.changeMode(place, 0o755), 'set the mode of', id))
    this.#within('mnt', (mounts) => void os.makeDirectoryAt(mounts, id, 0o755))
    this.#within('layers', (lists) => writeSmallFile(lists, id, listOf(below), 0o644))
  }

  remove(id: PlaceID): void {
    if (!this.exists(id)) return
    if (isMounted(this.#mountPointOf(id))) throw mounted(id)
    this.places.remove(id)
    this.#within('mnt', (mounts) => void os.removeDirectoryAt(mounts, id))
    this.#within('layers', (lists) => void os.unlinkAt(lists, id))
    this.#removeWork(id)
  }

  parents(id: PlaceID): PlaceID[] {
    const list = this.#within('layers', (lists) => readSmallFile(lists, id))
    const below = list === undefined ? [] : list.split('\n').filter((line) => line !== '')
    const odd = below.find((one) => !isPlaceID(one) || !this.exists(one))
    if (list !== undefined && odd === undefined) return below
    const why =
      list === undefined
        ? 'nothing says what is below it'
        : `its layer "${printableText(odd!).slice(0, 64)}" is missing`
    throw new ImgtoolError('STORE_INVALID', `The place "${id}" cannot be used: ${why}`)
  }

  /** Writing needs a place of its own for the program that stands in for aufs. */
  get(id: PlaceID, {isWritable}: {readonly isWritable: boolean}): string {
    const [upper] = this.#paths([id])
    const target = this.#mountPointOf(id)
    if (isMounted(target)) return target
    if (isWritable) mountAufs({lowers: this.#paths(this.parents(id)), upper, work: this.#workOf(id), target})
    else this.mount(id, target)
    return target
  }

  mount(id: PlaceID, target: string): void {
    mountAufs({lowers: this.#paths([id, ...this.parents(id)]), target: resolve(target)})
  }

  put(id: PlaceID): void {
    if (!this.exists(id)) return
    const target = this.#mountPointOf(id)
    if (isMounted(target)) unmount(target)
  }

  faults(id: PlaceID, near?: Neighbours): string[] {
    return faultsOf(() => requireBelow(id, this.parents(id), near))
  }

  /** The list of those below it. */
  mend(id: PlaceID, near: Neighbours): boolean {
    if (this.faults(id, near).length === 0 || !this.canMend(id, near)) return false
    this.#within('layers', (lists) => {
      removeTree(lists, id)
      writeSmallFile(lists, id, listOf(near.below!), 0o644)
    })
    return true
  }

  canMend(_: PlaceID, {below}: Neighbours): boolean {
    return below?.every((one) => this.exists(one)) === true
  }

  remains(): string[] {
    const named = (name: 'layers' | 'mnt') => this.#left(name).map((id) => `aufs/${name}/${id}`)
    return [...named('layers'), ...named('mnt')]
  }

  cleanup(): void {
    this.places.cleanup()
    for (const id of this.#left('layers')) this.#within('layers', (lists) => void os.unlinkAt(lists, id))
    for (const id of this.#left('mnt')) this.#within('mnt', (mounts) => void os.removeDirectoryAt(mounts, id))
  }

  status(): (readonly [string, string])[] {
    return [
      ['Root Dir', this.#home],
      ['Backing Filesystem', fileSystemName(statfsSync(this.#home).type)],
      ['Dirs', String(this.list().length)],
    ]
  }

  applyDiff(id: PlaceID, options: LayerOptions): LayerTarget {
    if (options.isAlone) return startLonePlace(this.places.open(id), aufsDialect, options)
    const parents = this.parents(id)
    const lower = new LowerLayers(parents.length, (layer) => this.places.open(parents[layer]!), aufsDialect)
    return startUpper(this.places.open(id), lower, aufsDialect, options)
  }

  /** What can be given to whoever mounts, who follows symlinks. */
  #paths(ids: readonly PlaceID[]): string[] {
    for (const id of ids) this.places.require(id)
    return ids.map((id) => join(this.places.path, id))
  }

  /** Below a directory of the store's own, and no symlink. */
  #mountPointOf(id: PlaceID): string {
    return this.#within('mnt', () => join(this.#home, 'mnt', checkPlaceID(id)))
  }

  #left(name: 'layers' | 'mnt'): PlaceID[] {
    if (this.places.find() === undefined) return []
    const names = this.#within(name, listDirectory)
    return names.filter((id) => isPlaceID(id) && !this.exists(id))
  }

  #workOf(id: PlaceID): string {
    const works = join(this.#home, 'work')
    os.close(makeDirectory(works, 0o700))
    os.close(makeDirectory(join(works, id), 0o700))
    return join(works, id)
  }

  #removeWork(id: PlaceID): void {
    const works = os.openAt(os.AT_FDCWD, fromText(join(this.#home, 'work')), os.O_PLACE)
    if (works < 0) return
    try {
      removeTree(works, id)
    } finally {
      os.close(works)
    }
  }

  #within<Result>(name: 'layers' | 'mnt', use: (directory: number) => Result): Result {
    const directory = makeDirectory(join(this.#home, name), homeMode)
    try {
      return use(directory)
    } finally {
      os.close(directory)
    }
  }
}

function listOf(places: readonly PlaceID[]): string {
  return places.map((id) => `${id}\n`).join('')
}
