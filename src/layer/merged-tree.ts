/**
 * The merged root file system of an image in memory: what a driver would make of the layers, without a file system.
 * Contents are not kept; a name takes some 100 bytes.
 */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import type {ChangeSink} from './change.ts'
import {FileTable} from './file-table.ts'
import {impliedDirectory} from './implied-directory.ts'
import {NameTree, none} from './name-tree.ts'
import {Numbers} from './numbers.ts'
import {components, joinPath, maximumExpansions, splitPath} from './path.ts'
import type {Entry, EntryKind} from './tar/entry.ts'
import type {Time} from './tar/number.ts'

/** A name in the tree and its file. */
export interface TreeFile {
  /** The entry that made the file, with the path that the name has in the tree. */
  readonly entry: Entry
  /** Layer that made it, base first, from 0. */
  readonly layer: number
  /** Names that lead to the file. */
  readonly links: number
}

/** A directory whose names are being listed. */
interface OpenDirectory {
  readonly path: ByteString
  /** Those that are left, the next one last. */
  readonly names: number[]
}

/**
 * A tree that grows by the changes of one layer after another.
 *
 * A file is known by its number: how many additions, over all layers, came before the one that made it. A directory that no
 * entry describes has a negative one, see {@link numberOf}.
 */
export class MergedTree implements ChangeSink {
  readonly names = new NameTree()
  readonly #keepsAll: boolean
  /** By name: its file, the last layer that added or implied it, and the last one that added it or something below it. */
  readonly #files = new Numbers()
  readonly #added = new Numbers()
  readonly #touched = new Numbers()
  /** By file: how many names lead to it, and the number of its entry, or {@link none} for what is not kept. */
  readonly #links = new Numbers()
  readonly #rows = new Numbers()
  readonly #entries = new FileTable()
  /** By file at whose addition a directory was implied: its time. */
  readonly #times = new Map<number, Time>()
  /** By layer: its first file. */
  readonly #layers: number[] = []
  /** Directories of which this layer has hidden all that lies below it: that cannot come back. */
  readonly #hidden = new Set<number>()
  #mtime: Time = {seconds: 0, nanoseconds: 0}

  readonly #onImplied: () => void

  /**
   * @param onImplied is called for each directory that no entry describes, before it is made
   * @param keep `all` keeps every entry, for some 100 bytes a name; `directories` those of directories and symlinks, for some
   *   60 bytes a name
   */
  constructor(onImplied: () => void = () => {}, keep: 'all' | 'directories' = 'all') {
    this.#onImplied = onImplied
    this.#keepsAll = keep === 'all'
    this.#adopt(impliedAt(-1))
  }

  /** Call before each layer, base first. */
  startLayer(): void {
    this.#layers.push(this.#links.length)
    this.#hidden.clear()
  }

  add(entry: Entry): void {
    const file = this.#links.length
    this.#mtime = entry.mtime
    this.#links.push(0)
    this.#rows.push(none)
    if (entry.path === '') {
      if (entry.kind !== 'directory') throw new ImgtoolError('ENTRY_INVALID', `The root would become a ${entry.kind}`)
      this.#keep(file, entry)
      this.#release(this.#files.get(NameTree.root))
      this.#setFile(NameTree.root, file)
      return
    }
    const {directory, name} = splitPath(entry.path)
    const parent = this.#enter(directory)
    if (entry.kind === 'hardlink') this.#addLink(parent, name, entry)
    else {
      this.#keep(file, entry)
      this.#put(parent, name, file)
    }
  }

  data(): void {}

  end(): void {}

  remove(path: ByteString): void {
    const name = this.#find(path)
    if (name !== none && name !== NameTree.root) this.#hide(name)
  }

