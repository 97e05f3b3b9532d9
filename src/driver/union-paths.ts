/**
 * Where paths lead in the union of a layer at work and those below it, and what the layer has hidden of these so far. Paths
 * come back without symlinks: they are the same in the layer and in the union.
 */
import {ImgtoolError} from '../errors.ts'
import {components, joinPath, maximumExpansions, splitPath} from '../layer/path.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import type {InPlace} from './in-place.ts'
import type {Lower, LowerDirectory, LowerFile, LowerLayers} from './lower.ts'
import {PathSet} from './path-set.ts'

/** A directory of the union. */
interface UnionDirectory {
  readonly path: ByteString
  /** Undefined for the root. */
  readonly parent: UnionDirectory | undefined
  /** Those in it that are known, by name. */
  readonly below: Map<ByteString, UnionDirectory>
  /** The layer at work has it. */
  isHere: boolean
  /** The directory of the layers below that it is merged with, and that it gets its attributes from when it is made here. */
  readonly lower: LowerDirectory | undefined
}

/** A symlink on a way. */
interface UnionLink {
  readonly target: ByteString
  /** A lower layer has it. */
  readonly isBelow: boolean
}

/** A way on which one step is taken after the other. */
interface Walk {
  at: UnionDirectory
  /** The components to go, the next one last. */
  ahead: ByteString[]
  /** Symlinks that were followed, by their paths. */
  readonly links: ByteString[]
  isLedBelow: boolean
}

/** Something to be written at the end of a layer: one name is hidden, or all that is below a directory. */
export interface Deletion {
  readonly path: ByteString
  readonly isAll: boolean
}

/** Directories and ways that are known at a time. */
const maximumKnown = 8192

export class UnionPaths {
  readonly #here: InPlace
  readonly #lower: LowerLayers
  readonly #copyUp: (directory: LowerDirectory) => void
  /** Undefined until it is asked for; all directories that are known are below it. */
  #top: UnionDirectory | undefined
  /** How many were learned since none was known. */
  #learned = 0
  /** Where paths with symlinks in them lead. */
  readonly #ways = new Map<ByteString, {readonly end: UnionDirectory; readonly isLedBelow: boolean}>()
  /** The symlinks on these ways. */
  readonly #links = new Set<ByteString>()
  /** Names of lower layers that are gone. */
  readonly #hidden = new Set<ByteString>()
  /** Directories of which all that lower layers have is gone. */
  readonly #emptied = new Set<ByteString>()
  /** Directories that are here only because something below them is. */
  readonly #brought = new PathSet()
  /** Copies of lower files that are here because something links to them. */
  readonly #borrowed = new PathSet()

  /** @param copyUp makes a directory here that only lower layers have; its parent is here */
  constructor(here: InPlace, lower: LowerLayers, copyUp: (directory: LowerDirectory) => void) {
    this.#here = here
    this.#lower = lower
    this.#copyUp = copyUp
  }

  /**
   * The directory that a path leads to, in the layer at work by now.
   *
   * @param mtime of what will be put into it, for directories that have to be made
   * @throws {ImgtoolError} ENTRY_INVALID when a file is in the way, LINK_INVALID for a loop
   */
  enter(path: ByteString, mtime: Time): ByteString {
    const directory = this.#walk(path, mtime)
    if (directory === undefined)
      throw new ImgtoolError('ENTRY_INVALID', `"${printable(path)}" goes through something that is no directory`)
    return this.#bring(directory)
  }

  /** The directory that a path leads to; undefined where there is none. */
  find(path: ByteString): ByteString | undefined {
    return this.#walk(path)?.path
  }

  /** Makes a directory of the union one of the layer at work. @param path without symlinks */
  bring(path: ByteString): ByteString {
    return this.#bring(this.#real(path)!)
  }

  /** Whether the union has anything at a path without symlinks. */
  has(path: ByteString): boolean {
    const {directory, name} = splitPath(path)
    const parent = this.#real(directory)
    return parent !== undefined && this.#hasIn(parent, path, name)
  }

