/**
 * Reads the tar of a layer from chunks of any size and hands entries on as they come, without a single promise: a layer has
 * a million entries, and the system calls of whoever takes them are synchronous.
 *
 * The grammar is written down as generators that demand bytes; {@link TarParser} satisfies the demands from the chunks.
 */
import {ImgtoolError, isImgtoolError} from '../../errors.ts'
import {checkLimit, type Limits} from '../../limits.ts'
import {blockSize, paddingOf} from '../../tar/blocks.ts'
import type {ByteString} from '../../text.ts'
import {decodeEntry, type Entry, type Extension} from './entry.ts'
import {decodeHeader, type Header, isZeroBlock} from './header.ts'
import {parsePax} from './pax.ts'
import {readSparseMap} from './sparse-map.ts'

/** Takes the entries of a tar, in order: `entry`, then `data` as often as there is content, then `end`. */
export interface EntrySink {
  entry(entry: Entry): void
  /**
   * @param chunk is only valid until the call returns
   * @param position in the file, bytes; between two calls of a sparse file may lie a hole
   */
  data(chunk: Buffer, position: number): void
  end(): void
}

/** Sees where in a tar its entries are, beside the sink that sees what they are. */
export interface TarWatcher {
  /**
   * The headers of an entry end.
   *
   * @param name as the tar spells it, with `./` and the slash of a directory; of a global header, too
   * @param size of the content that follows, bytes; 0 for the pieces of a sparse file
   * @param position in the tar, bytes
   */
  entry(name: ByteString, size: number, position: number): void
  /** The tar ends, before the padding behind it. */
  ended(position: number): void
  /** The next bytes of the tar, after all calls about what begins or ends in them. */
  chunk(bytes: Buffer): void
}

/** What the grammar wants next: bytes in one piece, bytes handed to the sink as they come, or bytes to pass over. */
export type Demand =
  | {readonly kind: 'take'; readonly size: number; readonly optional?: boolean}
  | {readonly kind: 'data'; readonly size: number; readonly position: number}
  | {readonly kind: 'skip'; readonly size: number; readonly optional?: boolean}

/** A part of the grammar: yields demands, gets the bytes of a `take`; undefined where an optional one met the end. */
export type Grammar<Result> = Generator<Demand, Result, Buffer | undefined>

/** Parses one tar. Feed it with `write`, close it with `finish`. */
export class TarParser {
  readonly #sink: EntrySink
  readonly #watcher: TarWatcher | undefined
  readonly #grammar: Grammar<void>
  readonly #place: Place = {entry: '', position: 0}
  #demand: Demand | undefined
  /** Bytes of the demand that are satisfied. */
  #done = 0
  /** Pieces of a `take` that began in an earlier chunk. */
  #pieces: Buffer[] = []

  /**
   * @param onEntry is called once an entry, before it is handed on; it may throw
   * @param watcher is not told of what is {@link skip | skipped}
   */
  constructor(sink: EntrySink, limits: Limits, onEntry: () => void = () => {}, watcher?: TarWatcher) {
    this.#sink = sink
    this.#watcher = watcher
    this.#grammar = readTar({sink, watcher, limits, onEntry, place: this.#place})
    this.#advance(undefined)
  }

  /**
   * Takes the next bytes. What follows the end of the tar is ignored.
   *
   * @throws {ImgtoolError} TAR_INVALID and its siblings, with the entry's name; and what the sink and the watcher throw
   */
  write(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length && this.#demand !== undefined; ) at += this.#satisfy(this.#demand, chunk, at)
    } catch (error) {
      throw this.#locate(error)
    }
    this.#watcher?.chunk(chunk)
  }

  /**
   * Ends the tar. It may lack the zero blocks of its end and the padding of its last entry, but not end within an entry:
   * umoci 0.4 writes layers like that, and Go's reader takes them.
   *
   * @throws {ImgtoolError} TAR_TRUNCATED
   */
  finish(): void {
    if (this.#demand === undefined || this.#mayEnd(this.#demand)) return
    throw this.#locate(new ImgtoolError('TAR_TRUNCATED', 'The tar ends in the middle of an entry'))
  }

  /** Bytes that may be passed over unread: content that the sink does not need. */
  get skippable(): number {
    return this.#demand === undefined || this.#demand.kind === 'take' ? 0 : this.#demand.size - this.#done
  }

  /** The tar has ended; what follows does not matter. */
  get hasEnded(): boolean {
    return this.#demand === undefined
  }

  /** Passes over all that is {@link skippable}, as if it had been written, without the sink's `data`. */
  skip(): void {
    this.#place.position += this.skippable
    if (this.skippable > 0) this.#advance(empty)
  }

  #mayEnd(demand: Demand): boolean {
    if (demand.kind === 'data' || !demand.optional) return false
    return demand.kind === 'skip' || this.#done === 0
  }

  /** @returns how many bytes of the chunk it used */
  #satisfy(demand: Demand, chunk: Buffer, at: number): number {
    const used = Math.min(demand.size - this.#done, chunk.length - at)
    const bytes = chunk.subarray(at, at + used)
    if (demand.kind === 'data') this.#sink.data(bytes, demand.position + this.#done)
    this.#done += used
    this.#place.position += used
    if (this.#done < demand.size) {
      // The chunk is the caller's, who may reuse its memory.
      if (demand.kind === 'take') this.#pieces.push(Buffer.from(bytes))
    } else if (this.#pieces.length > 0) {
      this.#advance(Buffer.concat([...this.#pieces, bytes]))
    } else this.#advance(bytes)
    return used
  }

  /** Runs the grammar to its next demand that wants any bytes. */
  #advance(bytes: Buffer | undefined): void {
    this.#pieces = []
    this.#done = 0
    let step = this.#grammar.next(bytes)
    while (!step.done && step.value.size === 0) step = this.#grammar.next(empty)
    this.#demand = step.done ? undefined : step.value
  }

  #locate(error: unknown): unknown {
    return isImgtoolError(error) && this.#place.entry !== '' ? error.within({entry: this.#place.entry}) : error
  }
}

