/**
 * A storage driver: where docker keeps layers, each in a place of its own that lies on that of its parent. Named and shaped
 * after docker's graph drivers; the life cycle of places and what is in them are separate.
 *
 * @see moby daemon/graphdriver/driver.go
 */
import type {ChangeSink, OnWarning} from '../layer/change.ts'
import type {FileThread} from './file-writer.ts'
import type {PathChange} from './union-changes.ts'

export type DriverName = 'overlay2' | 'vfs' | 'aufs'

/** Names a place: 64 hexadecimal digits, which say nothing of what is in it; `-init` may follow. */
export type PlaceID = string

/** Where a place is, as docker's metadata has it. */
export interface Neighbours {
  /** All that it lies on, nearest first; undefined where the metadata does not say it. */
  readonly below: readonly PlaceID[] | undefined
  /** Those that lie directly on it, as far as they are known. */
  readonly above: readonly PlaceID[]
}

/** Places of layers: made, mounted, removed. All methods are synchronous; whoever made the driver closes it. */
export interface Driver extends Disposable {
  readonly name: DriverName
  /** Layers of an image that docker still makes containers of. */
  readonly maximumLayers: number
  /** A sentence on who can use the layers that this process makes; undefined where that is anybody. */
  readonly caveat?: string | undefined
  readonly contents: LayerContents
  /**
   * Makes a place on that of a parent, with nothing of its own. It appears complete, and is locked until {@link release}: a
   * place that nobody refers to and nobody has locked was left by a run that was killed.
   *
   * @throws {ImgtoolError} TARGET_EXISTS, STORE_INVALID without the parent, PERMISSION_DENIED, NO_SPACE
   */
  create(id: PlaceID, parent: PlaceID | undefined): void
  /** Says that something refers to a place by now, or that it is removed. */
  release(id: PlaceID): void
  /** Whether another run has not released a place. */
  isLocked(id: PlaceID): boolean
  exists(id: PlaceID): boolean
  /**
   * Removes a place with all that is in it; what is not there is fine. Whoever refers to it must forget it before: a run that
   * is killed meanwhile leaves a part of it under its name.
   *
   * @throws {ImgtoolError} STORE_INVALID while it is mounted
   */
  remove(id: PlaceID): void
  /** Nearest first. @throws {ImgtoolError} STORE_INVALID where the way down is broken */
  parents(id: PlaceID): PlaceID[]
  /**
   * Shows a place on all that lies below it. Call {@link put} as often.
   *
   * @returns the absolute path of the merged root file system
   * @throws {ImgtoolError} STORE_INVALID where a symlink or nothing is in the place of a directory that is mounted, and as
   *   {@link mount}
   */
  get(id: PlaceID, how: {readonly isWritable: boolean}): string
  /**
   * Shows a place on all that lies below it in an empty directory elsewhere, where nobody can write. Whoever calls it unmounts
   * that.
   *
   * @throws {ImgtoolError} STORE_INVALID as {@link get}, TARGET_INVALID, TARGET_EXISTS, LIMIT_EXCEEDED, PERMISSION_DENIED,
   *   PLATFORM_UNSUPPORTED
   */
  mount(id: PlaceID, target: string): void
  /** Ends what {@link get} shows; what is not there is fine. */
  put(id: PlaceID): void
  /**
   * Why a place cannot be used, one sentence each; none where it can. Nothing is asked of what lies below it but that it is there.
   *
   * @param near what else is known to lie below it
   */
  faults(id: PlaceID, near?: Neighbours): string[]
  /**
   * Makes anew what leads to a place and from it to those below it, as far as the place, those around it, or what is known of
   * them say how it was. Mend those below it first.
   *
   * @returns whether something was done
   */
  mend(id: PlaceID, near: Neighbours): boolean
  /** Whether {@link mend} makes a place whole, once those below it are. */
  canMend(id: PlaceID, near: Neighbours): boolean
  /** What the driver keeps beside its places of places that are gone, as paths below the data-root. */
  remains(): string[]
  /** Removes what {@link remains}, and what killed runs were about to make. */
  cleanup(): void
  /** All places, in no order. */
  list(): PlaceID[]
  /** What `docker info` says of it: names and values, in docker's order. */
  status(): readonly (readonly [name: string, value: string])[]
  /** Begins to fill a place that {@link create} made. Close it, whatever happens. */
  applyDiff(id: PlaceID, options: LayerOptions): LayerTarget
}

/**
 * What places have in them. Nothing may write to them meanwhile.
 *
 * All throw STORE_INVALID for places that are not there or do not lie on that parent, PERMISSION_DENIED, and SYSTEM_ERROR for
 * what changes meanwhile.
 */
export interface LayerContents {
  /** What a place has otherwise than its parent, as `docker diff` lists it: sorted by bytes. */
  changes(id: PlaceID, parent: PlaceID | undefined): PathChange[]
  /** The tar of a layer that makes of the parent what the place is. Pieces are valid until the next one is asked for. */
  diff(id: PlaceID, parent: PlaceID | undefined): AsyncGenerator<Buffer>
  /**
   * Bytes of the files that the layer has; of places that have only what they change, as docker counts them, with the targets of
   * symlinks.
   *
   * @see moby pkg/directory/directory_unix.go, Size
   */
  diffSize(id: PlaceID, parent: PlaceID | undefined): number
}

/** What everybody who applies changes to a directory works with. */
export interface ApplyOptions {
  readonly onWarning: OnWarning
  /** Makes files, too. */
  readonly thread?: FileThread | undefined
  /** Called for each directory that is made although no entry describes it. */
  readonly onImplied?: (() => void) | undefined
}

export interface LayerOptions extends ApplyOptions {
  /**
   * Applies the layer without a look at those below, as docker does: the union may be another tree. Nothing to drivers whose
   * places are whole trees. @default false
   */
  readonly isAlone?: boolean | undefined
}

/** A place that is being filled with the changes of one layer. */
export interface LayerTarget {
  readonly changes: ChangeSink
  /** After the last change: everything is as the layer says. @throws {ImgtoolError} what went wrong on another thread */
  finish(): void
  /** Closes what is open, whatever happened. */
  close(): void
}
