/** Copies one layer into a new archive: verified on the way, its bytes as they are unless they are to be compressed otherwise. */
import type {Blob} from './archive/archive.ts'
import type {NewMember} from './archive/writer.ts'
import type {Compressor} from './compression/compress.ts'
import type {Compression} from './compression/detect.ts'
import type {Digest, RunningDigest} from './digest.ts'
import {ImgtoolError} from './errors.ts'
import {markRefused} from './image/damaged.ts'
import type {ImageWriter, KnownLayer, StoredLayer} from './image/write/writer.ts'
import {inlineHasher} from './layer/hasher.ts'
import {type Budget, compressionOf, type LayerSource, type ReadOptions, TarReading} from './layer/read.ts'

/** How layers are to be stored. */
export type LayerCompression = 'keep' | 'none' | 'gzip' | 'zstd'

export interface CopyOptions extends ReadOptions {
  readonly compression: LayerCompression
  /** For gzip and zstd. */
  readonly compressor?: Compressor | undefined
  /** Compress again what is compressed as asked for already. */
  readonly again?: boolean
  /** Leave out layers with nothing in them. */
  readonly dropEmpty?: boolean
}

/** A layer after it was read. */
export interface CopiedLayer extends StoredLayer {
  /** It is a tar without entries, and was left out. */
  readonly isDropped: boolean
  /** The stored bytes are those of the source. */
  readonly isKept: boolean
}

/** Bytes up to where a layer may be one with nothing in it: these are zeros, and compress well. */
const maximumEmpty = 64 * 1024

/** Copies layers, each once, however many images share it. */
export class LayerCopier {
  readonly #writer: ImageWriter
  readonly #options: CopyOptions
  /** Members that are links to one another are one blob. */
  readonly #byBlob = new Map<Blob, CopiedLayer>()
  /** By what the new archive calls them. */
  readonly #byIdentity = new Map<Digest, CopiedLayer>()

  constructor(writer: ImageWriter, options: CopyOptions) {
    this.#writer = writer
    this.#options = options
  }

  /** All layers that were copied. */
  get layers(): readonly CopiedLayer[] {
    return [...new Set(this.#byIdentity.values())]
  }

  /**
   * Copies a layer, or says what became of it before.
   *
   * @param budget of the image
   * @throws {ImgtoolError} whatever reading a layer throws, with the layer's number
   */
  async copy(
    layer: LayerSource,
    budget: Budget,
    reading: Pick<ReadOptions, 'tools' | 'onRead'> = {},
  ): Promise<CopiedLayer> {
    try {
      const copied =
        this.#byBlob.get(layer.blob) ?? (await this.#copyNew(layer, budget, {...this.#options, ...reading}))
      requireDiffID(layer, copied.diffID)
      this.#byBlob.set(layer.blob, copied)
      this.#byIdentity.set(copied[this.#writer.identity], copied)
      return copied
    } catch (error) {
      markRefused(layer.blob, error)
      throw error instanceof ImgtoolError ? error.within({layer: layer.index}) : error
    }
  }

  /**
   * Writes a layer that is made here.
   *
   * @param tar its pieces, each valid until the next one is asked for
   * @param size of the tar, bytes, about
   */
  async make(tar: AsyncIterable<Buffer>, size: number, tools: ReadOptions['tools']): Promise<CopiedLayer> {
    const {compression, compressor} = this.#options
    const {hasher = inlineHasher} = tools ?? {}
    const member = await this.#writer.startLayer({})
    const plain = hasher.start('sha256', size)
    const stored = compressor && hasher.start('sha256', size)
    const hashed = hashing(tar, plain)
    for await (const chunk of compressor?.compress(hashed) ?? hashed) {
      stored?.update(chunk)
      await member.write(chunk)
    }
    const diffID = plain.digest()
    const made = {
      diffID,
      digest: stored?.digest() ?? diffID,
      size: member.size,
      compression: compressor ? compression : 'none',
    }
    return this.#add(made as StoredLayer, member, false)
  }

  async #copyNew(layer: LayerSource, budget: Budget, options: CopyOptions): Promise<CopiedLayer> {
    const found = await compressionOf(layer.blob)
    const wanted = this.#compressionFor(found)
    const isKept = wanted === found && !(options.again && found !== 'none')
    const known = predict(layer, found, wanted, isKept)
    const before = this.#find(known, isKept ? undefined : wanted)
    if (before !== undefined) return before
    const maybeEmpty = options.dropEmpty === true && layer.blob.size <= maximumEmpty
    const member = await this.#writer.startLayer(maybeEmpty ? {} : known)
    const copied = isKept
      ? await keep(layer, member, budget, options)
      : await convert(layer, member, budget, wanted === 'none' ? undefined : options.compressor!, options)
    const stored: StoredLayer = {diffID: copied.diffID, digest: copied.digest, size: member.size, compression: wanted}
    if (maybeEmpty && copied.isEmpty) {
      await member.discard()
      return {...stored, isDropped: true, isKept}
    }
    return this.#add(stored, member, isKept)
  }

  /** Keeps what was written, unless it was there before. */
  async #add(stored: StoredLayer, member: NewMember, isKept: boolean): Promise<CopiedLayer> {
    const same = this.#byIdentity.get(stored[this.#writer.identity])
    if (same !== undefined) {
      await member.discard()
      return same
    }
    await this.#writer.addLayer(stored, member)
    const copied = {...stored, isDropped: false, isKept}
    this.#byIdentity.set(stored[this.#writer.identity], copied)
    return copied
  }

