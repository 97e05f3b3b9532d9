/** Makes a layer's tar-split as the tar comes by. */
import {posix} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import type {TarWatcher} from '../layer/tar/parser.ts'
import {loadCrc64} from '../os/crc64-library.ts'
import {type ByteString, printable} from '../text.ts'
import {Crc64} from './crc64.ts'
import {segmentSize} from './tar-split.ts'
import {TarSplitLines} from './tar-split-lines.ts'

/** Raw bytes that are kept before they become a segment, although no file has come: room for the largest extension headers. */
const maximumRaw = 4 * segmentSize

/** Something that begins or ends in the bytes to come. */
interface Mark {
  readonly position: number
  /** Undefined for the end of the tar. */
  readonly file: File | undefined
}

interface File {
  readonly name: ByteString
  readonly size: number
}

/**
 * Takes the uncompressed tar of a layer and gives the lines of its tar-split, byte for byte as docker writes them: one segment
 * up to each entry, whatever extension headers it has, and an entry of size 0 for all that has no content.
 *
 * Sparse files alone are written otherwise. Docker names them by their whole size and drops the map that PAX 1.0 keeps before
 * the content, and then saves a layer that is another; here their stored bytes are segments, and docker saves what was loaded.
 *
 * The parts of a layer may come from any thread; nothing here waits. Costs memory for the names of the layer.
 *
 * @see vbatts/tar-split v0.11.1 tar/asm/disassemble.go, archive/tar/reader.go, which dockerd 20.10 has
 */
export class TarSplitWriter implements TarWatcher {
  readonly #lines: TarSplitLines
  readonly #checksum = new Crc64(loadCrc64())
  readonly #names = new Set<ByteString>()
  readonly #marks: Mark[] = []
  /** Copies of raw bytes of earlier chunks. */
  #raw: Buffer[] = []
  #rawSize = 0
  #chunk: Buffer = Buffer.alloc(0)
  /** Where the chunk begins in the tar. */
  #start = 0
  /** How much of the chunk is dealt with. */
  #used = 0
  #file: File | undefined
  /** Bytes of the file that are still to come. */
  #left = 0
  #hasEnded = false

  /** @param write takes the JSON, piece by piece; a piece is valid until it returns */
  constructor(write: (json: Buffer) => void) {
    this.#lines = new TarSplitLines(write)
  }

  entry(name: ByteString, size: number, position: number): void {
    this.#marks.push({position, file: {name, size}})
  }

  ended(position: number): void {
    this.#marks.push({position, file: undefined})
  }

  /**
   * Takes the next bytes of the tar.
   *
   * @param bytes are valid until the call returns
   * @throws {ImgtoolError} ENTRY_INVALID for a name that the layer has twice, which docker refuses
   */
  chunk(bytes: Buffer): void {
    this.#chunk = bytes
    this.#used = 0
    this.#takeContent()
    this.#takeMarks()
    if (this.#file === undefined) this.#keepRaw()
    this.#start += bytes.length
  }

  /** Ends the tar: hands on what is left. The last line is always an empty segment. */
  finish(): void {
    this.#chunk = Buffer.alloc(0)
    this.#used = 0
    this.#endSegment(0)
    this.#lines.segment(this.#chunk)
    this.#lines.flush()
  }

  /** Those in the chunk: the others are in parts of it that come later. */
  #takeMarks(): void {
    let taken = 0
    for (const {position, file} of this.#marks) {
      const at = position - this.#start
      if (at > this.#chunk.length) break
      this.#endSegment(at)
      if (file === undefined) this.#hasEnded = true
      else this.#begin(file)
      taken++
    }
    this.#marks.splice(0, taken)
  }

  #begin(file: File): void {
    const {name, size} = file
    if (size === 0) {
      this.#requireNew(name)
      this.#lines.file(name, 0, undefined)
    } else {
      this.#file = file
      this.#left = size
      this.#takeContent()
    }
  }

  /** Takes what there is of the file, which may be nothing. */
  #takeContent(): void {
    if (this.#file === undefined) return
    const {name, size} = this.#file
    const start = this.#used
    this.#used = Math.min(start + this.#left, this.#chunk.length)
    this.#left -= this.#used - start
    this.#checksum.update(this.#chunk, start, this.#used)
    if (this.#left > 0) return
    this.#file = undefined
    this.#requireNew(name)
    this.#lines.file(name, size, this.#checksum.finish())
  }

  #requireNew(name: ByteString): void {
    const clean = cleanName(name)
    if (this.#names.has(clean)) {
      const message = `Cannot put the layer into a docker store: it holds "${printable(name)}" twice, which docker refuses`
      throw new ImgtoolError('ENTRY_INVALID', message, {entry: name})
    }
    this.#names.add(clean)
  }

  /** Everything up to there in the chunk that is not content becomes a segment. */
  #endSegment(end: number): void {
    const tail = this.#chunk.subarray(this.#used, end)
    this.#used = end
    if (this.#rawSize + tail.length === 0) return
    const bytes = this.#rawSize === 0 ? tail : Buffer.concat([...this.#raw, tail])
    this.#raw = []
    this.#rawSize = 0
    this.#lines.segment(bytes)
  }

  /** Keeps what is left of the chunk; what is no header is cut into segments at once. */
  #keepRaw(): void {
    const end = this.#chunk.length
    const most = this.#hasEnded ? segmentSize : maximumRaw
    while (this.#rawSize + end - this.#used >= most) this.#endSegment(this.#used + most - this.#rawSize)
    const bytes = this.#chunk.subarray(this.#used, end)
    if (bytes.length === 0) return
    this.#raw.push(Buffer.from(bytes))
    this.#rawSize += bytes.length
    this.#used = end
  }
}

/** As docker compares names: `./a/` is `a`, and `/a` is not. @see Go path/filepath, Clean */
function cleanName(name: ByteString): ByteString {
  const bare = name.endsWith('/') ? name.slice(0, -1) : name
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(bare)) return bare
  return posix.normalize(name).replace(/(?<=.)\/$/, '')
}
