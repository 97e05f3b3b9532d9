/**
 * What one layer must hold to make a tree of another: which files, under which names, and what it has to hide.
 *
 * Trees are compared as they are, whatever led to them: a file that was deleted and came back by a hard link is where it was.
 */
import type {ByteString} from '../text.ts'
import {type MergedTree, numberOf} from './merged-tree.ts'
import {NameTree, none} from './name-tree.ts'
import {joinPath} from './path.ts'
import type {Entry} from './tar/entry.ts'
import {opaqueEntry, removalEntry} from './tar-changes.ts'

/** Something below the name, or the name itself, goes into the layer. */
const changed = 1
/** Something below the name is what lower layers have. */
const kept = 2

/** Names that the layer would hide one by one in a directory, from where on it hides all of them at once. */
const opaqueFrom = 2

export class FlatPlan {
  readonly #tree: MergedTree
  readonly #lower: MergedTree
  /** Files from this number on are not in the lower tree. */
  readonly #first: number
  /** By name. */
  readonly #flags: Uint8Array
  /** By file: its first name that goes into the layer; and by name the next one of the same file. */
  readonly #names: Int32Array
  readonly #next = new Map<number, number>()

  /**
   * @param tree of all layers
   * @param lower tree of the layers that stay, which came first and with the same numbers; of none
   */
  constructor(tree: MergedTree, lower: MergedTree) {
    this.#tree = tree
    this.#lower = lower
    this.#first = lower.count
    this.#flags = new Uint8Array(tree.names.count)
    this.#names = new Int32Array(tree.count).fill(none)
    this.#mark()
    this.#takeFiles()
  }

  /** The entries of directories and whiteouts, each directory before what is in it, sorted by bytes. */
  *entries(): Generator<Entry> {
    const left = [{name: NameTree.root as number, lower: NameTree.root as number, path: ''}]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const {name, path} = next
      // A root that this layer does not describe is as lower layers have it, or as it always is.
      if (name !== NameTree.root || this.#isNew(name)) yield {...this.#tree.entryOf(this.#tree.fileOf(name))!, path}
      const hidden = this.#hiddenIn(name, next.lower)
      // Overlay file systems do not know an opaque root.
      const isOpaque = hidden.length >= opaqueFrom && name !== NameTree.root && !this.#has(name, kept)
      if (isOpaque) yield opaqueEntry(path)
      else for (const text of hidden.sort()) yield removalEntry(joinPath(path, text))
      const lower = isOpaque ? none : next.lower
      for (const {child, text} of this.#enter(name)) {
        left.push({name: child, lower: this.#lowerOf(lower, text), path: joinPath(path, text)})
      }
    }
  }

  /** Paths that a file has in the layer, the oldest first; none for a file that does not go into it. */
  namesOf(file: number): ByteString[] {
    const paths: ByteString[] = []
    for (let name = this.#names[file]!; name !== none; name = this.#next.get(name) ?? none) {
      paths.push(this.#tree.names.path(name))
    }
    return paths
  }

  /** Whether files of these numbers go into the layer. */
  needs(from: number, to: number): boolean {
    return this.#names.subarray(from, to).some((name) => name !== none)
  }

  /** Directories of a directory that go into the layer, the last one first. */
  #enter(name: number): {child: number; text: ByteString}[] {
    const {names} = this.#tree
    const wanted = names.children(name).filter((child) => this.#has(child, changed) && this.#tree.isDirectory(child))
    const directories = wanted.map((child) => ({child, text: names.text(child)}))
    return directories.sort((a, b) => (a.text < b.text ? 1 : -1))
  }

  #takeFiles(): void {
    for (let name = this.#flags.length - 1; name > NameTree.root; name--) {
      if (!this.#has(name, changed) || this.#tree.isDirectory(name)) continue
      const file = this.#tree.fileOf(name)
      const next = this.#names[file]!
      if (next !== none) this.#next.set(name, next)
      this.#names[file] = name
    }
  }

  #mark(): void {
    const old: number[] = []
    // Files of lower layers with a name that these do not have. Who unpacks a layer alone has no lower file to link to, so
    // that the layer gets a copy under all names: then they are one file on every driver.
    const copied = new Set<number>()
    if (this.#isNew(NameTree.root)) this.#flag(NameTree.root, changed)
    for (const {name, lower} of this.#directories()) {
      if (this.#hiddenIn(name, lower).length > 0) this.#flag(name, changed)
      for (const child of this.#tree.names.children(name)) {
        if (this.#isNew(child)) this.#flag(child, changed)
        else if (this.#tree.isDirectory(child)) this.#flag(name, kept)
        else if (old.push(child) && !this.#isInLower(child, lower)) copied.add(this.#tree.fileOf(child))
      }
    }
    for (const name of old) {
      if (copied.has(this.#tree.fileOf(name))) this.#flag(name, changed)
      else this.#flag(this.#tree.names.parent(name), kept)
    }
  }

  /** All directories of the tree, each with what lower layers have in its place. */
  *#directories(): Generator<{name: number; lower: number}> {
    const left: {name: number; lower: number}[] = [{name: NameTree.root, lower: NameTree.root}]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      yield next
      for (const name of this.#tree.names.children(next.name)) {
        if (!this.#tree.isDirectory(name)) continue
        left.push({name, lower: this.#lowerOf(next.lower, this.#tree.names.text(name))})
      }
    }
  }

  /** Whether a lower directory has the very file under the same name. */
  #isInLower(name: number, directory: number): boolean {
    const lower = this.#lowerOf(directory, this.#tree.names.text(name))
    return lower !== none && this.#lower.fileOf(lower) === this.#tree.fileOf(name)
  }

  #flag(name: number, flag: number): void {
    for (let at = name; at !== none && !this.#has(at, flag); at = this.#tree.names.parent(at)) this.#flags[at]! |= flag
  }

  #has(name: number, flag: number): boolean {
    return (this.#flags[name]! & flag) !== 0
  }

  #isNew(name: number): boolean {
    return numberOf(this.#tree.fileOf(name)) >= this.#first
  }

  /** Names of a lower directory that the tree does not have. */
  #hiddenIn(name: number, lower: number): ByteString[] {
    if (lower === none) return []
    const {names} = this.#lower
    const texts = names.children(lower).map((child) => names.text(child))
    return texts.filter((text) => this.#tree.names.find(name, text) === none)
  }

  #lowerOf(directory: number, text: ByteString): number {
    return directory === none ? none : this.#lower.names.find(directory, text)
  }
}
