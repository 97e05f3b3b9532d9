/** Reads a docker data-root, which may be of somebody else's disk: nothing in it leads out of it. */
import {fstatSync} from 'node:fs'
import {alone, ConfinedRoot} from '../driver/confined-root.ts'
import type {LowerLayers} from '../driver/lower.ts'
import {listDirectory} from '../driver/remove.ts'
import {openRegular} from '../driver/small-file.ts'
import {ImgtoolError} from '../errors.ts'
import {splitPath} from '../layer/path.ts'
import {cleanPath} from '../layer/tar/entry.ts'
import type {Limits} from '../limits.ts'
import * as os from '../os/libc.ts'
import {type ByteString, fromText, printable} from '../text.ts'
import type {Content} from './layer-tar.ts'
import {wayInUnion} from './union-way.ts'

/** Bytes that are read of a file at a time. */
const chunkSize = 256 * 1024

/** A directory whose files are read by path. No symlink below it is followed. Close it. */
export class StoreFiles {
  readonly #path: ByteString
  readonly #descriptor: number

  /**
   * @param path as the user named it
   * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED
   */
  constructor(path: string) {
    this.#path = fromText(path)
    const descriptor = os.openAt(os.AT_FDCWD, this.#path, os.O_PATH | os.O_DIRECTORY)
    if (descriptor === os.ENOENT || descriptor === os.ENOTDIR) {
      const why = descriptor === os.ENOENT ? 'it is not there' : 'it is no directory'
      throw new ImgtoolError('SOURCE_NOT_FOUND', `Cannot open "${printable(this.#path)}": ${why}`)
    }
    this.#descriptor = check(descriptor, 'open', this.#path)
  }

  close(): void {
    os.close(this.#descriptor)
  }

  /** Names in a directory, sorted as bytes; undefined where there is none. */
  list(path: ByteString): ByteString[] | undefined {
    const directory = this.directory(path)
    if (directory === undefined) return undefined
    try {
      return listDirectory(directory).toSorted()
    } catch (error) {
      const isDenied = error instanceof ImgtoolError && error.code === 'PERMISSION_DENIED'
      throw isDenied ? denied('list', this.#full(path)) : error
    } finally {
      os.close(directory)
    }
  }

  /**
   * The content of a small file; undefined where there is none.
   *
   * @throws {ImgtoolError} LIMIT_EXCEEDED where it has more bytes
   */
  read(path: ByteString, limit: number): Buffer | undefined {
    const file = this.#openFile(path)
    if (file === undefined) return undefined
    try {
      const room = Buffer.allocUnsafe(Math.min(sizeOf(file), limit) + 1)
      let size = 0
      for (let count = -1; count !== 0 && size < room.length; size += count)
        count = os.check(os.read(file, room.subarray(size), size), 'read', path)
      if (size > limit)
        throw new ImgtoolError('LIMIT_EXCEEDED', `Cannot read "${printable(path)}": more than ${limit} bytes`)
      return room.subarray(0, size)
    } finally {
      os.close(file)
    }
  }

  /** The content of a small file of one line; undefined where there is none. */
  line(path: ByteString): string | undefined {
    return this.read(path, maximumLine)?.toString('latin1').trimEnd()
  }

  isFile(path: ByteString): boolean {
    const file = this.#openFile(path)
    if (file !== undefined) os.close(file)
    return file !== undefined
  }

  /** Whether a name is a directory, in a directory. */
  isDirectory(path: ByteString): boolean {
    const {directory, name} = splitPath(path)
    const place = this.directory(directory)
    if (place === undefined) return false
    try {
      const status = os.statusAt(place, name)
      if (status === os.EACCES) throw denied('look for', this.#full(path))
      return typeof status !== 'number' && (status.mode & os.S_IFMT) === os.S_IFDIR
    } finally {
      os.close(place)
    }
  }

  /** Streams a file. A chunk is valid until the next one is asked for. */
  *chunks(path: ByteString): Generator<Buffer> {
    const file = this.#openFile(path)
    if (file === undefined) throw missing(path)
    try {
      const room = Buffer.allocUnsafe(chunkSize)
      for (let at = 0; ; ) {
        const count = os.check(os.read(file, room, at), 'read', path)
        if (count === 0) return
        yield room.subarray(0, count)
        at += count
      }
    } finally {
      os.close(file)
    }
  }

  /** Opens a directory; undefined where there is none. The caller closes it. */
  directory(path: ByteString): number | undefined {
    let at = check(os.openAt(this.#descriptor, '.', os.O_PLACE), 'open', this.#path)
    for (const name of path.split('/').filter((part) => part !== '')) {
      const next = os.openAt(at, name, os.O_PLACE)
      os.close(at)
      if (next === os.ENOENT) return undefined
      if (next === os.ENOTDIR)
        throw new ImgtoolError(
          'ARCHIVE_INVALID',
          `Cannot read "${printable(path)}": "${printable(name)}" is no directory`,
        )
      at = check(next, 'open', this.#full(path))
    }
    return at
  }

  #full(path: ByteString): ByteString {
    return `${this.#path}/${path}`
  }

  /** @throws {ImgtoolError} BLOB_MISSING where there is none */
  requireDirectory(path: ByteString): number {
    const directory = this.directory(path)
    if (directory === undefined) throw missing(path)
    return directory
  }

  #openFile(path: ByteString): number | undefined {
    const {directory, name} = splitPath(path)
    const place = this.directory(directory)
    if (place === undefined) return undefined
    try {
      return openFile(place, name, path)
    } finally {
      os.close(place)
    }
  }
}

/** As {@link os.check}, with what helps whoever is not root, whose alone a data-root is. */
function check(result: number, action: string, path: ByteString): number {
  if (result === os.EACCES) throw denied(action, path)
  return os.check(result, action, path)
}

function denied(action: string, path: ByteString): ImgtoolError {
  const message = `Cannot ${action} "${printable(path)}": the system does not permit it`
  return new ImgtoolError('PERMISSION_DENIED', message, {hint: 'Run it as root'})
}

/** Bytes of the files that hold an id or a number. */
const maximumLine = 4096

/** The files of one layer. Close it. */
export class LayerFiles {
  readonly root: ConfinedRoot
  readonly #descriptor: number
  readonly #limits: Limits
  readonly #union: LowerLayers | undefined

  /**
   * @param descriptor of the directory, which is closed with this
   * @param union of the layer and those below it, where each keeps only what it changes; closed with this, too
   */
  constructor(descriptor: number, limits: Limits, union?: LowerLayers) {
    this.#descriptor = descriptor
    this.#limits = limits
    this.#union = union
    this.root = new ConfinedRoot(descriptor, alone)
  }

  /**
   * Opens the content of a file as docker does, by the name in the tar; symlinks on the way lead where they would in the layer,
   * and never out of it. What is not there is looked for where symlinks of lower layers lead: for one tree on all drivers it
   * had to be put there.
   *
   * @throws {ImgtoolError} BLOB_MISSING, PATH_ESCAPES
   */
  open(name: ByteString): Content {
    const {directory, name: last} = splitPath(cleanPath(name, this.#limits))
    const file = this.#openIn(directory, last, name) ?? this.#openIn(this.#wayTo(directory), last, name)
    if (file === undefined) throw missing(name)
    let at = 0
    const read = (into: Buffer) => {
      const count = os.check(os.read(file, into, at), 'read', name)
      at += count
      return count
    }
    return {read, close: () => os.close(file)}
  }

  close(): void {
    this.root.close()
    this.#union?.close()
    os.close(this.#descriptor)
  }

  #wayTo(directory: ByteString): ByteString | undefined {
    return this.#union && wayInUnion(this.#union, directory)
  }

  #openIn(directory: ByteString | undefined, last: ByteString, name: ByteString): number | undefined {
    const place = directory === undefined ? undefined : this.root.find(directory)
    return place && openFile(place.descriptor, last, name)
  }
}

function openFile(directory: number, name: ByteString, path: ByteString): number | undefined {
  return openRegular(directory, name, () => irregular(path), path)
}

function irregular(path: ByteString): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read "${printable(path)}": it is no regular file`, {entry: path})
}

function sizeOf(file: number): number {
  return fstatSync(file).size
}

function missing(path: ByteString): ImgtoolError {
  return new ImgtoolError('BLOB_MISSING', `Cannot find "${printable(path)}" in the store`, {
    entry: path,
  })
}