  opaque(path: ByteString): void {
    const directory = this.#walk(path, false)
    if (directory !== none) for (const name of this.#takeHidable(directory)) this.#hide(name)
  }

  discard(path: ByteString): void {
    const name = this.#find(path)
    if (name !== none) this.#delete(name)
  }

  /** Additions up to now: the number of the next file. */
  get count(): number {
    return this.#links.length
  }

  /** The number of a name's file; negative for a directory that no entry describes. */
  fileOf(name: number): number {
    return this.#files.get(name)
  }

  isDirectory(name: number): boolean {
    return this.#isDirectory(this.#files.get(name))
  }

  /** What is kept of a file, without what a tree does not need: its path, and where a sparse file has data. */
  entryOf(file: number): Entry | undefined {
    if (file < 0) return impliedDirectory('', this.#times.get(numberOf(file)) ?? epoch)
    const row = this.#rows.get(file)
    return row === none ? undefined : this.#entries.read(row)
  }

  /** Names that lead to a file. */
  linksOf(file: number): number {
    return file < 0 ? 1 : this.#links.get(file)
  }

  /**
   * Names below a path, sorted by bytes, each directory before what is in it; only for a tree that keeps all entries.
   *
   * @param path with a slash at its end it is that of a directory, and symlinks are followed to it
   * @param depth levels below the path; 0 is the path alone
   * @returns undefined when there is no such path; the path itself comes first. May be walked again, for as long as nothing
   *   is added
   */
  list(path: ByteString, depth: number): Iterable<TreeFile> | undefined {
    const start = path.endsWith('/') ? this.#walk(path, false) : this.#find(path)
    if (start === none) return undefined
    return {[Symbol.iterator]: () => this.#walkFiles(start, depth)}
  }

  *#walkFiles(start: number, depth: number): Generator<TreeFile> {
    const path = this.names.path(start)
    yield this.#read(start, path)
    const open: OpenDirectory[] = []
    if (depth > 0) open.push(this.#open(start, path))
    for (let at = open.at(-1); at !== undefined; at = open.at(-1)) {
      const name = at.names.pop()
      if (name === undefined) {
        open.pop()
        continue
      }
      const below = joinPath(at.path, this.names.text(name))
      yield this.#read(name, below)
      if (open.length < depth && this.isDirectory(name)) open.push(this.#open(name, below))
    }
  }

  #open(directory: number, path: ByteString): OpenDirectory {
    return {path, names: this.names.sorted(directory).reverse()}
  }

  #read(name: number, path: ByteString): TreeFile {
    const file = this.#files.get(name)
    return {entry: {...this.entryOf(file)!, path}, layer: this.#layerOf(file), links: this.linksOf(file)}
  }

  #keep(file: number, entry: Entry): void {
    if (!this.#keepsAll && entry.kind !== 'directory' && entry.kind !== 'symlink') return
    this.#rows.set(file, this.#entries.add(entry))
  }

  #put(parent: number, text: ByteString, file: number): void {
    const before = this.names.find(parent, text)
    if (before !== none && this.isDirectory(before) && this.#isDirectory(file)) {
      // A directory over a directory keeps its children, and they their parent.
      this.#release(this.#files.get(before))
      this.#setFile(before, file)
      this.#added.set(before, this.#layer)
      this.#touch(before)
      return
    }
    if (before !== none) this.#delete(before)
    this.#make(parent, text, file)
  }

  #make(parent: number, text: ByteString, file: number): number {
    const name = this.names.add(parent, text)
    this.#adopt(file)
    this.#touch(name)
    return name
  }

  /** Describes the name that was just added. */
  #adopt(file: number): void {
    this.#files.push(file)
    if (file >= 0) this.#links.set(file, this.#links.get(file) + 1)
    this.#added.push(this.#layer)
    this.#touched.push(-1)
  }

