/** A set of paths that loses all that is below one of them at a cost that does not depend on the others. */
import {none} from '../layer/name-tree.ts'
import {Numbers} from '../layer/numbers.ts'
import type {ByteString} from '../text.ts'
import {PathTree} from './path-tree.ts'

/** Memory: about 45 bytes a name that ever was on a path, and the name. */
export class PathSet {
  readonly #paths = new PathTree()
  /** By path: 1 for those that are in the set; another is only on the way to some. */
  readonly #members = new Numbers()

  add(path: ByteString): void {
    const added = this.#paths.make(path)
    while (this.#members.length < this.#paths.count) this.#members.push(0)
    this.#members.set(added, 1)
  }

  has(path: ByteString): boolean {
    return this.#isMember(this.#paths.find(path))
  }

  delete(path: ByteString): void {
    const found = this.#paths.find(path)
    if (this.#isMember(found)) this.#members.set(found, 0)
  }

  /** Whether a path or one below it is in the set, or was until it alone was deleted. */
  hasIn(path: ByteString): boolean {
    return this.#paths.find(path) !== none
  }

  /** Takes a path and all below it out of the set. @returns what was in it, those below first */
  take(path: ByteString): ByteString[] {
    const taken = this.takeBelow(path)
    if (this.has(path)) taken.push(path)
    this.delete(path)
    return taken
  }

  /** As {@link take}, without the path itself. */
  takeBelow(path: ByteString): ByteString[] {
    const found = this.#paths.find(path)
    const removed = found === none ? [] : this.#paths.removeBelow(found)
    return removed.filter((each) => this.#isMember(each)).map((each) => this.#paths.path(each))
  }

  #isMember(path: number): boolean {
    return path !== none && path < this.#members.length && this.#members.get(path) === 1
  }
}
