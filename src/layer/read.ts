/** Reads a layer once: decompresses, hashes, checks, parses, and refuses in the end what is not what it was said to be. */
import type {Blob} from '../archive/archive.ts'
import {decompress} from '../compression/decompress.ts'
import {type Compression, detectCompression} from '../compression/detect.ts'
import type {InflateThread} from '../compression/inflate-thread.ts'
import {type Digest, digestAlgorithm, type RunningDigest} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import type {Chunks} from '../thread/chunks.ts'
import {type Hasher, inlineHasher} from './hasher.ts'
import {skim} from './skim.ts'
import {type EntrySink, TarParser, type TarWatcher} from './tar/parser.ts'

/** What is known of a layer before it is read. */
export interface LayerSource {
  readonly index: number
  readonly blob: Blob
  readonly diffID?: Digest
  readonly digest?: Digest
}

/** What is known after. */
export interface LayerFacts {
  readonly diffID: Digest
  /** Digest of the stored bytes, where one was given to compare with. */
  readonly digest?: Digest
  readonly compression: Compression
  /** Bytes of the uncompressed tar. */
  readonly tarSize: number
  readonly entries: number
}

/** What all layers of one image have used of their common limits. */
export interface Budget {
  readonly limits: Limits
  /** With directories that only paths name. */
  entries: number
  bytes: number
}

/** What reading may use beside the calling thread. */
export interface ReadTools {
  readonly hasher: Hasher
  readonly inflater?: InflateThread | undefined
  /** Memory that layers are read into, for threads to see. */
  readonly chunks: Chunks
}

export interface ReadOptions {
  /** Is told now and then how many stored bytes have been read. */
  readonly onRead?: ((bytes: number) => void) | undefined
  /** Sees the uncompressed tar. */
  readonly watcher?: TarWatcher | undefined
  /** Ends the run between two chunks. */
  readonly signal?: AbortSignal | undefined
  readonly tools?: ReadTools | undefined
  /** Takes what is wrong with the tar and with digests, instead of it being thrown; bytes are hashed to the end all the same. */
  readonly onDamage?: ((error: ImgtoolError) => void) | undefined
}

/** @returns a budget for the layers of one image */
export function startBudget(limits: Limits): Budget {
  return {limits, entries: 0, bytes: 0}
}

/**
 * Counts an entry, or a directory that is made although no entry describes it: one path can name thousands.
 *
 * @throws {ImgtoolError} LIMIT_EXCEEDED
 */
export function countEntry(budget: Budget): void {
  checkLimit(budget.limits, 'entries', ++budget.entries, 'entries of the image')
}

/** Bytes of the head that tell the compression. */
const headSize = 64
/** Bytes from where on the ratio of a compressed layer counts: small layers of zeros are common. */
const ratioFrom = 64 * 1024 * 1024

/**
 * Reads a layer into a sink.
 *
 * The sink sees entries before the digests are known to be right: whoever keeps what it made must wait for this to return.
 *
 * @throws {ImgtoolError} DIGEST_MISMATCH, TAR_INVALID and siblings, COMPRESSION_INVALID, LIMIT_EXCEEDED, BLOB_MISSING,
 *   with the layer's number; and what the sink throws
 */
export async function readLayer(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  options: ReadOptions = {},
): Promise<LayerFacts> {
  const reading = rewriteLayer(layer, sink, budget, () => [], options)
  for (let step = await reading.next(); ; step = await reading.next()) {
    if (step.done) return step.value
  }
}

/**
 * Reads a layer into a sink that makes bytes of it.
 *
 * @param drain takes what the sink has made, all of it used before the next of the layer is read
 * @throws {ImgtoolError} as {@link readLayer}
 */