  /** What lower layers show at a path without symlinks, unless the layer at work has something there. */
  lookBelow(path: ByteString): Lower | undefined {
    const {directory, name} = splitPath(path)
    const parent = this.#real(directory)
    if (parent === undefined || (parent.isHere && this.#here.statusOf(path) !== undefined)) return undefined
    return this.#visible(parent, path, name)
  }

  /** A lower file was copied here. @param path of the copy, the same as below */
  borrow(path: ByteString): void {
    this.#borrowed.add(path)
  }

  /** Something new comes to a path. */
  replace(path: ByteString, isDirectory: boolean): void {
    this.#brought.delete(path)
    this.#borrowed.delete(path)
    if (this.#links.has(path)) this.#forgetWays()
    const known = this.#recall(path)
    if (known === undefined) return
    if (isDirectory) known.isHere = true
    else this.#forget(path)
  }

  /** Whether the way to a path goes through a symlink that only lower layers have. */
  isLedBelow(path: ByteString): boolean {
    return this.#ways.get(splitPath(path).directory)?.isLedBelow === true
  }

  /** Lower layers have nothing at a path any more, and what is there now is only what the layer at work has put below. */
  remove(path: ByteString): void {
    if (this.#lower.root === undefined) return
    this.hide(path)
    this.#imply(this.#borrowed.take(path), this.#brought.take(path))
  }

  /** As {@link remove}, of what is new at the path itself. */
  hide(path: ByteString): void {
    this.#hidden.add(path)
    this.#forget(path)
  }

  /** Lower layers have nothing in a directory any more. */
  empty(path: ByteString): void {
    if (this.#lower.root === undefined) return
    this.#emptied.add(path)
    this.#forget(path)
    this.#imply(this.#borrowed.takeBelow(path), this.#brought.takeBelow(path))
  }

  /** What has to be written so that all that was hidden is, and nothing else. */
  *deletions(): Generator<Deletion> {
    if (this.#emptied.has('')) {
      yield* this.#rootDeletions()
      return
    }
    for (const path of this.#emptied)
      if (!this.#isHidden(path) && this.#lower.find(path)?.kind === 'directory' && this.#real(path) !== undefined)
        yield {path, isAll: true}
    for (const path of this.#hidden) {
      const deletion = this.#isHidden(splitPath(path).directory, true) ? undefined : this.#deletionOf(path)
      if (deletion !== undefined) yield deletion
    }
  }

  /** Name by name: the kernel does not ask whether the root of a layer hides all below. */
  *#rootDeletions(): Generator<Deletion> {
    for (const name of this.#lower.names(this.#root().lower!)) {
      const deletion = this.#deletionOf(name)
      if (deletion !== undefined) yield deletion
    }
  }

  #deletionOf(path: ByteString): Deletion | undefined {
    const {directory, name} = splitPath(path)
    const parent = this.#real(directory)
    const below = parent?.lower && this.#lower.look(parent.lower, name)
    if (below === undefined) return undefined
    const now = this.#here.statusOf(path)
    if (now === undefined) return {path, isAll: false}
    const isMerged = (now.mode & os.S_IFMT) === os.S_IFDIR && below.kind === 'directory'
    return isMerged ? {path, isAll: true} : undefined
  }

  /** Whether a deletion higher up hides a path; with `orEmptied` also one of all that is in a directory at or above it. */
  #isHidden(path: ByteString, orEmptied = false): boolean {
    for (let at = path; ; at = splitPath(at).directory) {
      if (this.#hidden.has(at) || ((orEmptied || at !== path) && this.#emptied.has(at))) return true
      if (at === '') return false
    }
  }

  /**
   * What is here of lower layers goes with them: copies of files, directories that were made for these, and the attributes of
   * directories that are left for what this layer has below them.
   *
   * @param brought those below come first
   */
  #imply(borrowed: readonly ByteString[], brought: readonly ByteString[]): void {
    for (const path of borrowed) this.#here.discard(path)
    for (const path of brought) {
      if (this.#here.isEmpty(path)) this.#here.discard(path)
      else this.#here.becomeImplied(path)
    }
  }

  #bring(directory: UnionDirectory): ByteString {
    const {path, parent, lower} = directory
    if (!directory.isHere) {
      this.#bring(parent!)
      this.#copyUp(lower!)
      this.#brought.add(path)
      directory.isHere = true
    }
    return path
  }

  #walk(path: ByteString, mtime?: Time): UnionDirectory | undefined {
    const known = this.#ways.get(path)
    if (known !== undefined) return known.end
    const walk: Walk = {
      at: this.#root(),
      ahead: components(path).reverse(),
      links: [],
      isLedBelow: false,
    }
    for (let part = walk.ahead.pop(); part !== undefined; part = walk.ahead.pop()) {
      if (part === '' || part === '.') continue
      if (part === '..') walk.at = walk.at.parent ?? walk.at
      else if (!this.#take(walk, part, mtime)) return undefined
    }
    if (walk.links.length > 0) this.#learnWay(path, walk)
    return walk.at
  }

  /** Takes one step of a way. @returns false where it ends */
  #take(walk: Walk, name: ByteString, mtime: Time | undefined): boolean {
    const next = this.#step(walk.at, name) ?? (mtime && this.#make(walk.at, name, mtime))
    if (next === undefined) return false
    if (!('target' in next)) {
      walk.at = next
      return true
    }
    walk.links.push(joinPath(walk.at.path, name))
    if (walk.links.length > maximumExpansions)
      throw new ImgtoolError('LINK_INVALID', `The symlink "${printable(name)}" leads through too many others`)
    walk.isLedBelow ||= next.isBelow
    if (next.target.startsWith('/')) walk.at = this.#root()
    walk.ahead = walk.ahead.concat(next.target.split('/').reverse())
    return true
  }

  /** The directory at a path itself; undefined where there is none. */
  #real(path: ByteString): UnionDirectory | undefined {
    let at = this.#root()
    for (const name of components(path)) {
      const next = this.#step(at, name)
      if (next === undefined || 'target' in next) return undefined
      at = next
    }
    return at
  }

  #root(): UnionDirectory {
    if (this.#learned >= maximumKnown) this.#forgetAll()
    this.#top ??= {path: '', parent: undefined, below: new Map(), isHere: true, lower: this.#lower.root}
    return this.#top
  }

  /** The directory at a path itself, if it is known. */
  #recall(path: ByteString): UnionDirectory | undefined {
    let at = this.#top
    for (const name of components(path)) at = at?.below.get(name)
    return at
  }

  /** What is under a name, of this layer or those below; undefined for nothing, and for what leads nowhere. */
  #step(at: UnionDirectory, name: ByteString): UnionDirectory | UnionLink | undefined {
    const known = at.below.get(name)
    if (known !== undefined) return known
    const path = joinPath(at.path, name)
    const here = at.isHere ? this.#here.statusOf(path) : undefined
    if (here !== undefined && (here.mode & os.S_IFMT) !== os.S_IFDIR) return linkTo(this.#here.targetOf(path), false)
    const below = this.#visible(at, path, name)
    if (here === undefined && below?.kind === 'symlink') return linkTo(this.#targetOf(below), true)
    const lower = below?.kind === 'directory' ? below : undefined
    if (here === undefined && lower === undefined) return undefined
    return this.#learn(at, name, here !== undefined, lower)
  }

  /** Makes a directory that nobody has. @returns undefined where something else is in the way */
  #make(at: UnionDirectory, name: ByteString, mtime: Time): UnionDirectory | undefined {
    const path = joinPath(at.path, name)
    if (this.#hasIn(at, path, name)) return undefined
    this.#bring(at)
    this.#here.enter(path, mtime)
    return this.#learn(at, name, true, undefined)
  }

  #hasIn(parent: UnionDirectory, path: ByteString, name: ByteString): boolean {
    return (parent.isHere && this.#here.statusOf(path) !== undefined) || this.#visible(parent, path, name) !== undefined
  }

  #visible({path: directory, lower}: UnionDirectory, path: ByteString, name: ByteString): Lower | undefined {
    if (lower === undefined || this.#hidden.has(path) || this.#emptied.has(directory)) return undefined
    return this.#lower.look(lower, name)
  }

  #targetOf(symlink: LowerFile): ByteString | undefined {
    const {directory, name} = this.#lower.locate(symlink)
    const target = os.readLinkAt(directory, name)
    return typeof target === 'number' ? undefined : target
  }

  #learn(parent: UnionDirectory, name: ByteString, isHere: boolean, lower: LowerDirectory | undefined): UnionDirectory {
    const directory = {path: joinPath(parent.path, name), parent, below: new Map(), isHere, lower}
    parent.below.set(name, directory)
    this.#learned++
    return directory
  }

  #learnWay(path: ByteString, {at, links, isLedBelow}: Walk): void {
    if (this.#ways.size >= maximumKnown) this.#forgetWays()
    this.#ways.set(path, {end: at, isLedBelow})
    for (const link of links) this.#links.add(link)
  }

  /** Forgets a directory with all that is below it. */
  #forget(path: ByteString): void {
    const {directory, name} = splitPath(path)
    if (path === '') this.#top = undefined
    else this.#recall(directory)?.below.delete(name)
    this.#forgetWays()
  }

  #forgetWays(): void {
    this.#ways.clear()
    this.#links.clear()
  }

  #forgetAll(): void {
    this.#top = undefined
    this.#learned = 0
    this.#forgetWays()
  }
}

function linkTo(target: ByteString | undefined, isBelow: boolean): UnionLink | undefined {
  return target === undefined ? undefined : {target, isBelow}
}
