/** Changes as the entries of a layer's tar: the inverse of what decodes them. */
import type {ByteString} from '../text.ts'
import {type ChangeSink, isReserved, notPlain, opaqueMarkOf, pathInTar, removalOf} from './change.ts'
import type {Entry} from './tar/entry.ts'
import {TarWriter} from './tar/writer.ts'

/** Takes changes and gives the bytes of a layer's tar; the end of the tar is left to the caller. */
export class TarChanges implements ChangeSink {
  readonly #writer: TarWriter

  /** @param write takes the bytes in order; content is valid until the call of {@link data} returns */
  constructor(write: (bytes: Buffer) => void) {
    this.#writer = new TarWriter(write)
  }

  /** @throws {ImgtoolError} WHITEOUT_INVALID for a file whose name would be a whiteout */
  add(entry: Entry): void {
    requirePlain(entry.path)
    const link = entry.kind === 'hardlink' ? pathInTar(entry.link) : entry.link
    this.#writer.entry({...entry, path: pathInTar(entry.path), link})
  }

  data(chunk: Buffer, position: number): void {
    this.#writer.data(chunk, position)
  }

  end(): void {
    this.#writer.end()
  }

  remove(path: ByteString): void {
    this.#mark(removalEntry(path))
  }

  opaque(path: ByteString): void {
    this.#mark(opaqueEntry(path))
  }

  discard(): void {
    // Whoever reads the tar discards it.
  }

  #mark(entry: Entry): void {
    this.#writer.entry(entry)
    this.#writer.end()
  }
}

/** A file that is called like a deletion would become one. @throws {ImgtoolError} WHITEOUT_INVALID */
export function requirePlain(path: ByteString): void {
  if (isReserved(path)) throw notPlain(path)
}

/** The whiteout that deletes a path. */
export function removalEntry(path: ByteString): Entry {
  return markEntry(removalOf(path))
}

/** The whiteout that deletes what is in a directory. */
export function opaqueEntry(path: ByteString): Entry {
  return markEntry(opaqueMarkOf(path))
}

/** An empty file of root, from 1970. @see moby pkg/archive/changes.go, ExportChanges, for the mode */
function markEntry(path: ByteString): Entry {
  const [nobody, never] = [{uid: 0, gid: 0}, {mtime: {seconds: 0, nanoseconds: 0}}]
  const plain = {link: '', deviceMajor: 0, deviceMinor: 0, xattrs: new Map()}
  return {path, kind: 'file', mode: 0o600, size: 0, ...nobody, ...never, ...plain}
}