export async function* rewriteLayer(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  drain: () => Iterable<Buffer>,
  options: ReadOptions = {},
): AsyncGenerator<Buffer, LayerFacts> {
  try {
    let entries = 0
    const parser = startParser(sink, budget, () => entries++, options.watcher)
    const parse = parsing(options.onDamage)
    const reading = new TarReading(layer, budget, options)
    for await (const chunk of reading.tar()) {
      parse(() => parser.write(chunk))
      yield* drain()
    }
    parse(() => parser.finish())
    yield* drain()
    return {...reading.finish(), entries}
  } catch (error) {
    throw locate(error, layer)
  }
}

/**
 * Reads what a layer has before its contents. An uncompressed layer costs its headers; a compressed one is read whole, and
 * verified.
 *
 * @param sink gets contents in part or not at all
 * @throws {ImgtoolError} as {@link readLayer}
 */
export async function readHeaders(
  layer: LayerSource,
  sink: EntrySink,
  budget: Budget,
  options: ReadOptions = {},
): Promise<void> {
  try {
    if ((await compressionOf(layer.blob)) !== 'none') await readLayer(layer, sink, budget, options)
    else await skim(layer.blob, startParser(sink, budget), {onRead: () => !options.signal?.throwIfAborted()})
  } catch (error) {
    throw locate(error, layer)
  }
}

function startParser(sink: EntrySink, budget: Budget, onEntry: () => void = () => {}, watcher?: TarWatcher): TarParser {
  const count = () => {
    onEntry()
    countEntry(budget)
  }
  return new TarParser(sink, budget.limits, count, watcher)
}

/** Runs the steps of a parser; where damage is taken, only until one of them is refused. */
function parsing(onDamage: ReadOptions['onDamage']): (step: () => void) => void {
  if (onDamage === undefined) return (step) => step()
  let isWhole = true
  return (step) => {
    if (!isWhole) return
    try {
      step()
    } catch (error) {
      if (!(error instanceof ImgtoolError) || error.code === 'LIMIT_EXCEEDED') throw error
      isWhole = false
      onDamage(error)
    }
  }
}

function locate(error: unknown, layer: LayerSource): unknown {
  return error instanceof ImgtoolError ? error.within({layer: layer.index}) : error
}

/** A layer on its way: its tar piece by piece, and in the end whether it was what it was said to be. */
export class TarReading {
  readonly #layer: LayerSource
  readonly #budget: Budget
  readonly #options: ReadOptions
  #compression: Compression = 'none'
  #tarSize = 0
  #plain: RunningDigest | undefined
  #stored: Tar['storedDigest'] | undefined

  constructor(layer: LayerSource, budget: Budget, options: ReadOptions = {}) {
    this.#layer = layer
    this.#budget = budget
    this.#options = options
  }

