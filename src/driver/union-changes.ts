/**
 * What differs between two trees, as `docker diff` says it: added, changed, deleted; a directory is changed with anything in it.
 *
 * @see moby pkg/archive/changes.go, ChangesDirs, and changes_unix.go, statDifferent
 */
import {joinPath} from '../layer/path.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import {requireContent, requireDepth} from './layer-walk.ts'
import type {Lower, LowerDirectory, LowerLayers} from './lower.ts'
import {capabilityName} from './xattr-policy.ts'

export type ChangeKind = 'added' | 'changed' | 'deleted'

export interface PathChange {
  readonly kind: ChangeKind
  /** Without a slash in front. */
  readonly path: ByteString
}

/**
 * Compares two unions. Directories that both have of the same layers are the same, and not looked into.
 *
 * @param now where its first layer differs from `before`, whose layers are the others; or a tree that shares nothing with it
 * @param sharesLayers whether the layers of `before` are those of `now` after the first
 * @returns sorted by bytes, directories before what is in them
 * @throws {ImgtoolError} LIMIT_EXCEEDED, ENTRY_INVALID for what overlay has renamed
 */
export function compareUnions(now: LowerLayers, before: LowerLayers | undefined, sharesLayers: boolean): PathChange[] {
  const comparison = new Comparison(now, before, sharesLayers)
  if (now.root !== undefined) comparison.compare(now.root, before?.root)
  return comparison.changes
}

/** A directory that is being compared. */
interface Level {
  readonly now: LowerDirectory
  readonly before: LowerDirectory | undefined
  /** It is among the changes itself. */
  readonly isListed: boolean
  /** Where the changes in it begin. */
  readonly start: number
  /** To be compared, the next one last. */
  readonly names: ByteString[]
}

class Comparison {
  readonly changes: PathChange[] = []
  readonly #now: LowerLayers
  readonly #before: LowerLayers | undefined
  readonly #sharesLayers: boolean

  constructor(now: LowerLayers, before: LowerLayers | undefined, sharesLayers: boolean) {
    this.#now = now
    this.#before = before
    this.#sharesLayers = sharesLayers
  }

  compare(root: LowerDirectory, before: LowerDirectory | undefined): void {
    const levels = this.#enter(root, before, true)
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names.pop()
      if (name !== undefined) levels.push(...this.#compareName(level, name))
      else {
        levels.pop()
        const isInside = this.changes.length > level.start
        if (isInside && !level.isListed) this.changes.splice(level.start, 0, {kind: 'changed', path: level.now.path})
      }
    }
  }

  /** @returns the directory that is to be compared next, if the name is one */
  #compareName({now: directory, before: lower}: Level, name: ByteString): Level[] {
    const now = this.#now.look(directory, name)
    const before = lower && this.#before!.look(lower, name)
    const kind = this.#kindOf(now, before)
    if (kind !== undefined) this.changes.push({kind, path: joinPath(directory.path, name)})
    if (now?.kind !== 'directory') return []
    return this.#enter(now, before?.kind === 'directory' ? before : undefined, kind !== undefined)
  }

  #kindOf(now: Lower | undefined, before: Lower | undefined): ChangeKind | undefined {
    if (now === undefined) return before && 'deleted'
    if (before === undefined) return 'added'
    return this.#differs(now, before) ? 'changed' : undefined
  }

  /** @returns the directory as what is to be compared next, unless both sides are the same */
  #enter(now: LowerDirectory, before: LowerDirectory | undefined, isListed: boolean): Level[] {
    if (this.#isSame(now, before)) return []
    requireDepth(now.path)
    this.#requireContent(now)
    const names = new Set([...this.#now.names(now), ...(before === undefined ? [] : this.#before!.names(before))])
    return [{now, before, isListed, start: this.changes.length, names: [...names].toSorted().toReversed()}]
  }

  /** A directory that overlay has renamed has in its layer only what was changed since; a whole tree has everything. */
  #requireContent({path, layers}: LowerDirectory): void {
    if (!this.#sharesLayers) return
    for (const layer of layers) {
      const directory = this.#now.open(layer, path)
      requireContent((name) => typeof os.getXattr(directory, name) === 'string', path)
    }
  }

  #isSame(now: LowerDirectory, before: LowerDirectory | undefined): boolean {
    return this.#sharesLayers && before !== undefined && now.layers.join() === before.layers.map((at) => at + 1).join()
  }

  #differs(now: Lower, before: Lower): boolean {
    const isShared = this.#sharesLayers && layerOf(now) === layerOf(before) + 1
    return !isShared && factsDiffer(factsOf(this.#now, now), factsOf(this.#before!, before))
  }
}

function layerOf(file: Lower): number {
  return file.kind === 'directory' ? file.layers[0]! : file.layer
}

interface Facts {
  readonly status: os.Status
  readonly capability: ByteString | number
}

function factsOf(union: LowerLayers, file: Lower): Facts {
  if (file.kind === 'directory') {
    const directory = union.open(file.layers[0]!, file.path)
    return {status: os.statusOf(directory, file.path), capability: os.getXattr(directory, capabilityName)}
  }
  const {directory, name} = union.locate(file)
  const capability = file.kind === 'file' ? os.getXattrAt(directory, name, capabilityName) : os.ENODATA
  return {status: file.status, capability}
}

function factsDiffer(one: Facts, other: Facts): boolean {
  const [now, before] = [one.status, other.status]
  const keys = ['mode', 'uid', 'gid', 'major', 'minor'] as const
  if (keys.some((key) => now[key] !== before[key])) return true
  if (capabilityOf(one) !== capabilityOf(other)) return true
  // The size of a directory says nothing, and its time changes with whatever is in it.
  if ((now.mode & os.S_IFMT) === os.S_IFDIR) return false
  return now.size !== before.size || !isSameTime(now.mtime, before.mtime)
}

function capabilityOf({capability}: Facts): ByteString {
  return typeof capability === 'number' ? '' : capability
}

/** Tars may have dropped the fraction of a second. @see moby pkg/archive/time_linux.go, sameFsTime */
function isSameTime(one: Time, other: Time): boolean {
  const isCut = one.nanoseconds === 0 || other.nanoseconds === 0
  return one.seconds === other.seconds && (isCut || one.nanoseconds === other.nanoseconds)
}
