/**
 * Applies changes to one tree: additions replace what is there, deletions delete. This is what a driver does whose layers
 * start as copies of their parents.
 *
 * @see OCI image-spec layer.md, "Applying Changesets"
 */
import {ImgtoolError} from '../errors.ts'
import type {ChangeSink, OnWarning} from '../layer/change.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import type {Time} from '../layer/tar/number.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import {ConfinedRoot, type Place} from './confined-root.ts'
import {DirectoryRecords} from './directory-records.ts'
import type {ApplyOptions} from './driver.ts'
import {FileWriter} from './file-writer.ts'
import {Metadata} from './metadata.ts'
import {areNewFilesOurs} from './new-files.ts'
import {PathSet} from './path-set.ts'
import type {Privileges} from './privileges.ts'
import {listDirectory, removeTree} from './remove.ts'
import {walkDirectories} from './walk-directories.ts'

export interface InPlaceOptions extends ApplyOptions {
  /** Called with the path of each directory that takes the place of something else. */
  readonly onReplaced?: (path: ByteString) => void
  /** Called with the path of each device that cannot be made: what was there is gone all the same. */
  readonly onSkipped?: (path: ByteString) => void
}

export class InPlace implements ChangeSink {
  readonly #root: ConfinedRoot
  readonly #metadata: Metadata
  readonly #files: FileWriter
  readonly #warn: OnWarning
  readonly #onImplied: () => void
  readonly #onReplaced: (path: ByteString) => void
  readonly #onSkipped: (path: ByteString) => void
  readonly #directories: DirectoryRecords
  /**
   * What this layer has added so far, after symlinks: its whiteouts must leave that alone, wherever in the tar they stand.
   * Undefined while nothing lies below, so that nothing can be hidden.
   *
   * @see OCI image-spec layer.md: "Whiteout files MUST only apply to resources in lower/parent layers"
   */
  #kept: PathSet | undefined
  /** Directories of which this layer has hidden all that lies below it: that cannot come back. */
  readonly #hidden = new Set<ByteString>()
  /** Devices that could not be made, and names that would have been links to them. */
  readonly #skipped = new Set<ByteString>()
  /** The entry at work is a file. */
  #isFile = false
  #mtime: Time = {seconds: 0, nanoseconds: 0}

