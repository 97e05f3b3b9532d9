/**
 * Values by path, as a tree of components: a name costs its own length, not that of its path, so that a few hostile entries
 * with thousands of levels do not fill the memory.
 */
import {splitPath} from '../layer/path.ts'
import type {ByteString} from '../text.ts'

/** A node with its path. */
interface Located<Value> {
  readonly path: ByteString
  readonly node: PathTree<Value>
}

export class PathTree<Value> {
  value: Value | undefined
  #children: Map<ByteString, PathTree<Value>> | undefined
  /** What was made last, and the directory of that. */
  #recent: readonly Located<Value>[] | undefined

  /** Names in this directory, in the order in which they came. */
  get names(): readonly ByteString[] {
    return this.#children === undefined ? [] : [...this.#children.keys()]
  }

  child(name: ByteString): PathTree<Value> | undefined {
    return this.#children?.get(name)
  }

  /** The node at a path below this one; empty is this one. */
  find(path: ByteString): PathTree<Value> | undefined {
    let node: PathTree<Value> | undefined = this
    for (const name of components(path)) node = node?.child(name)
    return node
  }

  /**
   * The node at a path, made with all that is above it where it is not there.
   *
   * Paths come in runs of one directory, or each below the one before: those two are remembered, so that a run does not
   * begin at the root every time.
   */
  make(path: ByteString): PathTree<Value> {
    if (path === '') return this
    const {directory, name} = splitPath(path)
    const parent = this.#recent?.find((one) => one.path === directory)?.node ?? this.#makeAll(directory)
    const node = parent.#makeChild(name)
    this.#recent = [
      {path: directory, node: parent},
      {path, node},
    ]
    return node
  }

  #makeAll(path: ByteString): PathTree<Value> {
    let node: PathTree<Value> = this
    for (const name of components(path)) node = node.#makeChild(name)
    return node
  }

  #makeChild(name: ByteString): PathTree<Value> {
    this.#children ??= new Map()
    let child = this.#children.get(name)
    if (child === undefined) {
      child = new PathTree()
      this.#children.set(name, child)
    }
    return child
  }
}

function components(path: ByteString): readonly ByteString[] {
  return path === '' ? [] : path.split('/')
}
