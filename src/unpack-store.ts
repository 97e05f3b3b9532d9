/** Unpacks images into docker's data-root: what a daemon that is started on it finds as its own. */
import {randomBytes} from 'node:crypto'
import {closeSync, openSync} from 'node:fs'
import type {Blob} from './archive/archive.ts'
import type {CopiedLayer} from './copy-layer.ts'
import type {Digest} from './digest.ts'
import type {Driver, DriverName} from './driver/driver.ts'
import {ImgtoolError} from './errors.ts'
import {chainIDs} from './image/chain.ts'
import {markRefused} from './image/damaged.ts'
import {requireWhole} from './image/missing.ts'
import {type Image, type Layer, storedSize} from './image/model.ts'
import {ChangeDecoder, type OnWarning} from './layer/change.ts'
import {type Budget, countEntry, readLayer, startBudget} from './layer/read.ts'
import {defaultLimits} from './limits.ts'
import {type CopiedImage, toNewImages} from './new-images.ts'
import {describeTaken, renameImages} from './new-names.ts'
import type {Source} from './open.ts'
import {openDriver} from './open-driver.ts'
import {otherDrivers} from './store/looks-like.ts'
import {type NewTarSplit, TarSplitFile} from './store/tar-split-file.ts'
import {TarSplitThread} from './store/tar-split-thread.ts'
import {StoreWriter} from './store/writer.ts'
import {startThreads, type Threads} from './threads.ts'
import {Counter, type RunOptions, requireSystem} from './unpack.ts'

export interface UnpackStoreOptions extends RunOptions {
  /** Names instead of those that the images have. */
  readonly names?: readonly string[]
  /**
   * Apply each layer alone, as docker does: where a layer has something below a symlink of a lower one, docker then saves it as
   * it was, and shows another tree. @default false
   */
  readonly asDockerd?: boolean
}

export interface UnpackStoreResult {
  readonly driver: DriverName
  readonly images: readonly {
    readonly imageID: Digest
    readonly names: readonly string[]
    readonly diffIDs: readonly Digest[]
  }[]
  /** Layers that the store did not have. */
  readonly added: number
  /** Layers that it had. */
  readonly shared: number
  /** Of the layers that were added. */
  readonly entries: number
  readonly bytes: number
  readonly whiteouts: number
}

/**
 * Unpacks images into a store. Layers that are there already are left as they are and not read; each other one appears when
 * it is complete and verified, images when all layers are there, and names in the end. What a run has added that fails goes
 * again, unless another run is at work, which could count on it. Several runs may fill one store at a time,
 * but no daemon may run on it.
 *
 * @throws {ImgtoolError} as `unpackImage`, STORE_INVALID, TARGET_EXISTS for a directory of something else, and LIMIT_EXCEEDED for more
 *   layers than docker mounts
 */
export async function unpackIntoStore(
  {source, images}: {readonly source: Source; readonly images: readonly Image[]},
  store: string,
  name: DriverName,
  options: UnpackStoreOptions = {},
): Promise<UnpackStoreResult> {
  requireSystem()
  for (const image of images) requireWhole(image)
  const named = renameImages(images, {format: 'data-root'}, options)
  const {describeLosses, readPrivileges} = await import('./driver/privileges.ts')
  using driver = await openDriver(name, store)
  const caveats = [describeLosses(readPrivileges()), driver.caveat].filter(Boolean)
  options.onStart?.(caveats.length > 0 ? caveats.join('. ') : undefined)
  for (const {layers} of named) if (layers.length > driver.maximumLayers) throw tooDeep(layers.length, driver)
  const others = otherDrivers(store, name)
  using writer = new StoreWriter(store, driver)
  if (others.length > 0) options.onWarning?.({code: 'DRIVERS_SEVERAL', message: describeDrivers(name, others)})
  const run = new Run(driver, writer, options)
  try {
    return {driver: name, images: await run.addAll(named, source), ...run.result()}
  } catch (error) {
    // What went wrong matters more than what is left, which `store check` finds.
    await run.undo(store).catch(() => {})
    throw error
  }
}

/** @see moby daemon/graphdriver/driver.go, New: vfs is never taken for what it has, and of others there may be one */
function describeDrivers(added: DriverName, others: readonly string[]): string {
  const [taken, ...more] = [added, ...others].filter((name) => name !== 'vfs')
  const what =
    more.length === 0 ? `a daemon takes ${taken}, unless it has another` : 'no daemon starts on it without a choice by'
  return `The data-root has images of ${others.join(' and ')} as well as ${added} now: ${what} --storage-driver`
}

