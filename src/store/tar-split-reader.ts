/** Reads the pieces of a tar-split, which is somebody else's file: nothing of it is believed, and no line may be too long. */
import {gunzipSync} from 'node:zlib'
import {damaged} from '../compression/codec.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {GzipMember, hasZlib} from '../os/zlib.ts'
import type {ByteString} from '../text.ts'
import {maximumLine, type Piece, parseLine} from './tar-split.ts'

/** Bytes of JSON at a time. */
const chunkSize = 256 * 1024
/** Most JSON that is taken where it can only be decompressed in one go. */
const maximumWhole = 512 * 1024 * 1024

/**
 * Reads the pieces in order, without a promise between them: a layer has hundreds of thousands.
 *
 * @param stored the gzip, in chunks that are valid until the next one is asked for
 * @throws {ImgtoolError} COMPRESSION_INVALID, DOCUMENT_INVALID with the line, LIMIT_EXCEEDED
 */
export function* readTarSplit(stored: Iterable<Buffer>, limits: Limits): Generator<Piece> {
  const parser = new LineParser(limits)
  for (const chunk of gunzip(stored)) yield* parser.write(chunk)
  parser.finish()
}

/** Decompresses one member; nothing may follow it. */
function* gunzip(stored: Iterable<Buffer>): Generator<Buffer> {
  if (!hasZlib()) {
    yield gunzipWhole(Buffer.concat([...stored].map((chunk) => Buffer.from(chunk))))
    return
  }
  const member = new GzipMember()
  try {
    const room = Buffer.allocUnsafe(chunkSize)
    let hasEnded = false
    for (const chunk of stored) {
      for (let at = 0; at < chunk.length; ) {
        if (hasEnded) throw damaged('gzip', 'other data follows the member')
        const {consumed, produced, ended} = inflate(member, chunk.subarray(at), room)
        hasEnded = ended
        at += consumed
        if (produced > 0) yield room.subarray(0, produced)
      }
    }
    if (!hasEnded) throw damaged('gzip', 'it ends too early')
  } finally {
    member.close()
  }
}

function inflate(member: GzipMember, input: Buffer, output: Buffer) {
  try {
    return member.inflate(input, output)
  } catch (error) {
    throw damaged('gzip', error instanceof Error ? error.message : '', error)
  }
}

function gunzipWhole(stored: Buffer): Buffer {
  try {
    return gunzipSync(stored, {maxOutputLength: maximumWhole})
  } catch (error) {
    throw damaged('gzip', error instanceof Error ? error.message : '', error)
  }
}

/** Cuts the JSON into lines and parses them. */
class LineParser {
  readonly #limits: Limits
  #rest: Buffer[] = []
  #restSize = 0
  #position = 0
  #files = 0
  #segments = 0
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
    else checkLimit(this.#limits, 'entries', ++this.#segments, 'segments of a layer')
    this.#hasEnded = piece.kind === 'segment' && piece.bytes.length === 0
    this.#bytes += piece.kind === 'file' ? piece.size : piece.bytes.length
    checkLimit(this.#limits, 'bytes', this.#bytes, 'bytes of a layer')
    return piece
  }
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('DOCUMENT_INVALID', `Cannot read the tar-split of the layer: ${why}`)
}
