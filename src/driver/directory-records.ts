/**
 * Directories get their owners and xattrs when they are made, their modes and times when nothing will be put into them any
 * more: on the very directory that was meant, never on what has taken its name.
 */
import {impliedDirectory} from '../layer/implied-directory.ts'
import {NameTree} from '../layer/name-tree.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import type {ByteString} from '../text.ts'
import type {ConfinedRoot, Place} from './confined-root.ts'
import type {Metadata} from './metadata.ts'
import {PathTree} from './path-tree.ts'
import {walkDirectories} from './walk-directories.ts'
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
    this.describe(place, impliedDirectory(place.path, mtime), isMerged)
  }

  /** For a directory that is there with its attributes: it has them again in the end, unless an entry describes it. */
  adopt(place: Place): void {
    const {mode, mtime} = os.statusOf(place.descriptor, place.path)
    const entry = {...impliedDirectory(place.path, mtime), mode: mode & 0o7777, xattrs: takeInherited(place)}
    this.#record(place, entry)
  }

  /** Says that a layer has ended: a root that no entry has described so far is there for what the layer has below it. */
  finishLayer(root: Place, mtime: Time): void {
    if (this.#records[NameTree.root] === undefined) this.#record(root, impliedDirectory('', mtime))
  }

  /** Gives all directories their modes and times, on one way through the tree. */
  finish(root: ConfinedRoot): void {
    const locking: {path: ByteString; record: DirectoryRecord}[] = []
    const visit = (place: Place) => {
      const number = this.#paths.find(place.path)
      const record = this.#records[number]
      // A mode that locks out its owner waits until nothing below is wanted any more: only root may ignore it.
      if (record !== undefined && (record.mode & 0o700) !== 0o700) locking.push({path: place.path, record})
      else if (record !== undefined) this.#finish(place, record)
      return this.#paths.children(number).map((child) => this.#paths.name(child))
    }
    // A name that is no directory any more has nothing to get, nor has what was below it.
    walkDirectories([root], ([place]) => visit(place!), 'skip')
    for (const {path, record} of locking.reverse()) {
      const place = root.findDirectly(path)
      if (place !== undefined) this.#finish(place, record)
    }
  }

  #record(place: Place, entry: Entry): void {
    const {mode, identity} = os.statusOf(place.descriptor, place.path)
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

/** Takes the rules off a directory that would hold for all that is made inside. */
function takeInherited({path, descriptor}: Place): Map<ByteString, ByteString> {
  const value = os.getXattr(descriptor, inheritedName)
  if (typeof value === 'number') return new Map()
  os.check(os.removeXattr(descriptor, inheritedName), 'remove an xattr of', path)
  return new Map([[inheritedName, value]])
}