  /**
   * The decompressed layer, once. A piece is valid until the next one is asked for.
   *
   * @throws {ImgtoolError} COMPRESSION_INVALID, LIMIT_EXCEEDED, BLOB_MISSING
   */
  async *tar(): AsyncGenerator<Buffer> {
    const {blob, diffID, digest} = this.#layer
    const {tools, onRead = () => {}} = this.#options
    this.#compression = await compressionOf(blob)
    // The bytes of an uncompressed layer are hashed once, for both of its digests.
    const isSame = this.#compression === 'none' && algorithmOf(digest) === algorithmOf(diffID)
    const algorithm = isSame || digest === undefined ? undefined : algorithmOf(digest)
    const tar = openTar(blob, this.#compression, {algorithm, tools, onRead})
    const plain = (tools?.hasher ?? inlineHasher).start(algorithmOf(diffID), blob.size)
    this.#plain = plain
    if (!isSame) this.#stored = tar.storedDigest
    for await (const chunk of tar.chunks) {
      this.#options.signal?.throwIfAborted()
      this.#count(chunk)
      plain.update(chunk)
      yield chunk
    }
  }

  /**
   * Compares the digests, after the last piece.
   *
   * @throws {ImgtoolError} DIGEST_MISMATCH
   */
  finish(): Omit<LayerFacts, 'entries'> {
    const {index, digest: expected, diffID: expectedDiffID} = this.#layer
    const {onDamage} = this.#options
    const diffID = this.#plain!.digest()
    checkDigest(expectedDiffID, diffID, `the uncompressed tar of layer ${index}`, onDamage)
    const digest = this.#stored === undefined ? expected && diffID : this.#stored()
    checkDigest(expected, digest, `layer ${index}`, onDamage)
    return {diffID, ...(digest && {digest}), compression: this.#compression, tarSize: this.#tarSize}
  }

  #count(chunk: Buffer): void {
    const {limits} = this.#budget
    this.#tarSize += chunk.length
    this.#budget.bytes += chunk.length
    checkLimit(limits, 'bytes', this.#budget.bytes, 'decompressed bytes of the image')
    if (this.#compression !== 'none' && this.#compression !== 'zstd' && this.#tarSize > ratioFrom) {
      const ratio = Math.floor(this.#tarSize / this.#layer.blob.size)
      checkLimit(limits, 'ratio', ratio, 'decompressed bytes for one stored')
    }
  }
}

/** How a layer is compressed, by its first bytes. */
export async function compressionOf(blob: Blob): Promise<Compression> {
  return detectCompression(await blob.read(0, headSize))
}

function algorithmOf(digest: Digest | undefined): string {
  return digest === undefined ? 'sha256' : digestAlgorithm(digest)
}

/** A layer's tar on its way out of its compression. */
interface Tar {
  readonly chunks: AsyncIterable<Buffer>
  /** Of the stored bytes, when all chunks were taken; undefined where it is not wanted. */
  storedDigest(): Digest | undefined
}

interface OpenOptions {
  /** Of the digest of the stored bytes, where that is wanted. */
  readonly algorithm: string | undefined
  readonly tools: ReadTools | undefined
  readonly onRead: (bytes: number) => void
}

function openTar(blob: Blob, compression: Compression, options: OpenOptions): Tar {
  const {inflater} = options.tools ?? {}
  const isElsewhere = compression === 'gzip' && inflater !== undefined && blob.openFile !== undefined
  return isElsewhere ? inflateThere(blob, inflater, options) : decompressHere(blob, compression, options)
}

function inflateThere(blob: Blob, inflater: InflateThread, {algorithm, onRead}: OpenOptions): Tar {
  let digest: Digest | undefined
  async function* chunks(): AsyncGenerator<Buffer> {
    const bytes = await blob.openFile!()
    try {
      digest = yield* inflater.inflate(bytes, algorithm, onRead)
    } finally {
      await bytes.close()
    }
  }
  return {chunks: chunks(), storedDigest: () => digest}
}

function decompressHere(blob: Blob, compression: Compression, {algorithm, tools, onRead}: OpenOptions): Tar {
  const {hasher = inlineHasher, chunks} = tools ?? {}
  const running = algorithm === undefined ? undefined : hasher.start(algorithm, blob.size)
  async function* watched(): AsyncGenerator<Buffer> {
    let read = 0
    for await (const chunk of blob.stream(chunks)) {
      running?.update(chunk)
      yield chunk
      read += chunk.length
      onRead(read)
    }
  }
  const plain = compression === 'none' ? watched() : shared(decompress(watched(), compression), chunks)
  return {chunks: plain, storedDigest: () => running?.digest()}
}

/** Moves chunks to where other threads can see them. */
async function* shared(source: AsyncIterable<Buffer>, chunks: Chunks | undefined): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    if (chunks === undefined) yield chunk
    else yield* chunks.copies(chunk)
  }
}

function checkDigest(
  expected: Digest | undefined,
  actual: Digest | undefined,
  what: string,
  onDamage: ReadOptions['onDamage'],
): void {
  if (expected === undefined || actual === undefined || expected === actual) return
  const message = `Cannot use ${what}: its digest is ${actual}, expected ${expected}`
  const error = new ImgtoolError('DIGEST_MISMATCH', message, {expected, actual})
  if (onDamage === undefined) throw error
  onDamage(error)
}
