/** Puts the tar of a layer together from its pieces and the files of the layer, and checks every file on the way. */
import {setImmediate} from 'node:timers/promises'
import type {Blob} from '../archive/archive.ts'
import {ImgtoolError} from '../errors.ts'
import {markUnreadable} from '../image/damaged.ts'
import {loadCrc64} from '../os/crc64-library.ts'
import {type ByteString, printable} from '../text.ts'
import {type ChunkSource, Chunks} from '../thread/chunks.ts'
import {Crc64} from './crc64.ts'
import type {Piece} from './tar-split.ts'

/** The content of one file, read in order. Whoever opened it closes it. */
export interface Content {
  /** @returns bytes that were written to the beginning of the buffer, 0 at the end */
  read(into: Buffer): number
  close(): void
}

/** Where the parts of a tar come from. Whoever opened it closes it. */
export interface LayerParts {
  /** In order; once. */
  readonly pieces: Iterator<Piece>
  /** Gives the content of a file by its name in the tar. */
  open(name: ByteString): Content
  close(): void
}

/** Chunks after which the event loop gets its turn. */
const chunksPerTurn = 16

/** The tar of a layer as a blob, which nobody stored: it is put together as it is read. */
export class LayerTar implements Blob {
  readonly name: ByteString
  readonly filesSize?: number
  readonly #open: () => LayerParts
  #size: number | undefined
  #cursor: Cursor | undefined

  /** @param filesSize of all files together, bytes, where it is known without reading */
  constructor(name: ByteString, open: () => LayerParts, filesSize?: number) {
    this.name = name
    this.#open = open
    if (filesSize !== undefined) this.filesSize = filesSize
  }

  /** Costs reading all that is no content, at the first time. */
  get size(): number {
    if (this.#size !== undefined) return this.#size
    return this.#reading(() => {
      let size = 0
      for (const piece of this.#pieces()) size += sizeOf(piece)
      this.#size = size
      return size
    })
  }

  /** Is quick as long as positions only go forward, and passes over contents unread. */
  async read(position: number, length: number): Promise<Buffer> {
    return this.#reading(() => {
      if (this.#cursor === undefined || position < this.#cursor.position) {
        this.close()
        this.#cursor = new Cursor(this.#open())
      }
      return this.#cursor.read(position, length)
    })
  }

  async *stream(buffers: ChunkSource = new Chunks(1)): AsyncGenerator<Buffer> {
    let turn = 0
    for (const chunk of this.#chunks(buffers)) {
      // Signals are handled by the event loop, which nothing here would let run.
      if (turn++ % chunksPerTurn === 0) await setImmediate()
      yield chunk
    }
  }

  /** Lets go of what reading by position keeps open; it may be read again. */
  close(): void {
    this.#cursor?.close()
    this.#cursor = undefined
  }

  #reading<Result>(use: () => Result): Result {
    try {
      return use()
    } catch (error) {
      markUnreadable(this, error)
      throw error
    }
  }

  *#pieces(): Generator<Piece> {
    const parts = this.#open()
    try {
      yield* {[Symbol.iterator]: () => parts.pieces}
    } finally {
      parts.close()
    }
  }

  *#chunks(buffers: ChunkSource): Generator<Buffer> {
    const parts = this.#reading(this.#open)
    const assembly = new Assembly(parts, buffers)
    try {
      for (const piece of {[Symbol.iterator]: () => parts.pieces}) yield* assembly.add(piece)
      yield* assembly.handOn()
    } catch (error) {
      markUnreadable(this, error)
      throw error
    } finally {
      assembly.close()
      parts.close()
    }
  }
}

type File = Piece & {readonly kind: 'file'}

function sizeOf(piece: Piece): number {
  return piece.kind === 'file' ? piece.size : piece.bytes.length
}

/** A tar under construction, in chunks that are filled up: most pieces are small. */
class Assembly {
  readonly #parts: LayerParts
  readonly #buffers: ChunkSource
  readonly #checksum = new Crc64(loadCrc64())
  #chunk: Buffer
  #filled = 0

  constructor(parts: LayerParts, buffers: ChunkSource) {
    this.#parts = parts
    this.#buffers = buffers
    this.#chunk = buffers.take()
  }