  /** @param made the compression of what would be made, where bytes are not kept: one tar is then compressed once */
  #find(known: KnownLayer, made: Compression | undefined): CopiedLayer | undefined {
    const {diffID, [this.#writer.identity]: identity} = known
    if (identity !== undefined) return this.#byIdentity.get(identity)
    if (made === undefined || diffID === undefined) return undefined
    return this.layers.find((layer) => !layer.isKept && layer.diffID === diffID && layer.compression === made)
  }

  /** What the readers of the format do not take is decompressed. */
  #compressionFor(found: Compression): Compression {
    const {compression} = this.#options
    if (compression !== 'keep') return compression
    return this.#writer.compressions.has(found) ? found : 'none'
  }
}

/** What can be said of a layer before it is written, so that its name is known when its first byte is. */
function predict(layer: LayerSource, found: Compression, wanted: Compression, isKept: boolean): KnownLayer {
  const {diffID} = layer
  if (isKept) return {diffID, digest: layer.digest ?? (found === 'none' ? diffID : undefined), size: layer.blob.size}
  return {diffID, digest: wanted === 'none' ? diffID : undefined}
}

interface Copied {
  readonly diffID: Digest
  readonly digest: Digest
  readonly isEmpty: boolean
}

/** Stored bytes go to the member, and through the decompressor only to be verified. */
async function keep(layer: LayerSource, member: NewMember, budget: Budget, options: CopyOptions): Promise<Copied> {
  const {hasher = inlineHasher} = options.tools ?? {}
  const isNamed = layer.digest !== undefined
  const plain = (await compressionOf(layer.blob)) === 'none'
  const running = isNamed || plain ? undefined : hasher.start('sha256', layer.blob.size)
  const {blob} = layer
  // Nothing but a stream: whoever reads this blob in another way would pass the member by.
  const copying: Blob = {
    name: blob.name,
    size: blob.size,
    read: (position, length) => blob.read(position, length),
    async *stream(buffers) {
      for await (const chunk of blob.stream(buffers)) {
        running?.update(chunk)
        await member.write(chunk)
        yield chunk
      }
    },
  }
  const reading = new TarReading({...layer, blob: copying}, budget, options)
  const zeros = new ZeroCheck()
  for await (const chunk of reading.tar()) zeros.update(chunk)
  const {diffID} = reading.finish()
  return {diffID, digest: layer.digest ?? running?.digest() ?? diffID, isEmpty: zeros.isZero}
}

/** The tar goes to the member, or through a compressor. */
async function convert(
  layer: LayerSource,
  member: NewMember,
  budget: Budget,
  compressor: Compressor | undefined,
  options: CopyOptions,
): Promise<Copied> {
  const {hasher = inlineHasher} = options.tools ?? {}
  const reading = new TarReading(layer, budget, options)
  const zeros = new ZeroCheck()
  const tar = zeros.watch(reading.tar())
  const running = compressor && hasher.start('sha256', layer.blob.size)
  for await (const chunk of compressor?.compress(tar) ?? tar) {
    running?.update(chunk)
    await member.write(chunk)
  }
  const {diffID} = reading.finish()
  return {diffID, digest: running?.digest() ?? diffID, isEmpty: zeros.isZero}
}

async function* hashing(source: AsyncIterable<Buffer>, running: RunningDigest): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    running.update(chunk)
    yield chunk
  }
}

/** A tar has no entries when it has nothing but zeros. The first byte of any other is one of a name. */
class ZeroCheck {
  isZero = true

  update(chunk: Buffer): void {
    this.isZero &&= chunk.every((byte) => byte === 0)
  }

  async *watch(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.update(chunk)
      yield chunk
    }
  }
}

/** One blob under two claims: only one of them was compared with the bytes. */
function requireDiffID({index, diffID}: LayerSource, actual: Digest): void {
  if (diffID === undefined || diffID === actual) return
  throw new ImgtoolError(
    'DIGEST_MISMATCH',
    `Cannot use the uncompressed tar of layer ${index}: its digest is ${actual}, expected ${diffID}`,
    {expected: diffID, actual},
  )
}
