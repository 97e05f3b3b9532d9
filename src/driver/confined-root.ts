/**
 * A directory that nothing leaves: every path of an archive is walked to a descriptor inside it, and what is done then is
 * done relative to that descriptor. Symlinks lead where they would after a chroot: `..` stops at the root, `/` begins there.
 *
 * The kernel takes the whole path at once where it can (openat2 without symlinks); our own walk, one component and one
 * descriptor at a time, does the rest. Neither builds a path that another process could bend.
 */
import {ImgtoolError} from '../errors.ts'
import {components, joinPath, maximumExpansions, splitPath} from '../layer/path.ts'
import {
  check,
  close,
  ENOENT,
  ENOTDIR,
  makeDirectoryAt,
  O_PLACE,
  openAt,
  openDirectoryBeneath,
  readLinkAt,
} from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'

/** A directory inside the root. */
export interface Place {
  /** O_PATH descriptor, open until a few dozen other places were entered or the directory is {@link ConfinedRoot.forget | forgotten}. */
  readonly descriptor: number
  /** Where it is after all symlinks, components joined by `/`; empty for the root. */
  readonly path: ByteString
}

/** Who works in the same tree at the same time. */
export interface Neighbours {
  /** Called for a directory that is made because an entry below it needs it, right after. */
  onImplied(place: Place): void
  /** Called before the tree is asked what is at a path; undefined where the way may lead anywhere. */
  beforeLooking(path: ByteString | undefined): void
  /** Called before a descriptor of a {@link Place} is closed. */
  beforeClosing(descriptor: number): void
}

/** Nobody. */
export const alone: Neighbours = {onImplied: () => {}, beforeLooking: () => {}, beforeClosing: () => {}}

/** Descriptors kept open: entries come in runs of one directory, and a run must work with 64 descriptors in all. */
const maximumOpen = 20
/** Ways through symlinks that are known at a time. */
const maximumAliases = 1024
/** Components that one walk may take, against targets that go up and down for ever. */
const maximumSteps = 16_384
/** PATH_MAX less its NUL; longer paths are walked. */
const maximumPath = 4095

export class ConfinedRoot {
  readonly root: Place
  readonly #neighbours: Neighbours
  /** By {@link Place.path}, least recently used first. */
  readonly #open = new Map<ByteString, Place>()
  /** Where paths that go through symlinks ended, until anything that could be one of them is removed. */
  readonly #aliases = new Map<ByteString, ByteString>()

  /** @param descriptor of the root, O_PATH or not; stays the caller's */
  constructor(descriptor: number, neighbours: Neighbours) {
    this.root = {descriptor, path: ''}
    this.#neighbours = neighbours
  }

  /**
   * The directory that a path leads to; what is missing on the way is made.
   *
   * @throws {ImgtoolError} ENTRY_INVALID when a file is in the way, LINK_INVALID for a loop
   */
  enter(path: ByteString): Place {
    const place = this.#lookUp(path) ?? this.#walk(path, {make: true, follow: true})
    if (place === undefined)
      throw new ImgtoolError('ENTRY_INVALID', `"${printable(path)}" goes through something that is no directory`)
    return place
  }

  /** The directory that a path leads to; undefined where there is none. */
  find(path: ByteString): Place | undefined {
    return this.#lookUp(path) ?? this.#walk(path, {make: false, follow: true})
  }

  /** The directory that is at a path itself; undefined where a symlink, or nothing, has taken its place. */
  findDirectly(path: ByteString): Place | undefined {
    const place = this.#lookUp(path) ?? this.#walk(path, {make: false, follow: false})
    return place?.path === path ? place : undefined
  }

