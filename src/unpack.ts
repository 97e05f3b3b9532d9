/** Unpacks an image: every layer, in order, onto a directory. */
import type {Digest} from './digest.ts'
import type {TargetState} from './driver/target.ts'
import {ImgtoolError} from './errors.ts'
import {requireWhole} from './image/missing.ts'
import {type Image, type Layer, storedSize} from './image/model.ts'
import {ChangeDecoder, type ChangeSink, type OnWarning} from './layer/change.ts'
import {MergedTree} from './layer/merged-tree.ts'
import {type Budget, countEntry, readLayer, startBudget} from './layer/read.ts'
import type {Entry} from './layer/tar/entry.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {isDataRoot} from './store/looks-like.ts'
import {printableText} from './text.ts'
import {startThreads, type Threads} from './threads.ts'

/** How images are unpacked, whatever onto. */
export interface RunOptions {
  /** Wait until the disk has everything before it appears. @default false */
  readonly sync?: boolean
  /**
   * With 1 everything is done by the calling thread, with more there are others for files, digests and decompression. By default
   * where that is faster: on several cores, for an image of some size.
   */
  readonly threads?: number | undefined
  readonly limits?: Limits
  readonly onWarning?: OnWarning
  /** Called once before anything is written, with what cannot be kept without privileges, one sentence. */
  readonly onStart?: (losses: string | undefined) => void
  /** Called now and then with what is done so far. */
  readonly onProgress?: (progress: Progress) => void
  /** Ends the run; nothing is left behind. */
  readonly signal?: AbortSignal
}

export interface UnpackOptions extends RunOptions {
  /** Unpack over a directory that is not empty: the image's entries replace what is in their way. @default false */
  readonly force?: boolean
  /**
   * Read and verify everything, write nothing. The tree is made in memory, about 500 bytes an entry, so that it refuses what
   * only shows in the tree, such as a hard link to nothing; what an occupied target holds is not looked at. @default false
   */
  readonly dryRun?: boolean
}

export interface Progress {
  /** Number of the layer at work, from 0. */
  readonly layer: number
  readonly layers: number
  /** Stored bytes that were read, of {@link totalBytes}. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface UnpackResult {
  readonly layers: number
  readonly entries: number
  /** Sum of the sizes of all files of all layers. */
  readonly bytes: number
  readonly whiteouts: number
  /** Base first: of each layer, as computed from its bytes. */
  readonly diffIDs: readonly Digest[]
  /** What cannot be kept without privileges, one sentence. */
  readonly losses?: string
  /** What was found under the target's name. */
  readonly state: TargetState
}

/**
 * Unpacks an image onto a directory, which appears complete and verified, or not at all.
 *
 * Deletions follow the OCI specification: a whiteout hides what lower layers have, never what its own layer adds.
 * Time grows with entries and bytes, memory with the number of directories and of the entries of the largest layer.
 *
 * @throws {ImgtoolError} PLATFORM_UNSUPPORTED, TARGET_EXISTS, TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PARENT_MISSING, BLOB_MISSING, and
 *   whatever reading layers throws, with layer and entry
 */
export async function unpackImage(image: Image, target: string, options: UnpackOptions = {}): Promise<UnpackResult> {
  requireSystem()
  requireWhole(image)
  const {checkTarget} = await import('./driver/target.ts')
  const {describeLosses, readPrivileges} = await import('./driver/privileges.ts')
  const force = options.force ?? false
  const losses = describeLosses(readPrivileges())
  requireNoDataRoot(target)
  const state = checkTarget(target, {force, onMountPoint: howToFill})
  options.onStart?.(losses)
  const counter = new Counter()
  const result = (diffIDs: Digest[]): UnpackResult => ({
    layers: image.layers.length,
    ...counter.counts(),
    diffIDs,
    state,
    ...(losses === undefined ? {} : {losses}),
  })
  await using threads = await startThreads(image, options.threads)
  const budget = startBudget(options.limits ?? defaultLimits)
  const onImplied = () => countEntry(budget)
  if (options.dryRun) {
    const tree = new MergedTree(onImplied)
    counter.target = tree
    const stages = {start: () => tree.startLayer(), finish: () => {}}
    return result(await applyLayers(image, counter, stages, threads, budget, options))
  }
  const onWarning = options.onWarning ?? (() => {})
  const {DirectoryDriver} = await import('./driver/directory.ts')
  const driver = new DirectoryDriver(target, {force, onWarning, onImplied, thread: threads.files})
  try {
    counter.target = driver.changes
    const diffIDs = await applyLayers(
      image,
      counter,
      {
        start: (layer) => driver.changes.startLayer(layer > 0 || driver.isMerge),
        finish: () => driver.changes.finishLayer(),
      },
      threads,
      budget,
      options,
    )
    options.signal?.throwIfAborted()
    driver.commit({sync: options.sync ?? false})
    return result(diffIDs)
  } finally {
    // What threads open while they start could be what cleaning up lacks.
    await threads.settled
    driver.abort()
  }
}

