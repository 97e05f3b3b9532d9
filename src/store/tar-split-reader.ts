/** Puts a layer's tar together again from its tar-split and the files of the layer, and checks every file on the way. */
import {decompress} from '../compression/decompress.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {type ByteString, printable} from '../text.ts'
import type {ChunkSource} from '../thread/chunks.ts'
import {Crc64} from './crc64.ts'
import {maximumLine, type Piece, parseLine} from './tar-split.ts'

/** The content of one file, read in order. Whoever opened it closes it. */
export interface Content {
  /** @returns bytes that were written to the beginning of the buffer, 0 at the end */
  read(into: Buffer): number
  close(): void
}

/** What a tar-split says of its layer. */
export interface TarSplitFacts {
  /** Bytes of the tar. */
  readonly size: number
  /** Bytes of all files together. */
  readonly contentSize: number
}

/**
 * Reads the pieces of a tar-split, several at a time.
 *
 * @param stored the gzip
 * @throws {ImgtoolError} COMPRESSION_INVALID, DOCUMENT_INVALID with the line, LIMIT_EXCEEDED
 */
export async function* readTarSplit(stored: AsyncIterable<Buffer>, limits: Limits): AsyncGenerator<Piece[]> {
  const parser = new LineParser(limits)
  for await (const chunk of decompress(stored, 'gzip')) yield parser.write(chunk)
  parser.finish()
}

/**
 * Sums up a tar-split. Costs decompressing it.
 *
 * @throws {ImgtoolError} as {@link readTarSplit}
 */
export async function measureTarSplit(stored: AsyncIterable<Buffer>, limits: Limits): Promise<TarSplitFacts> {
  let size = 0
  let contentSize = 0
  for await (const pieces of readTarSplit(stored, limits)) {
    for (const piece of pieces) {
      if (piece.kind === 'file') contentSize += piece.size
      size += piece.kind === 'file' ? piece.size : piece.bytes.length
    }
  }
  return {size, contentSize}
}

/**
 * Puts the tar together.
 *
 * @param open gives the content of a file by its name in the tar; not called for what has none
 * @param buffers what the tar is written to; released when the next chunk is asked for
 * @throws {ImgtoolError} SIZE_MISMATCH and DIGEST_MISMATCH for a file that is not what it was, with its name; as
 *   {@link readTarSplit}; and what `open` throws
 */
export async function* assembleTar(
  pieces: AsyncIterable<readonly Piece[]>,
  open: (name: ByteString) => Content,
  buffers: ChunkSource,
): AsyncGenerator<Buffer> {
  const assembly = new Assembly(open, buffers)
  try {
    for await (const some of pieces) for (const piece of some) yield* assembly.add(piece)
    yield* assembly.handOn()
  } finally {
    assembly.close()
  }
}

type File = Piece & {readonly kind: 'file'}

/** A tar under construction, in chunks that are filled up: most pieces are small. */
class Assembly {
  readonly #open: (name: ByteString) => Content
  readonly #buffers: ChunkSource
  readonly #checksum = new Crc64()
  #chunk: Buffer
  #filled = 0

  constructor(open: (name: ByteString) => Content, buffers: ChunkSource) {
    this.#open = open
    this.#buffers = buffers
    this.#chunk = buffers.take()
  }

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
    const content = this.#open(file.name)
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
      const {high, low} = this.#checksum.finish()
      if (high !== file.checksum!.high || low !== file.checksum!.low) throw changed(file)
    } finally {
      content.close()
    }
  }
}

/** Cuts the JSON into lines and parses them. */
class LineParser {
  readonly #limits: Limits
  #rest: Buffer[] = []
  #restSize = 0
  #position = 0
  #files = 0
  #bytes = 0
  #hasEnded = false

  constructor(limits: Limits) {
    this.#limits = limits
  }

  write(chunk: Buffer): Piece[] {
    const pieces: Piece[] = []
    let start = 0
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      pieces.push(this.#parse(this.#line(chunk.subarray(start, end))))
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
    return pieces
  }

  finish(): void {
    if (this.#restSize > 0 || this.#position === 0) throw invalid('it ends in the middle of a line')
  }

  #line(bytes: Buffer): ByteString {
    if (this.#restSize === 0) return bytes.toString('latin1')
    const line = Buffer.concat([...this.#rest, bytes]).toString('latin1')
    this.#rest = []
    this.#restSize = 0
    return line
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#restSize += bytes.length
    if (this.#restSize > maximumLine) throw invalid(`line ${this.#position} has more than ${maximumLine} bytes`)
    this.#rest.push(Buffer.from(bytes))
  }

  #parse(line: ByteString): Piece {
    const piece = parseLine(line, this.#position++)
    // Only the last line may be an empty segment, so that no number of lines comes to nothing.
    if (this.#hasEnded) throw invalid('it goes on behind its end')
    if (piece.kind === 'file') checkLimit(this.#limits, 'entries', ++this.#files, 'entries of a layer')
    else if (piece.bytes.length === 0) this.#hasEnded = true
    this.#bytes += piece.kind === 'file' ? piece.size : piece.bytes.length
    checkLimit(this.#limits, 'bytes', this.#bytes, 'bytes of a layer')
    return piece
  }
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('DOCUMENT_INVALID', `Cannot read the tar-split of the layer: ${why}`)
}

function wrongSize({name, size}: File, actual: number): ImgtoolError {
  const found = actual > size ? 'more' : String(actual)
  const message = `Cannot read "${printable(name)}" of the layer: it has ${found} bytes, its tar-split says ${size}`
  return new ImgtoolError('SIZE_MISMATCH', message, {entry: name, expected: String(size), actual: found})
}

function changed({name}: File): ImgtoolError {
  const message = `Cannot read "${printable(name)}" of the layer: its content was changed, its tar-split has another checksum`
  return new ImgtoolError('DIGEST_MISMATCH', message, {entry: name})
}