  /** @param root descriptor of the tree's directory; stays the caller's */
  constructor(root: number, privileges: Privileges, options: InPlaceOptions) {
    const {onWarning, thread, onImplied = () => {}, onReplaced = () => {}, onSkipped = () => {}} = options
    this.#root = new ConfinedRoot(root, {
      onImplied: (place) => this.#adoptImplied(place),
      beforeLooking: (path) => (path === undefined ? this.#files.drain() : this.#files.settle(path)),
      beforeClosing: (descriptor) => this.#files.settleDescriptor(descriptor),
    })
    this.#metadata = new Metadata(privileges, onWarning, areNewFilesOurs(root, privileges))
    this.#files = new FileWriter(thread, this.#metadata, (place, name) => this.#clear(place, name))
    this.#directories = new DirectoryRecords(this.#metadata)
    this.#warn = onWarning
    this.#onImplied = onImplied
    this.#onReplaced = onReplaced
    this.#onSkipped = onSkipped
  }

  /**
   * Call first for a tree that is there already: its directories are as if a lower layer described them. Until {@link finish}
   * they have neither their modes nor their rules for what is made inside.
   *
   * Costs some system calls a directory and one a name.
   */
  startMerge(): void {
    walkDirectories([this.#root], ([place]) => {
      this.#directories.adopt(place!)
      const {descriptor} = place!
      return listDirectory(descriptor).filter((name) => os.isDirectoryAt(descriptor, name))
    })
  }

  /** @param hasLower something lies below this layer that it can hide */
  startLayer(hasLower: boolean): void {
    // What this layer adds is never hidden by it, so that within a layer whiteouts need not wait for files.
    this.#files.drain()
    this.#kept = hasLower ? new PathSet() : undefined
    this.#hidden.clear()
  }

  /** Waits for what another thread does for the layer. @throws {ImgtoolError} what went wrong there */
  finishLayer(): void {
    this.#files.drain()
    this.#directories.finishLayer(this.#root.root, this.#mtime)
  }

  add(entry: Entry): void {
    this.#mtime = entry.mtime
    this.#isFile = entry.kind === 'file' && entry.path !== ''
    if (entry.path === '') this.#addRoot(entry)
    else this.#addNamed(entry)
  }

  data(chunk: Buffer, position: number): void {
    this.#files.data(chunk, position)
  }

  end(): void {
    if (this.#isFile) this.#files.end()
  }

  remove(path: ByteString): void {
    const {directory, name} = splitPath(path)
    const place = this.#root.find(directory)
    if (place !== undefined && this.#kept !== undefined) this.#hide(place, name)
  }

  opaque(path: ByteString): void {
    const place = this.#root.find(path)
    if (place !== undefined && this.#kept !== undefined) this.#hideBelow(place.path)
  }

  discard(path: ByteString): void {
    this.#files.drain()
    const {directory, name} = splitPath(path)
    const place = this.#root.find(directory)
    if (place !== undefined) this.#clear(place, name)
  }

  /** Makes a directory that only something with this time needs. */
  enter(path: ByteString, mtime: Time): void {
    this.#mtime = mtime
    this.#root.enter(path)
  }

  /** The directory at a path itself; valid until others were entered. */
  find(path: ByteString): Place | undefined {
    return this.#root.findDirectly(path)
  }

  /** What is at a path itself. */
  statusOf(path: ByteString): os.Status | undefined {
    const status = this.#ask(path, os.statusAt)
    return typeof status === 'number' ? undefined : status
  }

  /** The target of the symlink that is at a path itself; undefined for anything else. */
  targetOf(path: ByteString): ByteString | undefined {
    const target = this.#ask(path, os.readLinkAt)
    return typeof target === 'number' ? undefined : target
  }

  /** Whether nothing is in a directory. @param path of a directory itself */
  isEmpty(path: ByteString): boolean {
    this.#files.drain()
    const place = this.#root.findDirectly(path)
    return place !== undefined && listDirectory(place.descriptor).length === 0
  }

  /** Makes a directory one that no entry describes. @param path of a directory itself */
  becomeImplied(path: ByteString): void {
    const place = this.#root.findDirectly(path)
    if (place !== undefined) this.#directories.describeImplied(place, this.#mtime, true)
  }

  #ask<Answer>(path: ByteString, ask: (directory: number, name: ByteString) => Answer): Answer | undefined {
    const {directory, name} = splitPath(path)
    const place = this.#root.findDirectly(directory)
    if (place === undefined) return undefined
    this.#files.settle(path)
    return ask(place.descriptor, name)
  }

  /** Gives directories their modes and times, when nothing will touch them any more. */
  finish(): void {
    this.finishLayer()
    this.#directories.finish(this.#root)
  }

  /** Closes what is open, whatever happened. */
  close(): void {
    this.#files.close()
    this.#root.close()
  }

  #addNamed(entry: Entry): void {
    const {directory, name} = splitPath(entry.path)
    const place = this.#root.enter(directory)
    const path = joinPath(place.path, name)
    switch (entry.kind) {
      case 'file':
        this.#files.begin(place, name, entry, !this.#root.isKnown(path))
        break
      case 'directory':
        this.#addDirectory(place, name, entry)
        break
      case 'hardlink':
        this.#addLink(place.path, name, path, entry)
        break
      default:
        this.#addSpecial(place, name, entry)
    }
    this.#kept?.add(path)
  }

  #addRoot(entry: Entry): void {
    if (entry.kind !== 'directory') throw new ImgtoolError('ENTRY_INVALID', `The root would become a ${entry.kind}`)
    this.#directories.describe(this.#root.root, entry, true)
  }

  #addDirectory(parent: Place, name: ByteString, entry: Entry): void {
    this.#files.settle(joinPath(parent.path, name))
    const made = os.makeDirectoryAt(parent.descriptor, name, 0o700)
    const merged = made === os.EEXIST && os.isDirectoryAt(parent.descriptor, name)
    if (!merged && made < 0) {
      this.#create(parent, name, entry, () => os.makeDirectoryAt(parent.descriptor, name, 0o700))
      this.#onReplaced(joinPath(parent.path, name))
    }
    const place = this.#openDirectory(parent, name)
    this.#root.remember(place)
    this.#directories.describe(place, entry, merged)
  }

  /** A descriptor of a directory that may be open already. */
  #openDirectory(parent: Place, name: ByteString): Place {
    const path = joinPath(parent.path, name)
    this.#root.forget(path)
    return {
      path,
      descriptor: os.check(os.openAt(parent.descriptor, name, os.O_PLACE), 'open directory', path),
    }
  }

  #addSpecial(place: Place, name: ByteString, entry: Entry): void {
    const {kind, mode, deviceMajor, deviceMinor} = entry
    const isDevice = kind === 'character' || kind === 'block'
    this.#files.settle(joinPath(place.path, name))
    if (isDevice && !this.#metadata.canMakeDevices()) {
      this.#files.drain()
      this.#clear(place, name)
      this.#skip(joinPath(place.path, name), entry)
      return
    }
    this.#create(place, name, entry, () =>
      kind === 'symlink'
        ? os.symlinkAt(entry.link, place.descriptor, name)
        : os.makeNodeAt(place.descriptor, name, nodeTypes[kind]! | (mode & 0o777), deviceMajor, deviceMinor),
    )
    this.#metadata.finishSpecial(place.descriptor, name, entry)
  }

  #skip(path: ByteString, entry: Entry): void {
    this.#skipped.add(path)
    this.#onSkipped(path)
    this.#warn({
      code: 'DEVICE_SKIPPED',
      message: `The device "${printable(entry.path)}" was left out`,
      entry: entry.path,
    })
  }

  #addLink(directory: ByteString, name: ByteString, path: ByteString, entry: Entry): void {
    this.#files.settle(path)
    let failed = this.#link(directory, name, path, entry)
    if (failed === os.EEXIST) {
      this.#files.drain()
      this.#clear(this.#root.enter(directory), name)
      // What stood in the way may have been a directory with the target in it.
      failed = this.#link(directory, name, path, entry)
    }
    if (failed === os.ENOENT && this.#skipped.has(this.#pathOfTarget(entry))) this.#skip(path, entry)
    else if (failed === os.ENOENT) throw linkError(entry, 'it is not there')
    else if (failed === os.EPERM) throw linkError(entry, 'it is a directory, or may not be linked to')
    else os.check(failed, 'link', entry.path)
  }

  #link(directory: ByteString, name: ByteString, path: ByteString, entry: Entry): number {
    if (this.#pathOfTarget(entry) === path) throw linkError(entry, 'it is the link itself')
    // Entering the one directory must not close the other, so they come right before they are used.
    const target = this.#findTarget(entry)
    const place = this.#root.enter(directory)
    return os.linkAt(target.place.descriptor, target.name, place.descriptor, name)
  }

  #pathOfTarget(entry: Entry): ByteString {
    const {place, name} = this.#findTarget(entry)
    return joinPath(place.path, name)
  }

  #findTarget(entry: Entry): {place: Place; name: ByteString} {
    const {directory, name} = splitPath(entry.link)
    const place = this.#root.find(directory)
    if (place === undefined || name === '') throw linkError(entry, 'it is not there')
    this.#files.settle(joinPath(place.path, name))
    return {place, name}
  }

  /** Makes something new under a name; what is there is removed first, never written through. */
  #create(place: Place, name: ByteString, entry: Entry, make: () => number): number {
    let result = make()
    if (result === os.EEXIST) {
      this.#files.drain()
      this.#clear(place, name)
      result = make()
    }
    return os.check(result, 'make', entry.path)
  }

  #clear(place: Place, name: ByteString): void {
    this.#root.forget(joinPath(place.path, name))
    removeTree(place.descriptor, name)
  }

  #hide(place: Place, name: ByteString): void {
    if (this.#hideName(place, name)) this.#hideBelow(joinPath(place.path, name))
  }

  #hideBelow(path: ByteString): void {
    const left = [path]
    for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
      const place = this.#hidden.has(directory) ? undefined : this.#root.find(directory)
      if (place === undefined) continue
      this.#hidden.add(directory)
      for (const name of listDirectory(place.descriptor))
        if (this.#hideName(place, name)) left.push(joinPath(directory, name))
    }
  }

  /**
   * Removes what lower layers have under a name, and leaves what this layer put there.
   *
   * @returns whether a directory is left, in which lower layers may have more
   */
  #hideName(place: Place, name: ByteString): boolean {
    const path = joinPath(place.path, name)
    if (!this.#kept!.hasIn(path)) {
      this.#clear(place, name)
      return false
    }
    if (!os.isDirectoryAt(place.descriptor, name)) return false
    // The lower directory is gone with its attributes; the one that is left is there for what this layer has below it.
    if (!this.#kept!.has(path)) this.#becomeImplied(place, name)
    return true
  }

  #becomeImplied(parent: Place, name: ByteString): void {
    const place = this.#openDirectory(parent, name)
    try {
      this.#directories.describeImplied(place, this.#mtime, true)
      this.#kept!.add(place.path)
    } finally {
      os.close(place.descriptor)
    }
  }

  #adoptImplied(place: Place): void {
    this.#onImplied()
    this.#kept?.add(place.path)
    this.#directories.describeImplied(place, this.#mtime, false)
  }
}

const nodeTypes: Partial<Record<Entry['kind'], number>> = {character: os.S_IFCHR, block: os.S_IFBLK, fifo: os.S_IFIFO}

function linkError(entry: Entry, why: string): ImgtoolError {
  return new ImgtoolError(
    'LINK_INVALID',
    `Cannot make the hard link "${printable(entry.path)}" to "${printable(entry.link)}": ${why}`,
    {entry: entry.path},
  )
}
