/**
 * The merged root file system of an image in memory: what a driver would make of the layers, without a file system.
 * Contents are not kept, so its size goes with the number of entries.
 */
import {ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'
import type {ChangeSink} from './change.ts'
import {joinPath, splitPath} from './path.ts'
import type {Entry} from './tar/entry.ts'

/** A name in the tree. */
export interface TreeFile {
  /** The entry that made the file; several names of one file share it. Where it is in the tree its path does not say. */
  readonly entry: Entry
  /** Layer that made it, base first, from 0. */
  readonly layer: number
  /** Names that lead to the file. */
  readonly links: {count: number}
}

interface Node {
  file: TreeFile
  /** Of a directory, by name. */
  children: Map<ByteString, Node> | undefined
  /** Last layer that added the name, and last one that added it or something below it. */
  added: number
  touched: number
  readonly parent: Node | undefined
  readonly name: ByteString
}

/** As many as a kernel follows. @see path_resolution(7) */
const maximumExpansions = 40

export class MergedTree implements ChangeSink {
  readonly #root: Node = {
    file: {entry: impliedDirectory(undefined), layer: 0, links: {count: 1}},
    children: new Map(),
    added: -1,
    touched: -1,
    parent: undefined,
    name: '',
  }
  readonly #onImplied: () => void
  #layer = -1

  /** @param onImplied is called for each directory that no entry describes, before it is made */
  constructor(onImplied: () => void = () => {}) {
    this.#onImplied = onImplied
  }

  /** Call before each layer, base first. */
  startLayer(): void {
    this.#layer++
  }

  add(entry: Entry): void {
    if (entry.path === '') {
      if (entry.kind !== 'directory') throw new ImgtoolError('ENTRY_INVALID', `The root would become a ${entry.kind}`)
      this.#root.file = {...this.#root.file, entry, layer: this.#layer}
      return
    }
    const {directory, name} = splitPath(entry.path)
    const parent = this.#enter(directory, entry)
    if (entry.kind === 'hardlink') this.#addLink(parent, name, entry)
    else this.#put(parent, name, {entry, layer: this.#layer, links: {count: 1}})
  }

  data(): void {}

  end(): void {}

  remove(path: ByteString): void {
    const node = this.#find(path)
    if (node !== undefined && node !== this.#root) this.#hide(node)
  }

  opaque(path: ByteString): void {
    const node = this.#findDirectory(path)
    for (const child of [...(node?.children?.values() ?? [])]) this.#hide(child)
  }

  discard(path: ByteString): void {
    const node = this.#find(path)
    if (node !== undefined) this.#delete(node)
  }

  /**
   * Names below a path, sorted by bytes, each directory before what is in it.
   *
   * @param depth levels below the path; 0 is the path alone
   * @returns undefined when there is no such path; the path itself comes first
   */
  list(path: ByteString, depth: number): {path: ByteString; file: TreeFile}[] | undefined {
    const start = this.#find(path)
    if (start === undefined) return undefined
    const listed: {path: ByteString; file: TreeFile}[] = []
    const left: {node: Node; path: ByteString; depth: number}[] = [{node: start, path: pathOf(start), depth}]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      listed.push({path: next.path, file: next.node.file})
      if (next.depth === 0 || next.node.children === undefined) continue
      const names = [...next.node.children.keys()].sort().reverse()
      for (const name of names) {
        const below = joinPath(next.path, name)
        left.push({node: next.node.children.get(name)!, path: below, depth: next.depth - 1})
      }
    }
    return listed
  }

  #put(parent: Node, name: ByteString, file: TreeFile): void {
    const before = parent.children!.get(name)
    const isDirectory = file.entry.kind === 'directory'
    if (before?.children !== undefined && isDirectory) {
      // A directory over a directory keeps its children, and they their parent.
      before.file = file
      before.added = this.#layer
      this.#touch(before)
      return
    }
    if (before !== undefined) this.#delete(before)
    const children = isDirectory ? new Map<ByteString, Node>() : undefined
    const node: Node = {file, children, added: this.#layer, touched: -1, parent, name}
    parent.children!.set(name, node)
    this.#touch(node)
  }

  #touch(node: Node): void {
    for (let at: Node | undefined = node; at !== undefined && at.touched !== this.#layer; at = at.parent)
      at.touched = this.#layer
  }

  #addLink(parent: Node, name: ByteString, entry: Entry): void {
    const before = parent.children!.get(name)
    if (before !== undefined) {
      if (this.#findTarget(entry) === before) throw linkError(entry)
      // What stood in the way may have been a directory with the target in it.
      this.#delete(before)
    }
    const {file} = this.#findTarget(entry)
    file.links.count++
    this.#put(parent, name, file)
  }

  #findTarget(entry: Entry): Node {
    const {directory, name} = splitPath(entry.link)
    const target = this.#findDirectory(directory)?.children?.get(name)
    if (target === undefined || target.children !== undefined) throw linkError(entry)
    return target
  }

  /** Removes a name of the lower layers, and leaves what this layer put there. */
  #hide(node: Node): void {
    const left = [node]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      if (next.touched !== this.#layer) this.#delete(next)
      else if (next.children !== undefined) {
        left.push(...next.children.values())
        if (next.added !== this.#layer)
          next.file = {...next.file, entry: impliedDirectory(next.file.entry), layer: this.#layer}
      }
    }
  }

  #delete(node: Node): void {
    node.parent?.children?.delete(node.name)
    const left = [node]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      next.file.links.count--
      if (next.children !== undefined) left.push(...next.children.values())
    }
  }

  /** The directory at a path, with symlinks led inside the root; missing ones are made. */
  #enter(path: ByteString, entry: Entry): Node {
    const node = this.#walk(path, entry)
    if (node?.children !== undefined) return node
    throw new ImgtoolError('ENTRY_INVALID', `"${printable(path)}" goes through something that is no directory`)
  }

  #findDirectory(path: ByteString): Node | undefined {
    return this.#walk(path, undefined)
  }

  #find(path: ByteString): Node | undefined {
    if (path === '') return this.#root
    const {directory, name} = splitPath(path)
    return this.#findDirectory(directory)?.children?.get(name)
  }

  #walk(path: ByteString, implying: Entry | undefined): Node | undefined {
    const ahead = path === '' ? [] : path.split('/').reverse()
    let node = this.#root
    let expansions = 0
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === '' || part === '.') continue
      const next = part === '..' ? (node.parent ?? this.#root) : this.#step(node, part, implying)
      if (next?.file.entry.kind === 'symlink') {
        if (++expansions > maximumExpansions) throw tooManyLinks(path)
        if (next.file.entry.link.startsWith('/')) node = this.#root
        ahead.push(...next.file.entry.link.split('/').reverse())
      } else if (next?.children === undefined) return undefined
      else node = next
    }
    return node
  }

  #step(node: Node, name: ByteString, implying: Entry | undefined): Node | undefined {
    return node.children?.get(name) ?? (implying === undefined ? undefined : this.#imply(node, name, implying))
  }

  #imply(parent: Node, name: ByteString, entry: Entry): Node | undefined {
    if (parent.children === undefined) return undefined
    this.#onImplied()
    const file = {entry: impliedDirectory(entry), layer: this.#layer, links: {count: 1}}
    const node: Node = {file, children: new Map(), added: -1, touched: -1, parent, name}
    parent.children.set(name, node)
    this.#touch(node)
    return node
  }
}

function linkError(entry: Entry): ImgtoolError {
  const message = `Cannot follow the hard link "${printable(entry.path)}" to "${printable(entry.link)}"`
  return new ImgtoolError('LINK_INVALID', message, {entry: entry.path})
}

function tooManyLinks(path: ByteString): ImgtoolError {
  return new ImgtoolError('LINK_INVALID', `"${printable(path)}" leads through too many symlinks`)
}

function pathOf(node: Node): ByteString {
  const names: ByteString[] = []
  for (let at: Node | undefined = node; at !== undefined && at.name !== ''; at = at.parent) names.push(at.name)
  return names.reverse().join('/')
}

/** A directory that no layer describes; its time is that of what it was needed for. */
function impliedDirectory(cause: Entry | undefined): Entry {
  return {
    // Its place in the tree says it; thousands of levels would each keep all that is above them.
    path: '',
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: cause?.mtime ?? {seconds: 0, nanoseconds: 0},
    size: 0,
    link: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  }
}
