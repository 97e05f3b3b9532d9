/** Owners, modes, xattrs and times: in the order that keeps each from undoing another, and no call that changes nothing. */
import type {OnWarning} from '../layer/change.ts'
import type {Entry} from '../layer/tar/entry.ts'
import {
  changeMode,
  changeModeOfPath,
  changeOwner,
  changeOwnerAt,
  changeTime,
  changeTimeAt,
  check,
  close,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  errnoName,
  listXattrs,
  O_NOFOLLOW,
  O_PATH,
  openAt,
  removeXattr,
  setXattr,
  setXattrAt,
} from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import {type Privileges, withoutOwner} from './privileges.ts'
import {capabilityName, checkCapability, inheritedName, judgeXattr} from './xattr-policy.ts'

export class Metadata {
  readonly #privileges: Privileges
  readonly #warn: OnWarning
  /** Bits that a file gets at its creation, whatever the umask. */
  readonly #plainBits: number
  readonly #areNewFilesOurs: boolean

  /** @param areNewFilesOurs what is made belongs to this process, whatever its directory's group is */
  constructor(privileges: Privileges, warn: OnWarning, areNewFilesOurs: boolean) {
    this.#privileges = privileges
    this.#warn = warn
    this.#areNewFilesOurs = areNewFilesOurs
    this.#plainBits = 0o777 & ~privileges.umask
  }

  /** For an open file with its content written. @see chown(2): it clears special bits and capabilities, so it comes first */
  finishFile(descriptor: number, entry: Entry): void {
    const mode = this.#own(entry, () => changeOwner(descriptor, entry.uid, entry.gid))
    // Only root may set xattrs of a file that its owner may not write to. @see xattr(7), "Extended user attributes"
    const isLocked = entry.xattrs.size > 0 && (entry.mode & 0o200) === 0
    if (isLocked) this.#check(changeMode(descriptor, 0o600), 'set the mode of', entry)
    else if (this.#isUnusual(mode)) this.#check(changeMode(descriptor, mode), 'set the mode of', entry)
    this.#setXattrs(entry, (name, value) => setXattr(descriptor, name, value))
    if (isLocked) this.#check(changeMode(descriptor, mode), 'set the mode of', entry)
    this.#check(changeTime(descriptor, entry.mtime.seconds, entry.mtime.nanoseconds), 'set the time of', entry)
  }

  /** For a symlink, device or fifo that was just made. */
  finishSpecial(directory: number, name: ByteString, entry: Entry): void {
    const mode = this.#own(entry, () => changeOwnerAt(directory, name, entry.uid, entry.gid))
    if (entry.kind !== 'symlink' && this.#isUnusual(mode)) this.#changeModeAt(directory, name, entry, mode)
    this.#setXattrs(entry, (attribute, value) => setXattrAt(directory, name, attribute, value))
    this.#check(changeTimeAt(directory, name, entry.mtime.seconds, entry.mtime.nanoseconds), 'set the time of', entry)
  }

  /** For a directory; its special bits, its time and {@link setInherited} come when nothing will be put into it any more. */
  startDirectory(descriptor: number, entry: Entry, isMerged: boolean): void {
    if (isMerged) this.#clearXattrs(descriptor)
    this.#own(entry, () => changeOwner(descriptor, entry.uid, entry.gid), isMerged)
    this.#setXattrs(entry, (name, value) => (name === inheritedName ? 0 : setXattr(descriptor, name, value)))
  }

  /** Gives a directory the rules that what is made inside inherits. */
  setInherited(descriptor: number, entry: Entry): void {
    const value = entry.xattrs.get(inheritedName)
    if (value !== undefined) this.#explainXattr(setXattr(descriptor, inheritedName, value), inheritedName, entry)
  }

  canMakeDevices(): boolean {
    return this.#privileges.canMakeDevices
  }

  /** Whether a new file gets other permissions than it has from its creation. */
  needsMode(entry: Entry): boolean {
    return this.#isUnusual(this.modeOf(entry))
  }

  /** The mode of a new file, if its owner is set wherever {@link needsOwner} says so. */
  modeOf(entry: Entry): number {
    return this.#isForeign(entry) && !this.#privileges.canChangeOwner ? withoutOwner(entry.mode) : entry.mode
  }

  /** Whether a new file belongs to somebody else, or might without being told, and that can be arranged. */
  needsOwner(entry: Entry): boolean {
    return this.#isForeign(entry) ? this.#privileges.canChangeOwner : !this.#areNewFilesOurs
  }

  /** For the outcome of changing an owner: a warning where the owner does not exist here, an error for anything else. */
  explainOwner(failed: number, entry: Entry): void {
    if (failed === EINVAL || failed === EPERM) {
      // In a user namespace most ids do not exist.
      this.#warn({
        code: 'OWNER_LOST',
        message: `The owner ${entry.uid}:${entry.gid} cannot be kept here, nor what runs as that owner`,
        entry: entry.path,
      })
    } else this.#check(failed, 'set the owner of', entry)
  }

  #isForeign({uid, gid}: Entry): boolean {
    return uid !== this.#privileges.uid || gid !== this.#privileges.gid
  }

  #isUnusual(mode: number): boolean {
    return (mode & ~this.#plainBits) !== 0
  }

  /**
   * @param always also when the owner is whoever makes new files here
   * @returns the mode for what has this owner now
   */
  #own(entry: Entry, change: () => number, always = false): number {
    const isWanted = this.needsOwner(entry) || (always && this.#privileges.canChangeOwner)
    if (!isWanted) return this.modeOf(entry)
    const failed = change()
    this.explainOwner(failed, entry)
    return failed < 0 ? withoutOwner(entry.mode) : entry.mode
  }

  #changeModeAt(directory: number, name: ByteString, entry: Entry, mode: number): void {
    const descriptor = this.#check(openAt(directory, name, O_PATH | O_NOFOLLOW), 'open', entry)
    try {
      this.#check(changeModeOfPath(descriptor, mode), 'set the mode of', entry)
    } finally {
      close(descriptor)
    }
  }

  #setXattrs(entry: Entry, set: (name: ByteString, value: ByteString) => number): void {
    for (const [name, value] of entry.xattrs) {
      const verdict = judgeXattr(name)
      if (verdict === 'warn') this.#lose(entry, name, 'it is not among those that belong to an image')
      if (verdict !== 'keep') continue
      if (name === capabilityName) checkCapability(value)
      this.#explainXattr(set(name, value), name, entry)
    }
  }

  #explainXattr(failed: number, name: ByteString, entry: Entry): void {
    if (failed === EPERM || failed === EOPNOTSUPP) this.#lose(entry, name, errnoName(failed))
    else if (failed < 0) this.#check(failed, `set xattr "${printable(name).slice(0, 300)}" of`, entry)
  }

  #lose(entry: Entry, name: ByteString, why: string): void {
    this.#warn({
      code: 'XATTR_DROPPED',
      message: `The xattr "${printable(name).slice(0, 100)}" of "${printable(entry.path)}" was left out: ${why}`,
      entry: entry.path,
    })
  }

  /** A directory of an upper layer replaces all attributes of the lower one. */
  #clearXattrs(descriptor: number): void {
    const names = listXattrs(descriptor)
    if (typeof names === 'number') return
    for (const name of names) if (judgeXattr(name) === 'keep') removeXattr(descriptor, name)
  }

  #check(result: number, action: string, entry: Entry): number {
    return check(result, action, entry.path)
  }
}