const empty = Buffer.alloc(0)
const headerBlock: Demand = {kind: 'take', size: blockSize}
const headerBlockOrEnd: Demand = {kind: 'take', size: blockSize, optional: true}

/** Where the parser is. */
interface Place {
  /** Empty between entries. */
  entry: ByteString
  /** In the tar, bytes. */
  position: number
}

interface Reading {
  readonly sink: EntrySink
  readonly watcher: TarWatcher | undefined
  readonly limits: Limits
  readonly onEntry: () => void
  readonly place: Place
}

function* readTar(reading: Reading): Grammar<void> {
  const {watcher, onEntry, place} = reading
  for (;;) {
    place.entry = ''
    const block = yield headerBlockOrEnd
    if (block === undefined) return
    if (isZeroBlock(block)) {
      const next = yield headerBlockOrEnd
      // Some readers stop here and others go on: they would see two trees.
      if (next !== undefined && !isZeroBlock(next))
        throw new ImgtoolError('TAR_INVALID', 'The tar goes on behind a single zero block')
      watcher?.ended(place.position)
      return
    }
    const head = yield* readHeaders(block, reading)
    if (head === undefined) continue
    onEntry()
    yield* readEntry(head, reading)
  }
}

interface Head {
  readonly header: Header
  /** Lies in the caller's chunk: valid until the next demand. */
  readonly block: Buffer
  readonly extension: Extension
}

/**
 * A header with the extension headers before it; undefined for what is no entry: a volume label, and a global header, whose
 * records are ignored as docker does, since they come from `git archive` and name no entry.
 *
 * @see https://go.dev/src/archive/tar/reader.go, next: docker's reader forgets what extension headers before a global one say
 */
function* readHeaders(first: Buffer, {watcher, limits, place}: Reading): Grammar<Head | undefined> {
  let extension: Extension = {}
  for (let block = first; ; block = (yield headerBlock)!) {
    const header = decodeHeader(block)
    place.entry = extension.longName ?? header.name
    if (!'xgLKV'.includes(header.type)) return {header, block, extension}
    if (header.size < 0) throw new ImgtoolError('TAR_INVALID', 'The size of an extension header is negative')
    if (header.type !== 'V') checkLimit(limits, 'extensionHeader', header.size, 'bytes of an extension header')
    if (header.type === 'V' || header.type === 'g') {
      const what = header.type === 'V' ? 'volume label' : 'global header'
      if (isExtended(extension)) throw new ImgtoolError('TAR_INVALID', `An extension header precedes a ${what}`)
      yield skip(header.size)
      if (header.type === 'g') watcher?.entry(header.name, 0, place.position)
      yield skipPadding(header.size)
      return undefined
    }
    extension = extend(extension, header.type, (yield {kind: 'take', size: header.size})!)
    yield skipPadding(header.size)
  }
}

function isExtended({pax, longName, longLink}: Extension): boolean {
  return (pax ?? longName ?? longLink) !== undefined
}

/** Adds an extension header; two that speak of the same thing are read differently by every reader, and refused. */
function extend(extension: Extension, type: string, body: Buffer): Extension {
  const repeated =
    (type === 'x' && isExtended(extension)) ||
    (type === 'L' && (extension.pax ?? extension.longName) !== undefined) ||
    (type === 'K' && (extension.pax ?? extension.longLink) !== undefined)
  if (repeated) throw new ImgtoolError('TAR_INVALID', 'An entry has two extension headers that compete')
  if (type === 'x') return {...extension, pax: parsePax(body)}
  const nul = body.indexOf(0)
  const name = body.toString('latin1', 0, nul === -1 ? body.length : nul)
  return type === 'L' ? {...extension, longName: name} : {...extension, longLink: name}
}

function* readEntry({header, block, extension}: Head, {sink, watcher, limits, place}: Reading): Grammar<void> {
  const {entry, name, stored, records} = decodeEntry(header, extension, limits)
  const sparse = yield* readSparseMap(
    {isOldGnu: header.type === 'S', block, stored, records, ordered: extension.pax ?? []},
    limits,
  )
  if (sparse !== undefined && entry.kind !== 'file')
    throw new ImgtoolError('TAR_INVALID', `A ${entry.kind} has a map of a sparse file`)
  watcher?.entry(name, sparse === undefined ? stored : 0, place.position)
  if (sparse === undefined) {
    sink.entry(entry)
    yield {kind: 'data', size: stored, position: 0}
  } else {
    sink.entry({...entry, size: sparse.size, pieces: sparse.pieces})
    for (const {offset, length} of sparse.pieces) yield {kind: 'data', size: length, position: offset}
  }
  sink.end()
  yield {...skipPadding(stored), optional: true}
}

function skip(size: number): Demand & {kind: 'skip'} {
  return {kind: 'skip', size}
}

function skipPadding(size: number): Demand & {kind: 'skip'} {
  return skip(paddingOf(size))
}