function requireNoDataRoot(target: string): void {
  if (!isDataRoot(target)) return
  const message = `Cannot unpack to "${printableText(target)}": it is a data-root of docker`
  throw new ImgtoolError('TARGET_EXISTS', message, {
    hint: 'Give --driver overlay, vfs or aufs to add the image to it, or another directory',
  })
}

/** The numbers of system calls and their flags are those of these processors; the drivers are loaded only after this. */
export function requireSystem(): void {
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)) return
  const here = `${process.platform} on ${process.arch}`
  throw new ImgtoolError('PLATFORM_UNSUPPORTED', `Cannot unpack on ${here}: it needs Linux on x64 or arm64`)
}

async function applyLayers(
  image: Image,
  sink: ChangeSink,
  stages: {start(layer: number): void; finish(): void},
  threads: Threads,
  budget: Budget,
  options: UnpackOptions,
): Promise<Digest[]> {
  const totalBytes = storedSize(image)
  const diffIDs: Digest[] = []
  let bytes = 0
  for (const layer of image.layers) {
    stages.start(layer.index)
    const warn: OnWarning = (warning) => options.onWarning?.({layer: layer.index, ...warning})
    const decoder = new ChangeDecoder(sink, warn)
    const onRead = (read: number) =>
      options.onProgress?.({layer: layer.index, layers: image.layers.length, bytes: bytes + read, totalBytes})
    const facts = await readLayer(layer, decoder, budget, {signal: options.signal, tools: threads.tools, onRead})
    finishLayer(layer, () => {
      decoder.finish()
      stages.finish()
    })
    bytes += layer.blob.size
    diffIDs.push(facts.diffID)
  }
  return diffIDs
}

function finishLayer({index}: Layer, finish: () => void): void {
  try {
    finish()
  } catch (error) {
    throw error instanceof ImgtoolError ? error.within({layer: index}) : error
  }
}

/** GNU tar leaves xattrs out that it is not told to take, and with --acls ACLs that are xattrs. */
function howToFill(shown: string): string {
  const tar = `tar -x --xattrs --xattrs-include='*' -C '${shown}'`
  return `Give a directory inside it, or fill it: imgtool export IMAGE - | ${tar}`
}

/** Counts changes on their way. */
export class Counter implements ChangeSink {
  target: ChangeSink | undefined
  #entries = 0
  #bytes = 0
  #linkBytes = 0
  #whiteouts = 0

  /** Of the targets of symlinks. */
  get linkBytes(): number {
    return this.#linkBytes
  }

  counts(): Pick<UnpackResult, 'entries' | 'bytes' | 'whiteouts'> {
    return {entries: this.#entries, bytes: this.#bytes, whiteouts: this.#whiteouts}
  }

  add(entry: Entry): void {
    this.#entries++
    this.#bytes += entry.size
    if (entry.kind === 'symlink') this.#linkBytes += entry.link.length
    this.target?.add(entry)
  }

  data(chunk: Buffer, position: number): void {
    this.target?.data(chunk, position)
  }

  end(): void {
    this.target?.end()
  }

  remove(path: string): void {
    this.#whiteouts++
    this.target?.remove(path)
  }

  opaque(path: string): void {
    this.#whiteouts++
    this.target?.opaque(path)
  }

  discard(path: string): void {
    this.target?.discard(path)
  }
}