  /** @throws {ImgtoolError} SIZE_MISMATCH and DIGEST_MISMATCH for a file that is not what it was, with its name */
  *add(piece: Piece): Generator<Buffer> {
    if (piece.kind === 'segment') yield* this.#addSegment(piece.bytes)
    else if (piece.size > 0) yield* this.#addFile(piece)
  }

  /** Hands on what there is. */
  *handOn(): Generator<Buffer> {
    if (this.#filled > 0) yield this.#chunk.subarray(0, this.#filled)
    this.#buffers.release(this.#chunk)
    this.#chunk = this.#buffers.take()
    this.#filled = 0
  }

  close(): void {
    this.#buffers.release(this.#chunk)
  }

  *#addSegment(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === this.#chunk.length) yield* this.handOn()
      const copied = bytes.copy(this.#chunk, this.#filled, at)
      this.#filled += copied
      at += copied
    }
  }

  *#addFile(file: File): Generator<Buffer> {
    const content = this.#parts.open(file.name)
    try {
      let size = 0
      for (;;) {
        if (this.#filled === this.#chunk.length) yield* this.handOn()
        const count = content.read(this.#chunk.subarray(this.#filled))
        size += count
        if (count === 0 || size > file.size) break
        this.#checksum.update(this.#chunk, this.#filled, this.#filled + count)
        this.#filled += count
      }
      if (size !== file.size) throw wrongSize(file, size)
      requireChecksum(file, this.#checksum)
    } finally {
      content.close()
    }
  }
}

/** A place in a tar that moves forward only. */
class Cursor {
  /** Where the next piece begins, less what is left of the last. */
  position = 0
  readonly #parts: LayerParts
  #piece: Piece | undefined
  /** How much of the piece is behind. */
  #passed = 0
  #content: Content | undefined

  constructor(parts: LayerParts) {
    this.#parts = parts
  }

  /** @returns fewer bytes at the end of the tar only */
  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    this.#passTo(position)
    while (filled < length && this.#current() !== undefined) filled += this.#take(bytes.subarray(filled))
    return bytes.subarray(0, filled)
  }

  close(): void {
    this.#content?.close()
    this.#content = undefined
    this.#parts.close()
  }

  #passTo(position: number): void {
    for (let piece = this.#current(); piece !== undefined && this.position < position; piece = this.#current()) {
      const step = Math.min(position - this.position, sizeOf(piece) - this.#passed)
      // What a file has before the place where it is read first is read with it.
      if (this.#passed + step < sizeOf(piece) && piece.kind === 'file') this.#readAway(step)
      else this.#pass(step)
    }
  }

  #readAway(size: number): void {
    const room = Buffer.allocUnsafe(Math.min(size, 65_536))
    for (let left = size; left > 0; ) left -= this.#take(room.subarray(0, left))
  }

  /** The piece that the place is in. */
  #current(): Piece | undefined {
    while (this.#piece === undefined || this.#passed === sizeOf(this.#piece)) {
      const {done, value} = this.#parts.pieces.next()
      this.#content?.close()
      this.#content = undefined
      if (done) return undefined
      this.#piece = value as Piece
      this.#passed = 0
    }
    return this.#piece
  }

  #take(into: Buffer): number {
    const piece = this.#piece!
    const room = into.subarray(0, sizeOf(piece) - this.#passed)
    const count = piece.kind === 'file' ? this.#readFile(piece, room) : piece.bytes.copy(room, 0, this.#passed)
    this.#pass(count)
    return count
  }

  #readFile(file: File, into: Buffer): number {
    this.#content ??= this.#parts.open(file.name)
    const count = this.#content.read(into)
    if (count === 0) throw wrongSize(file, this.#passed)
    return count
  }

  #pass(size: number): void {
    this.#passed += size
    this.position += size
  }
}

function requireChecksum({name, checksum}: File, running: Crc64): void {
  const {high, low} = running.finish()
  if (checksum === undefined || (high === checksum.high && low === checksum.low)) return
  const message = `Cannot read "${printable(name)}" of the layer: its content was changed, its tar-split has another checksum`
  throw new ImgtoolError('DIGEST_MISMATCH', message, {entry: name})
}

function wrongSize({name, size}: File, actual: number): ImgtoolError {
  const found = actual > size ? 'more' : String(actual)
  const message = `Cannot read "${printable(name)}" of the layer: it has ${found} bytes, expected ${size}`
  return new ImgtoolError('SIZE_MISMATCH', message, {entry: name, expected: String(size), actual: found})
}
