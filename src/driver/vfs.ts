/**
 * Docker's vfs driver: every place is a whole tree, which begins as a copy of its parent's. Deletions delete, and nothing is
 * ever mounted.
 *
 * @see moby daemon/graphdriver/vfs/driver.go
 */
import {join, resolve} from 'node:path'
import * as os from '../os/libc.ts'
import {TreeContents} from './contents.ts'
import {copyTree} from './copy-tree.ts'
import type {Driver, LayerOptions, LayerTarget, PlaceID} from './driver.ts'
import {InPlace} from './in-place.ts'
import {mountBound} from './mounts.ts'
import {PlaceDriver, Places} from './places.ts'
import {readPrivileges} from './privileges.ts'

/** Mode of a place that has no parent, before a layer says otherwise. */
const placeMode = 0o755

export class VfsDriver extends PlaceDriver implements Driver {
  readonly name = 'vfs'
  readonly maximumLayers = Number.POSITIVE_INFINITY
  readonly contents = new TreeContents((id) => this.places.open(id))
  /** Places that were made without a parent and are still empty. */
  readonly #bases = new Set<PlaceID>()

  /** @param store docker's data-root; it is there, and nothing is made in it before the first place is */
  constructor(store: string) {
    super(new Places(resolve(store), 'vfs', 'dir'))
  }

  /** Copies the parent's tree; where the file system can share contents, they are. */
  create(id: PlaceID, parent: PlaceID | undefined): void {
    if (parent === undefined) {
      this.places.create(id, (place) => os.check(os.changeMode(place, placeMode), 'set the mode of', id))
      this.#bases.add(id)
      return
    }
    const from = this.places.open(parent)
    try {
      this.places.create(id, (place) => copyTree(from, place))
    } finally {
      os.close(from)
    }
  }

  remove(id: PlaceID): void {
    this.places.remove(id)
    this.#bases.delete(id)
  }

  /** None: a place has all that it needs, and only docker's layerdb knows what it was copied from. */
  parents(_id: PlaceID): PlaceID[] {
    return []
  }

  /** @throws {ImgtoolError} STORE_INVALID for what is not there */
  get(id: PlaceID): string {
    this.places.require(id)
    return join(this.places.path, id)
  }

  mount(id: PlaceID, target: string): void {
    mountBound(this.get(id), target, {isWritable: false})
  }

  put(_id: PlaceID): void {
    // Nothing was mounted.
  }

  faults(): [] {
    return []
  }

  mend(): boolean {
    return false
  }

  canMend(): boolean {
    return false
  }

  /** There is nothing beside the places. */
  remains(): [] {
    return []
  }

  cleanup(): void {
    this.places.cleanup()
  }

  /** Nothing: docker says no more of vfs than its name. */
  status(): [] {
    return []
  }

  /**
   * Fills a place on what its parent left there. Until the end its directories have neither their modes nor their times; what
   * failed is to be removed.
   */
  applyDiff(id: PlaceID, options: LayerOptions): LayerTarget {
    const root = this.places.open(id)
    const changes = new InPlace(root, readPrivileges(), options)
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
}
