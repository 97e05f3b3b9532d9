/** Makes a layer's tar-split as the tar comes by. */
import {posix} from 'node:path'
import {ImgtoolError} from '../errors.ts'
import type {Entry} from '../layer/tar/entry.ts'
import {type EntrySink, TarParser} from '../layer/tar/parser.ts'
import type {Limits} from '../limits.ts'
import {type ByteString, printable} from '../text.ts'
import {Crc64} from './crc64.ts'
import {segmentSize} from './tar-split.ts'
import {TarSplitLines} from './tar-split-lines.ts'

/** Raw bytes that are kept before they become a segment, although no file has come: room for the largest extension headers. */
const maximumRaw = 4 * segmentSize

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
export class TarSplitWriter implements EntrySink {
  readonly #parser: TarParser
  readonly #lines: TarSplitLines
  readonly #checksum = new Crc64()
  readonly #names = new Set<ByteString>()
  /** Copies of raw bytes of earlier chunks. */
  #raw: Buffer[] = []
  #rawSize = 0
  #chunk: Buffer = Buffer.alloc(0)
  /** Where the chunk begins in the tar. */
  #start = 0
  /** How much of the chunk is dealt with. */
  #used = 0
  #file: {readonly name: ByteString; readonly size: number} | undefined

  /** @param write takes the JSON, piece by piece; a piece is valid until it returns */
  constructor(limits: Limits, write: (json: Buffer) => void) {
    this.#lines = new TarSplitLines(write)
    this.#parser = new TarParser(this, limits)
  }

  /**
   * Takes the next bytes of the tar.
   *
   * @param chunk is only valid until the call returns
   * @throws {ImgtoolError} TAR_INVALID and its siblings; ENTRY_INVALID for a name that the layer has twice, which docker refuses
   */
  update(chunk: Buffer): void {
    this.#chunk = chunk
    this.#used = 0
    if (!this.#parser.hasEnded) {
      this.#parser.write(chunk)
      if (this.#parser.hasEnded) this.#endSegment(this.#parser.position)
    }
    if (this.#file === undefined) this.#keepRaw(chunk.length)
    this.#start += chunk.length
  }

  /**
   * Ends the tar: hands on what is left. The last line is always an empty segment.
   *
   * @throws {ImgtoolError} TAR_TRUNCATED
   */
  finish(): void {
    this.#parser.finish()
    this.#chunk = Buffer.alloc(0)
    this.#used = 0
    this.#endSegment(this.#start)
    this.#lines.segment(this.#chunk)
    this.#lines.flush()
  }

  /** Of the tar's parser, for nobody else. */
  entry(entry: Entry, name: ByteString): void {
    this.#endSegment(this.#parser.position)
    const isFile = entry.size > 0 && entry.pieces === undefined
    if (isFile) this.#file = {name, size: entry.size}
    else this.#addFile(name)
  }

  /** Of the tar's parser, for nobody else. */
  data(bytes: Buffer): void {
    if (this.#file === undefined) return
    const start = this.#used
    this.#used += bytes.length
    this.#checksum.update(this.#chunk, start, this.#used)
  }

  /** Of the tar's parser, for nobody else. */
  end(): void {
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    this.#requireNew(file.name)
    this.#lines.file(file.name, file.size, this.#checksum.finish())
  }

  /** Of the tar's parser, for nobody else. */
  global(name: ByteString): void {
    this.#endSegment(this.#parser.position)
    this.#addFile(name)
  }

  #addFile(name: ByteString): void {
    this.#requireNew(name)
    this.#lines.file(name, 0, undefined)
  }

  #requireNew(name: ByteString): void {
    const clean = cleanName(name)
    if (this.#names.has(clean)) {
      const message = `Cannot put the layer into a docker store: it holds "${printable(name)}" twice, which docker refuses`
      throw new ImgtoolError('ENTRY_INVALID', message, {entry: name})
    }
    this.#names.add(clean)
  }

  /** Everything up to here in the tar that is not content becomes a segment. */
  #endSegment(end: number): void {
    const to = end - this.#start
    const tail = this.#chunk.subarray(this.#used, to)
    this.#used = to
    if (this.#rawSize + tail.length === 0) return
    const bytes = this.#rawSize === 0 ? tail : Buffer.concat([...this.#raw, tail])
    this.#raw = []
    this.#rawSize = 0
    this.#lines.segment(bytes)
  }

  /** Keeps what is raw of the chunk up to there; what is no header is cut into segments at once. */
  #keepRaw(end: number): void {
    const most = this.#parser.hasEnded ? segmentSize : maximumRaw
    while (this.#rawSize + end - this.#used >= most) this.#endSegment(this.#start + this.#used + most - this.#rawSize)
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