  /** Takes over a descriptor of a directory that was just made or opened. */
  remember(place: Place): void {
    this.#open.set(place.path, place)
    if (this.#open.size <= maximumOpen) return
    const [oldest] = this.#open.values()
    this.#close(oldest!)
  }

  /** Must be called whenever a name is removed: a directory there, and links that led through it, are known no more. */
  forget(path: ByteString): void {
    this.#aliases.clear()
    for (const [known, place] of this.#open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue
      this.#close(place)
    }
  }

  /** Whether a path is known to be a directory, by itself or by what is below it. */
  isKnown(path: ByteString): boolean {
    const end = path.length
    for (const known of this.#open.keys())
      if (known.startsWith(path) && (known.length === end || known[end] === '/')) return true
    return false
  }

  close(): void {
    for (const place of this.#open.values()) this.#close(place)
  }

  #close({path, descriptor}: Place): void {
    this.#open.delete(path)
    try {
      this.#neighbours.beforeClosing(descriptor)
    } finally {
      close(descriptor)
    }
  }

  #lookUp(path: ByteString): Place | undefined {
    if (path === '') return this.root
    // What an alias leads through may be about to change.
    if (this.#aliases.has(path)) this.#neighbours.beforeLooking(undefined)
    const known = this.#aliases.get(path) ?? path
    const place = this.#open.get(known)
    if (place !== undefined) {
      this.#open.delete(known)
      this.#open.set(known, place)
      return place
    }
    this.#neighbours.beforeLooking(known)
    const descriptor = this.#openAtOnce(known)
    if (descriptor < 0) return undefined
    const opened = {descriptor, path: known}
    this.remember(opened)
    return opened
  }

  /** In the directory above if whoever walks the tree has just entered that: then depth costs nothing. */
  #openAtOnce(path: ByteString): number {
    const {directory, name} = splitPath(path)
    const above = this.#open.get(directory)
    if (above !== undefined) return openAt(above.descriptor, name, O_PLACE)
    return path.length <= maximumPath ? openDirectoryBeneath(this.root.descriptor, path) : ENOENT
  }

  /** @returns undefined where a directory is missing and must not be made, or something else is in the way */
  #walk(path: ByteString, {make, follow}: {make: boolean; follow: boolean}): Place | undefined {
    this.#neighbours.beforeLooking(undefined)
    const walk = new Walk(this.root.descriptor, path)
    try {
      for (let part = walk.next(); part !== undefined; part = walk.next()) {
        const descriptor = openAt(walk.descriptor, part, O_PLACE)
        if (descriptor >= 0) walk.descend(part, descriptor)
        else if (descriptor === ENOENT && make) this.#make(walk, part)
        else if (descriptor === ENOENT || (descriptor === ENOTDIR && !(follow && walk.follow(part)))) return undefined
        else if (descriptor !== ENOTDIR) check(descriptor, 'open directory', part)
      }
      return this.#arrive(path, walk)
    } finally {
      walk.close()
    }
  }

  #make(walk: Walk, name: ByteString): void {
    check(makeDirectoryAt(walk.descriptor, name, 0o700), 'make directory', name)
    walk.descend(name, check(openAt(walk.descriptor, name, O_PLACE), 'open directory', name))
    this.#neighbours.onImplied({descriptor: walk.descriptor, path: walk.path})
  }

  #arrive(path: ByteString, walk: Walk): Place {
    if (walk.path === '') return this.root
    if (walk.path !== path) this.#learn(path, walk.path)
    const known = this.#open.get(walk.path)
    if (known !== undefined) return known
    const place = {descriptor: walk.release(), path: walk.path}
    this.remember(place)
    return place
  }

  #learn(path: ByteString, end: ByteString): void {
    if (this.#aliases.size >= maximumAliases) this.#aliases.clear()
    this.#aliases.set(path, end)
  }
}

/** One way through the tree: where it is, and the components still to go. */
class Walk {
  readonly #root: number
  #descriptor: number
  /** Where the descriptor is. */
  #path: ByteString = ''
  /** In reverse: the next one is the last. */
  readonly #ahead: ByteString[]
  #expansions = 0
  #steps = 0

  constructor(root: number, path: ByteString) {
    this.#root = root
    this.#descriptor = root
    this.#ahead = path.split('/').reverse()
  }

  get descriptor(): number {
    return this.#descriptor
  }

  get path(): ByteString {
    return this.#path
  }

  /** The next component that is a name; dots, which only symlinks bring, are dealt with here. */
  next(): ByteString | undefined {
    for (let part = this.#ahead.pop(); part !== undefined; part = this.#ahead.pop()) {
      if (++this.#steps > maximumSteps)
        throw new ImgtoolError('LINK_INVALID', 'The symlinks of a path lead through too many directories')
      if (part === '..') this.#ascend()
      else if (part !== '' && part !== '.') return part
    }
    return undefined
  }

  descend(name: ByteString, descriptor: number): void {
    this.#path = joinPath(this.#path, name)
    this.#replace(descriptor)
  }

  /** Puts a symlink's target ahead. @returns false for what is no symlink */
  follow(name: ByteString): boolean {
    const target = readLinkAt(this.#descriptor, name)
    if (typeof target === 'number') return false
    if (++this.#expansions > maximumExpansions)
      throw new ImgtoolError('LINK_INVALID', `The symlink "${printable(name)}" leads through too many others`)
    if (target.startsWith('/')) {
      this.#path = ''
      this.#replace(this.#root)
    }
    this.#ahead.push(...target.split('/').reverse())
    return true
  }

  /** Gives the descriptor away. */
  release(): number {
    const descriptor = this.#descriptor
    this.#descriptor = this.#root
    return descriptor
  }

  close(): void {
    this.#replace(this.#root)
  }

  /** Goes down again from the root: `..` of a descriptor could lead out when another process moves the directory. */
  #ascend(): void {
    const {directory} = splitPath(this.#path)
    this.#path = directory
    this.#replace(this.#root)
    for (const name of components(directory)) {
      this.#steps++
      this.#replace(check(openAt(this.#descriptor, name, O_PLACE), 'open directory', name))
    }
  }

  #replace(descriptor: number): void {
    if (this.#descriptor !== this.#root) close(this.#descriptor)
    this.#descriptor = descriptor
  }
}
