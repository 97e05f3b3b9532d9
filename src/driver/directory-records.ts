/**
 * Directories get their owners and xattrs when they are made, their modes and times when nothing will be put into them any
 * more: on the very directory that was meant, never on what has taken its name.
 */
import {NameTree} from '../layer/name-tree.ts'
import {joinPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import type {ConfinedRoot, Place} from './confined-root.ts'
import type {Metadata} from './metadata.ts'
import {PathTree} from './path-tree.ts'
import {inheritedName} from './xattr-policy.ts'

/** What a directory gets in the end. */
interface DirectoryRecord {
  readonly mode: number
  readonly mtime: Time
  /** The directory that was meant, should another have taken its name. */
  readonly identity: string
  /** The entry, if it has rules for what is made inside. */
  readonly inherited: Entry | undefined
}

/** Mode of a directory that no layer describes. @see umoci and moby, which agree on it */
const impliedMode = 0o755

export class DirectoryRecords {
  readonly #metadata: Metadata
  /** After symlinks. */
  readonly #paths = new PathTree()
  /** By path. One that is taken again gets a new record, so that old ones mean nothing. */
  readonly #records: (DirectoryRecord | undefined)[] = []

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** @param isMerged the directory was there, with attributes that the entry replaces */
  describe(place: Place, entry: Entry, isMerged: boolean): void {
    this.#metadata.startDirectory(place.descriptor, entry, isMerged)
    this.#record(place, entry)
  }

  /** For a directory that is only needed by something below it. */
  describeImplied(place: Place, mtime: Time, isMerged: boolean): void {
    this.describe(place, impliedEntry(place.path, mtime), isMerged)
  }

  /** For a directory that is there with its attributes: it has them again in the end, unless an entry describes it. */
  adopt(place: Place): void {
    const {mode, mtime} = statusOf(place)
    const entry = {...impliedEntry(place.path, mtime), mode: mode & 0o7777, xattrs: takeInherited(place)}
    this.#record(place, entry)
  }

  /** Says that a layer has ended: a root that no entry has described so far is there for what the layer has below it. */
  finishLayer(root: Place, mtime: Time): void {
    if (this.#records[NameTree.root] === undefined) this.#record(root, impliedEntry('', mtime))
  }

  /** Gives all directories their modes and times, on one way through the tree. */
  finish(root: ConfinedRoot): void {
    const locking: {path: ByteString; record: DirectoryRecord}[] = []
    for (const {place, number} of walkDirectories(this.#paths, root)) {
      const record = this.#records[number]
      if (record === undefined) continue
      // A mode that locks out its owner waits until nothing below is wanted any more: only root may ignore it.
      if ((record.mode & 0o700) === 0o700) this.#finish(place, record)
      else locking.push({path: place.path, record})
    }
    for (const {path, record} of locking.reverse()) {
      const place = root.findDirectly(path)
      if (place !== undefined) this.#finish(place, record)
    }
    const own = this.#records[NameTree.root]
    if (own !== undefined) this.#finish(root.root, own)
  }

  #record(place: Place, entry: Entry): void {
    const {mode, identity} = statusOf(place)
    // Until the end nothing may keep us out, and a set-group-id bit would give its group to all that is made inside.
    if ((mode & 0o7777) !== 0o700) os.check(os.changeModeOfPath(place.descriptor, 0o700), 'set the mode of', place.path)
    const inherited = entry.xattrs.has(inheritedName) ? entry : undefined
    const number = this.#paths.make(place.path)
    while (this.#records.length < this.#paths.count) this.#records.push(undefined)
    this.#records[number] = {mode: entry.mode, mtime: entry.mtime, identity, inherited}
  }

  #finish(place: Place, {mode, mtime, identity, inherited}: DirectoryRecord): void {
    const status = os.statusAt(place.descriptor, '')
    if (typeof status === 'number' || status.identity !== identity) return
    if (inherited !== undefined) this.#metadata.setInherited(place.descriptor, inherited)
    if ((status.mode & 0o7777) !== mode)
      os.check(os.changeModeOfPath(place.descriptor, mode), 'set the mode of', place.path)
    os.check(os.changeTimeOfPath(place.descriptor, mtime.seconds, mtime.nanoseconds), 'set the time of', place.path)
  }
}

/** A directory that is being walked; without a descriptor when it had to make room for deeper ones. */
interface Level {
  readonly path: ByteString
  /** What is in it, and was not walked yet. */
  readonly left: number[]
  descriptor: number | undefined
}

/** Levels held open at a time. */
const maximumLevels = 24

/**
 * Every directory below the root that still is one, parents before children. Each is opened in its parent, so that depth
 * costs nothing; a level whose last directory was entered is let go, so that most trees are walked with a few descriptors.
 */
function* walkDirectories(paths: PathTree, root: ConfinedRoot): Generator<{place: Place; number: number}> {
  const levels: Level[] = [{path: '', left: paths.children(NameTree.root), descriptor: undefined}]
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const number = level.left.pop()
      const name = number === undefined ? '' : paths.name(number)
      const parent = level.descriptor ?? root.findDirectly(level.path)?.descriptor
      const descriptor = number === undefined || parent === undefined ? -1 : os.openAt(parent, name, os.O_PLACE)
      if (level.left.length === 0) leave(levels)
      // A name that is no directory any more has nothing to get, nor has what was below it.
      if (number === undefined || descriptor < 0) continue
      const next = {path: joinPath(level.path, name), left: paths.children(number), descriptor}
      enter(levels, next)
      yield {place: {path: next.path, descriptor}, number}
      if (next.left.length === 0) leave(levels)
    }
  } finally {
    while (levels.length > 0) leave(levels)
  }
}

function enter(levels: Level[], level: Level): void {
  levels.push(level)
  const crowded = levels.at(-1 - maximumLevels)
  if (crowded?.descriptor === undefined) return
  os.close(crowded.descriptor)
  crowded.descriptor = undefined
}

function leave(levels: Level[]): void {
  const descriptor = levels.pop()?.descriptor
  if (descriptor !== undefined) os.close(descriptor)
}

function statusOf({path, descriptor}: Place): os.Status {
  const status = os.statusAt(descriptor, '')
  if (typeof status === 'number') throw os.systemError(os.errnoName(status), `inspect "${printable(path)}"`)
  return status
}

/** Takes the rules off a directory that would hold for all that is made inside. */
function takeInherited({path, descriptor}: Place): Map<ByteString, ByteString> {
  const value = os.getXattr(descriptor, inheritedName)
  if (typeof value === 'number') return new Map()
  os.check(os.removeXattr(descriptor, inheritedName), 'remove an xattr of', path)
  return new Map([[inheritedName, value]])
}

function impliedEntry(path: ByteString, mtime: Time): Entry {
  const zero = {uid: 0, gid: 0, size: 0, deviceMajor: 0, deviceMinor: 0}
  return {path, kind: 'directory', mode: impliedMode, mtime, link: '', xattrs: new Map(), ...zero}
}