function tooDeep(layers: number, {name, maximumLayers}: Driver): ImgtoolError {
  const message = `Cannot stack ${layers} layers: docker mounts at most ${maximumLayers} with ${name}`
  return new ImgtoolError('LIMIT_EXCEEDED', message, {
    hint: 'Make them fewer with imgtool squash, or take --driver vfs',
  })
}

/** A layer and those below it, as the store has them. */
interface Stack {
  readonly chainID: Digest
  readonly diffID: Digest
  readonly cacheID: string
}

/** What layers of one image are read with. */
interface Reading {
  readonly budget: Budget
  readonly threads: Threads
}

class Run {
  readonly #driver: Driver
  readonly #writer: StoreWriter
  readonly #options: UnpackStoreOptions
  readonly #counter = new Counter()
  /** DiffIDs of layers that were read, which archives from before docker 1.10 do not tell. */
  readonly #read = new Map<Blob, Digest>()
  readonly #added = new Set<Digest>()
  readonly #found = new Set<Digest>()

  constructor(driver: Driver, writer: StoreWriter, options: UnpackStoreOptions) {
    this.#driver = driver
    this.#writer = writer
    this.#options = options
  }

  async addAll(images: readonly Image[], source: Source): Promise<UnpackStoreResult['images']> {
    await this.#removeLeftovers()
    const copies: CopiedImage[] = []
    for (const image of images) copies.push({image, layers: await this.#addLayers(image)})
    const written = await toNewImages(copies, source, false)
    if (this.#options.sync) this.#writer.sync()
    using _ = await this.#writer.lock(this.#options.signal)
    for (const {imageID, config, parent} of written) this.#writer.addImage(imageID, config, parent)
    const names = new Map(written.flatMap((image) => image.names.map((name) => [name, image.imageID] as const)))
    this.#warnOfTaken(this.#writer.addNames(names))
    if (this.#options.sync) this.#writer.sync()
    return written.map(({imageID, names, layers}) => ({imageID, names, diffIDs: layers.map(({diffID}) => diffID)}))
  }

  /** As `docker load` does. */
  #warnOfTaken(taken: ReadonlyMap<string, string>): void {
    for (const [name, imageID] of taken) this.#options.onWarning?.(describeTaken(name, imageID))
  }

  /** Removes the layers that were added, unless an image has them by now or another run could count on them, and a store of nothing. */
  async undo(store: string): Promise<void> {
    using _ = await this.#writer.lock()
    if (!this.#writer.isAlone()) return
    if (this.#added.size > 0) await this.#removeAdded(store)
    this.#writer.removeLeftovers()
    this.#writer.removeIfUnused()
  }

  async #removeAdded(store: string): Promise<void> {
    const {openKeptStore} = await import('./store-status.ts')
    const {surveyStore} = await import('./store/survey.ts')
    using kept = await openKeptStore(store, {driver: this.#driver.name})
    const {unusedLayers} = surveyStore({...kept, state: kept.readState()})
    for (const chainID of unusedLayers) if (this.#added.has(chainID)) this.#writer.removeLayer(chainID)
  }

  result(): Pick<UnpackStoreResult, 'added' | 'shared' | 'entries' | 'bytes' | 'whiteouts'> {
    return {
      added: this.#added.size,
      shared: [...this.#found].filter((chainID) => !this.#added.has(chainID)).length,
      ...this.#counter.counts(),
    }
  }

  /**
   * Bytes of all layers so far as the driver counts them: but for vfs, which is told what the tars say, of all in the
   * directories that is no directory.
   *
   * @see moby pkg/directory/directory_unix.go, Size; daemon/graphdriver/fsdiff.go, ApplyDiff
   */
  get #size(): number {
    const {bytes} = this.#counter.counts()
    return this.#driver.name === 'vfs' ? bytes : bytes + this.#counter.linkBytes
  }

  async #removeLeftovers(): Promise<void> {
    using _ = await this.#writer.lock(this.#options.signal)
    this.#writer.removeLeftovers()
  }

  /** @returns the layers, base first */
  async #addLayers(image: Image): Promise<CopiedLayer[]> {
    const {limits = defaultLimits} = this.#options
    const budget = startBudget(limits)
    await using threads = await startThreads(image, this.#options.threads)
    await using splits = new TarSplits(threads)
    const copied: CopiedLayer[] = []
    let below: Stack | undefined
    try {
      for (const layer of image.layers) {
        below = this.#find(layer, below) ?? (await this.#add(layer, image, {below, budget, threads, splits}))
        const {diffID} = below
        copied.push({
          diffID,
          digest: diffID,
          size: layer.blob.size,
          compression: 'none',
          isDropped: false,
          isKept: false,
        })
      }
      return copied
    } finally {
      // What threads open while they start could be what cleaning up lacks.
      await Promise.all([threads.settled, splits.settled])
    }
  }

  #find({blob, diffID = this.#read.get(blob)}: Layer, below: Stack | undefined): Stack | undefined {
    if (diffID === undefined) return undefined
    const found = this.#writer.layer(chainOn(below, diffID))
    if (found?.diffID !== diffID) return undefined
    this.#found.add(found.chainID)
    return found
  }

  async #add(
    layer: Layer,
    image: Image,
    {below, splits, ...reading}: Reading & {readonly below: Stack | undefined; readonly splits: TarSplits},
  ): Promise<Stack> {
    const cacheID = randomBytes(32).toString('hex')
    const written = this.#writer.startLayer()
    try {
      this.#driver.create(cacheID, below?.cacheID)
      const before = this.#size
      using opened = splits.start(written.tarSplitPath)
      const diffID = await this.#fill(layer, image, {...reading, cacheID, tarSplit: opened.tarSplit})
      this.#read.set(layer.blob, diffID)
      const chainID = chainOn(below, diffID)
      if (this.#options.sync) this.#writer.sync()
      using _ = await this.#writer.lock(this.#options.signal)
      const other = this.#writer.layer(chainID)
      if (other !== undefined) {
        // Another run was faster.
        this.#driver.remove(cacheID)
        this.#found.add(chainID)
        return other
      }
      written.commit({chainID, diffID, cacheID, size: this.#size - before, parent: below?.chainID})
      this.#driver.release(cacheID)
      this.#added.add(chainID)
      return {chainID, diffID, cacheID}
    } catch (error) {
      this.#abandon(cacheID)
      markRefused(layer.blob, error)
      throw error instanceof ImgtoolError ? error.within({layer: layer.index}) : error
    } finally {
      written.abort()
    }
  }

  /** Removes a place. What of it cannot be removed now, as without descriptors, is a leftover, see {@link undo}. */
  #abandon(cacheID: string): void {
    try {
      this.#driver.remove(cacheID)
    } catch {
      this.#driver.release(cacheID)
    }
  }

  async #fill(
    layer: Layer,
    image: Image,
    {cacheID, budget, threads, tarSplit}: Reading & {readonly cacheID: string; readonly tarSplit: NewTarSplit},
  ): Promise<Digest> {
    const {onProgress, onWarning, signal} = this.#options
    const warn: OnWarning = (warning) => onWarning?.({layer: layer.index, ...warning})
    const [layers, totalBytes] = [image.layers.length, storedSize(image)]
    const before = storedSize({layers: image.layers.slice(0, layer.index)})
    const target = this.#driver.applyDiff(cacheID, {
      onWarning: warn,
      thread: threads.files,
      onImplied: () => countEntry(budget),
      isAlone: this.#options.asDockerd,
    })
    try {
      this.#counter.target = target.changes
      const decoder = new ChangeDecoder(this.#counter, warn)
      const facts = await readLayer(layer, decoder, budget, {
        signal,
        tools: threads.tools,
        watcher: tarSplit,
        onRead: (read) => onProgress?.({layer: layer.index, layers, bytes: before + read, totalBytes}),
      })
      tarSplit.finish()
      decoder.finish()
      target.finish()
      return facts.diffID
    } finally {
      target.close()
    }
  }
}

function chainOn(below: Stack | undefined, diffID: Digest): Digest {
  return below === undefined ? diffID : chainIDs([below.chainID, diffID]).at(-1)!
}

/** Writes tar-splits, on a thread of their own where there are others. */
class TarSplits implements AsyncDisposable {
  readonly #thread: TarSplitThread | undefined

  constructor({tools}: Threads) {
    this.#thread = tools?.chunks && new TarSplitThread(tools.chunks)
  }

  get settled(): Promise<void> | undefined {
    return this.#thread?.settled
  }

  /** @param path of a file to be made */
  start(path: string): {readonly tarSplit: NewTarSplit} & Disposable {
    const descriptor = openSync(path, 'wx', 0o600)
    const tarSplit = this.#thread?.start(descriptor) ?? new TarSplitFile(descriptor)
    return {
      tarSplit,
      [Symbol.dispose]() {
        tarSplit.abandon()
        closeSync(descriptor)
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.close()
  }
}
