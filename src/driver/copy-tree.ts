/**
 * Copies a directory with everything that can be kept of it. Both sides are held by descriptors and no link is followed on
 * either, so that neither a path that another process bends meanwhile, nor a link that was there before, leads out of them.
 */
import {ImgtoolError} from '../errors.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import {alone, ConfinedRoot, type Place} from './confined-root.ts'
import {createFile} from './file-orders.ts'
import {piecesOf} from './pieces.ts'
import {listDirectory} from './remove.ts'
import {walkDirectories} from './walk-directories.ts'

/** Bytes that are read at a time. */
const chunkSize = 1024 * 1024

/**
 * Copies what a directory holds, and its own attributes: types, contents with their holes, links, modes, owners, times and
 * xattrs, the last ones and owners as far as they are permitted. Contents are shared with the original where the file system
 * can do that. Memory grows with the number of directories and of hard links.
 *
 * @param from descriptor of the original
 * @param to descriptor of an empty directory
 * @throws {ImgtoolError} NO_SPACE, PERMISSION_DENIED; SYSTEM_ERROR where the original changes meanwhile
 */
export function copyTree(from: number, to: number): void {
  const copier = new Copier(from, to)
  try {
    copier.copy()
  } finally {
    copier.close()
  }
}

/** A directory whose attributes are set when everything below it is there. */
interface Pending {
  readonly path: ByteString
  readonly status: os.Status
}

class Copier {
  readonly #from: ConfinedRoot
  readonly #to: ConfinedRoot
  readonly #files = new FileCopier()
  /** Where the first of several names was copied to, by device and inode. */
  readonly #linked = new Map<string, ByteString>()
  /** Those that lock out their owner, parents before children. */
  readonly #locking: Pending[] = []

  constructor(from: number, to: number) {
    this.#from = new ConfinedRoot(from, alone)
    this.#to = new ConfinedRoot(to, alone)
  }

  copy(): void {
    walkDirectories([this.#from, this.#to], ([from, to]) => this.#copyDirectory(from!, to!))
    for (const {path, status} of this.#locking.toReversed())
      this.#inside(path, (from, to) => this.#files.copyAttributes(from.descriptor, to.descriptor, path, status))
  }

  close(): void {
    this.#from.close()
    this.#to.close()
  }

  /** Opens a directory on both sides, and lets it go after. */
  #inside(path: ByteString, use: (from: Place, to: Place) => void): void {
    const from = this.#from.findDirectly(path)
    const to = this.#to.findDirectly(path)
    if (from === undefined || to === undefined) throw changed(path)
    use(from, to)
    if (path === '') return
    this.#from.forget(path)
    this.#to.forget(path)
  }

  /** Copies a directory but for what is in those below it. @returns their names */
  #copyDirectory(from: Place, to: Place): ByteString[] {
    const status = os.statusOf(from.descriptor, from.path)
    const directories = this.#copyEntries(from, to)
    // All its names are made: only a mode could be in the way of what comes below.
    if ((status.mode & 0o700) !== 0o700) this.#locking.push({path: to.path, status})
    else this.#files.copyAttributes(from.descriptor, to.descriptor, to.path, status)
    return directories
  }

  /** @returns the names of directories, which are made and still empty */
  #copyEntries(from: Place, to: Place): ByteString[] {
    const directories: ByteString[] = []
    for (const name of listDirectory(from.descriptor)) {
      const path = joinPath(to.path, name)
      const source = os.check(os.openAt(from.descriptor, name, os.O_PATH | os.O_NOFOLLOW), 'copy', path)
      try {
        if (this.#copyEntry(source, to, name, path) === 'directory') directories.push(name)
      } finally {
        os.close(source)
      }
    }
    return directories
  }

  #copyEntry(source: number, to: Place, name: ByteString, path: ByteString): 'directory' | 'file' {
    const status = os.statusOf(source, path)
    if (typeOf(status) === os.S_IFDIR) {
      os.check(os.makeDirectoryAt(to.descriptor, name, 0o700), 'copy', path)
      return 'directory'
    }
    if (!this.#isLinked(status, to, name, path)) this.#files.copy(source, to.descriptor, name, path, status)
    return 'file'
  }

  #isLinked({links, identity}: os.Status, to: Place, name: ByteString, path: ByteString): boolean {
    if (links === 1) return false
    const first = this.#linked.get(identity)
    if (first === undefined) {
      this.#linked.set(identity, path)
      return false
    }
    const {directory, name: firstName} = splitPath(first)
    const place = this.#to.findDirectly(directory)
    if (place === undefined) throw changed(directory)
    os.check(os.linkAt(place.descriptor, firstName, to.descriptor, name), 'copy', path)
    return true
  }
}

