/** An archive is an index of named byte ranges: a tar, a directory, or either behind a compression or a pipe. */

import type {StoredBytes} from '../compression/inflate-thread.ts'
import type {ByteString} from '../text.ts'
import type {ChunkSource} from '../thread/chunks.ts'

/** The bytes of a blob in an open file. */
export interface OpenBlob extends StoredBytes {
  close(): Promise<void>
}

/** Bytes somewhere in an archive, read by position: nothing is ever extracted. */
export interface Blob {
  /** The member's name, for messages. */
  readonly name: ByteString
  /** Bytes. */
  readonly size: number
  /** Of all files in a layer, bytes, where whoever stored it knows it. */
  readonly filesSize?: number
  /**
   * Reads a range.
   *
   * @param position from the start of the blob, bytes
   * @returns fewer bytes than asked for at the end of the blob only
   * @throws {ImgtoolError} ARCHIVE_TRUNCATED when the archive ends before the blob does
   */
  read(position: number, length: number): Promise<Buffer>
  /**
   * Streams the whole blob in order. A chunk is valid until the next one is asked for.
   *
   * @param buffers what chunks are read into; released when the next chunk is asked for
   */
  stream(buffers?: ChunkSource): AsyncIterable<Buffer>
  /** Opens the bytes where they lie, for another thread to read them; absent for bytes that lie in no file. Close them. */
  openFile?(): Promise<OpenBlob>
}

/** A named member of an archive. */
export interface Member {
  readonly name: ByteString
  readonly kind: 'file' | 'directory' | 'link' | 'other'
  /** Where a symbolic link leads (relative to its directory), or a hard link (relative to the archive). */
  readonly target?: ByteString
  readonly hard?: boolean
  /** The name is stored more than once. */
  readonly repeated: boolean
  readonly blob?: Blob
}

/** A saved image's container file. Whoever opened it closes it. */
export interface Archive extends AsyncDisposable {
  /** As the user named it, for messages. */
  readonly label: string
  /** What it is: `tar`, `directory`, and the compression around a tar where there is one. */
  readonly kind: 'tar' | 'directory'
  readonly compression?: string
  /** Every member by cleaned name (no `./`, no trailing slash), in the order of the archive. */
  readonly members: ReadonlyMap<ByteString, Member>
  /**
   * The bytes under a name, links resolved among the archive's own members.
   *
   * @returns undefined when there is no such member
   * @throws {ImgtoolError} ARCHIVE_INVALID for a link out of the archive, a loop, a directory, a device or a repeated name
   */
  blob(name: ByteString): Blob | undefined
  close(): Promise<void>
}