  #setFile(name: number, file: number): void {
    this.#files.set(name, file)
    if (file >= 0) this.#links.set(file, this.#links.get(file) + 1)
  }

  #release(file: number): void {
    if (file < 0) return
    const links = this.#links.get(file) - 1
    this.#links.set(file, links)
    if (links > 0 || this.#rows.get(file) === none) return
    this.#entries.drop(this.#rows.get(file))
    this.#rows.set(file, none)
  }

  #touch(name: number): void {
    for (let at = name; at !== none && this.#touched.get(at) !== this.#layer; at = this.names.parent(at))
      this.#touched.set(at, this.#layer)
  }

  #addLink(parent: number, text: ByteString, entry: Entry): void {
    const before = this.names.find(parent, text)
    if (before !== none) {
      if (this.#findTarget(entry) === before) throw linkError(entry)
      // What stood in the way may have been a directory with the target in it.
      this.#delete(before)
    }
    this.#put(parent, text, this.#files.get(this.#findTarget(entry)))
  }

  #findTarget(entry: Entry): number {
    const {directory, name} = splitPath(entry.link)
    const parent = this.#walk(directory, false)
    const target = parent === none ? none : this.names.find(parent, name)
    if (target === none || this.isDirectory(target)) throw linkError(entry)
    return target
  }

  /** Removes a name of the lower layers, and leaves what this layer put there. */
  #hide(name: number): void {
    const left = [name]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      if (this.#touched.get(next) !== this.#layer) this.#delete(next)
      else if (this.isDirectory(next)) {
        for (const child of this.#takeHidable(next)) left.push(child)
        if (this.#added.get(next) === this.#layer) continue
        this.#release(this.#files.get(next))
        this.#setFile(next, this.#imply())
        this.#added.set(next, this.#layer)
      }
    }
  }

  /** What a directory holds, for one that is about to lose what lower layers have in it; nothing where it has lost that before. */
  #takeHidable(directory: number): number[] {
    if (this.#hidden.has(directory)) return []
    this.#hidden.add(directory)
    return this.names.children(directory)
  }

  #delete(name: number): void {
    this.names.remove(name, (removed) => this.#release(this.#files.get(removed)))
  }

  /** The directory at a path, with symlinks led inside the root; missing ones are made. */
  #enter(path: ByteString): number {
    const directory = this.#walk(path, true)
    if (directory !== none) return directory
    throw new ImgtoolError('ENTRY_INVALID', `"${printable(path)}" goes through something that is no directory`)
  }

  #find(path: ByteString): number {
    if (path === '') return NameTree.root
    const {directory, name} = splitPath(path)
    const parent = this.#walk(directory, false)
    return parent === none ? none : this.names.find(parent, name)
  }

  #walk(path: ByteString, implying: boolean): number {
    let ahead = components(path).reverse()
    let directory: number = NameTree.root
    let expansions = 0
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === '' || part === '.') continue
      const next = this.#step(directory, part, implying)
      if (next === none) return none
      const link = this.#linkOf(next)
      if (link !== undefined) {
        if (++expansions > maximumExpansions) throw tooManyLinks(path)
        if (link.startsWith('/')) directory = NameTree.root
        ahead = ahead.concat(link.split('/').reverse())
      } else if (!this.isDirectory(next)) return none
      else directory = next
    }
    return directory
  }

  #step(directory: number, text: ByteString, implying: boolean): number {
    if (text === '..') return directory === NameTree.root ? directory : this.names.parent(directory)
    const name = this.names.find(directory, text)
    return name === none && implying ? this.#make(directory, text, this.#imply()) : name
  }

  /** The file of a directory that is only needed by what is below it: with the time of the entry at work. */
  #imply(): number {
    this.#onImplied()
    const cause = this.#links.length - 1
    this.#times.set(cause, this.#mtime)
    return impliedAt(cause)
  }

  #isDirectory(file: number): boolean {
    return file < 0 || this.#kindOf(file) === 'directory'
  }

  #linkOf(name: number): ByteString | undefined {
    const file = this.#files.get(name)
    return this.#kindOf(file) === 'symlink' ? this.#entries.link(this.#rows.get(file)) : undefined
  }

  #kindOf(file: number): EntryKind | undefined {
    const row = file < 0 ? none : this.#rows.get(file)
    return row === none ? undefined : this.#entries.kind(row)
  }

  get #layer(): number {
    return this.#layers.length - 1
  }

  #layerOf(file: number): number {
    const number = numberOf(file)
    return Math.max(
      0,
      this.#layers.findLastIndex((first) => first <= number),
    )
  }
}

/** The number of the addition that made a file, or made it necessary; -1 for the root that nobody describes. */
export function numberOf(file: number): number {
  return file < 0 ? impliedAt(file) : file
}

/** The file of a directory that an addition implied: a number that no other file has. The function is its own inverse. */
function impliedAt(cause: number): number {
  return -2 - cause
}

function linkError(entry: Entry): ImgtoolError {
  const message = `Cannot follow the hard link "${printable(entry.path)}" to "${printable(entry.link)}"`
  return new ImgtoolError('LINK_INVALID', message, {entry: entry.path})
}

function tooManyLinks(path: ByteString): ImgtoolError {
  return new ImgtoolError('LINK_INVALID', `"${printable(path)}" leads through too many symlinks`)
}

const epoch: Time = {seconds: 0, nanoseconds: 0}