/** Copies single files, with all that can be kept of them. */
export class FileCopier {
  readonly #chunk = Buffer.allocUnsafe(chunkSize)
  readonly #keeps: (xattr: ByteString) => boolean
  #canClone = true

  /** @param keeps says which xattrs are copied */
  constructor(keeps: (xattr: ByteString) => boolean = () => true) {
    this.#keeps = keeps
  }

  /**
   * Copies anything but a directory.
   *
   * @param source its descriptor, O_PATH
   * @param to descriptor of the directory that the copy will be in
   * @param path for errors
   */
  copy(source: number, to: number, name: ByteString, path: ByteString, status = os.statusOf(source, path)): void {
    if (typeOf(status) === os.S_IFREG) this.#copyFile(source, to, name, path, status)
    else this.#copySpecial(source, to, name, path, status)
  }

  #copyFile(source: number, to: number, name: ByteString, path: ByteString, status: os.Status): void {
    const readable = os.check(os.openAt(os.AT_FDCWD, os.descriptorPath(source), os.O_RDONLY), 'copy', path)
    try {
      const copy = os.check(createFile(to, name, 0o600), 'copy', path)
      try {
        this.#copyContent(readable, copy, path, status.size)
        this.copyAttributes(readable, copy, path, status)
      } finally {
        os.close(copy)
      }
    } finally {
      os.close(readable)
    }
  }

  #copyContent(from: number, to: number, path: ByteString, size: number): void {
    this.#canClone &&= os.cloneFile(from, to) === 0
    if (this.#canClone) return
    for (const {offset, length} of piecesOf(from, size, path)) {
      for (let at = offset; at < offset + length; ) {
        const part = this.#chunk.subarray(0, offset + length - at)
        const count = os.check(os.read(from, part, at), 'copy', path)
        if (count === 0) throw changed(path)
        os.check(os.write(to, part.subarray(0, count), at), 'copy', path)
        at += count
      }
    }
    os.check(os.truncate(to, size), 'copy', path)
  }

  #copySpecial(source: number, to: number, name: ByteString, path: ByteString, status: os.Status): void {
    if (typeOf(status) === os.S_IFLNK) os.check(os.symlinkAt(targetOf(source, path), to, name), 'copy', path)
    else {
      os.check(os.makeNodeAt(to, name, typeOf(status) | 0o600, status.major, status.minor), 'copy', path)
    }
    const copy = os.check(os.openAt(to, name, os.O_PATH | os.O_NOFOLLOW), 'copy', path)
    try {
      this.copyAttributes(source, copy, path, status)
    } finally {
      os.close(copy)
    }
  }

  /** In the order that keeps each from undoing another. @see chown(2): it clears special bits and capabilities */
  copyAttributes(from: number, to: number, path: ByteString, status: os.Status): void {
    const isOwned = os.changeOwner(to, status.uid, status.gid) === 0
    // Only what is open for reading or writing can be changed by its descriptor alone, which is faster.
    const isOpen = typeOf(status) === os.S_IFREG
    if (typeOf(status) !== os.S_IFLNK) {
      copyXattrs(from, to, path, this.#keeps)
      const mode = status.mode & (isOwned ? 0o7777 : 0o1777)
      os.check(isOpen ? os.changeMode(to, mode) : os.changeModeOfPath(to, mode), 'copy the mode of', path)
    }
    const {seconds, nanoseconds} = status.mtime
    const change = isOpen ? os.changeTime : os.changeTimeOfPath
    os.check(change(to, seconds, nanoseconds), 'copy the time of', path)
  }
}

const typeOf = ({mode}: os.Status) => mode & os.S_IFMT

function targetOf(symlink: number, path: ByteString): ByteString {
  const target = os.readLinkAt(symlink, '')
  if (typeof target === 'number') throw changed(path)
  return target
}

/** Attributes that this process may not see or set stay where they are. */
function copyXattrs(from: number, to: number, path: ByteString, keeps: (name: ByteString) => boolean): void {
  const names = os.listXattrs(from)
  if (typeof names === 'number') return
  for (const name of names.filter(keeps)) {
    const value = os.getXattr(from, name)
    const result = typeof value === 'number' ? value : os.setXattr(to, name, value)
    const isKept = result !== os.EPERM && result !== os.EACCES && result !== os.EOPNOTSUPP && result !== os.ENODATA
    if (isKept) os.check(result, 'copy the xattrs of', path)
  }
}

function changed(path: ByteString): ImgtoolError {
  return new ImgtoolError('SYSTEM_ERROR', `Cannot copy "${printable(path)}": it changed meanwhile`)
}
