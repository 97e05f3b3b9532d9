/**
 * Directories get their owners and xattrs when they are made, their modes and times when nothing will be put into them any
 * more: on the very directory that was meant, never on what has taken its name.
 */
import type {Entry} from '../layer/tar/entry.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import type {ConfinedRoot, Place} from './confined-root.ts'
import type {Metadata} from './metadata.ts'

/** What a directory gets in the end. */
interface DirectoryRecord {
  readonly mode: number
  readonly mtime: Time
  /** The directory that was meant, should another have taken its name. */
  readonly identity: string
}

/** Mode of a directory that no layer describes. @see umoci and moby, which agree on it */
const impliedMode = 0o755

export class DirectoryRecords {
  readonly #metadata: Metadata
  /** By path after symlinks. A path that is taken again gets a new record, so that old ones mean nothing. */
  readonly #records = new Map<ByteString, DirectoryRecord>()

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** @param isMerged the directory was there, with attributes that the entry replaces */
  describe(place: Place, entry: Entry, isMerged: boolean): void {
    this.#metadata.startDirectory(place.descriptor, entry, isMerged)
    this.#record(place, entry.mode, entry.mtime)
  }

  /** For a directory that is only needed by something below it. */
  describeImplied(place: Place, mtime: Time, isMerged: boolean): void {
    this.describe(place, impliedEntry(place.path, mtime), isMerged)
  }

  /**
   * Gives all directories their modes and times.
   *
   * @param mtime of the root, where no layer describes it; undefined leaves it as it is then
   */
  finish(root: ConfinedRoot, mtime: Time | undefined): void {
    if (mtime !== undefined && !this.#records.has('')) this.#record(root.root, impliedMode, mtime)
    // From the leaves up: a directory's mode may lock out everybody but root.
    for (const path of [...this.#records.keys()].sort().reverse()) {
      // A path that is no directory any more, or another one, has nothing to get.
      const place = root.findDirectly(path)
      if (place !== undefined) finishDirectory(place, this.#records.get(path)!)
    }
  }

  #record(place: Place, mode: number, mtime: Time): void {
    const status = os.statusAt(place.descriptor, '')
    const what = `"${printable(place.path)}"`
    if (typeof status === 'number') throw os.systemError(os.errnoName(status), `inspect ${what}`)
    // Until the end nothing may keep us out, and a set-group-id bit would give its group to all that is made inside.
    if ((status.mode & 0o7777) !== 0o700)
      os.check(os.changeModeOfPath(place.descriptor, 0o700), `set the mode of ${what}`)
    this.#records.set(place.path, {mode, mtime, identity: status.identity})
  }
}

function finishDirectory(place: Place, {mode, mtime, identity}: DirectoryRecord): void {
  const status = os.statusAt(place.descriptor, '')
  if (typeof status === 'number' || status.identity !== identity) return
  const what = `"${printable(place.path)}"`
  if ((status.mode & 0o7777) !== mode) os.check(os.changeModeOfPath(place.descriptor, mode), `set the mode of ${what}`)
  os.check(os.changeTimeOfPath(place.descriptor, mtime.seconds, mtime.nanoseconds), `set the time of ${what}`)
}

function impliedEntry(path: ByteString, mtime: Time): Entry {
  const zero = {uid: 0, gid: 0, size: 0, deviceMajor: 0, deviceMinor: 0}
  return {path, kind: 'directory', mode: impliedMode, mtime, link: '', xattrs: new Map(), ...zero}
}
