/**
 * Makes one layer of several, without a file system and without contents in memory: the headers of all layers tell what comes
 * to be, then the layers are read once more, and what is left of each is written.
 */
import {endOfTar} from '../tar/blocks.ts'
import type {ByteString} from '../text.ts'
import {Batch} from './batch.ts'
import {ChangeDecoder, type ChangeSink, type OnWarning} from './change.ts'
import {FlatPlan} from './flat-plan.ts'
import {MergedTree} from './merged-tree.ts'
import {type Budget, countEntry, type LayerSource, type ReadOptions, readHeaders, rewriteLayer} from './read.ts'
import type {Entry} from './tar/entry.ts'
import {encodeEntry, startZeros, TarWriter, type Zeros} from './tar/writer.ts'

export interface FlattenOptions extends Pick<ReadOptions, 'signal'> {
  /** Layers that stay as they are, and that the new one lies upon. @default 0 */
  readonly from?: number
  /**
   * Describe each directory behind all that is in it. In a layer they come first, as image tools have it; but GNU tar and
   * bsdtar give a directory its mode and time before all of it is there, and neither stands what comes later. @default false
   */
  readonly directoriesLast?: boolean
  readonly onWarning?: OnWarning | undefined
  /** Is told now and then which layer is read, and how many stored bytes were since. */
  readonly onRead?: ((layer: number, bytes: number) => void) | undefined
  /** What layers are read with. */
  readonly tools?: ReadOptions['tools']
}

/** What a flattened layer holds. */
export interface FlatFacts {
  readonly entries: number
  readonly whiteouts: number
  /** Sum of the sizes of its files. */
  readonly bytes: number
}

/**
 * The tar of one layer that does what the layers from one on do. The same layers give the same bytes.
 *
 * Directories come first, with the whiteouts that still hide something; then the files in the order of their layers, each
 * followed by its other names as hard links. A name of a lower file that is new, a hard link, comes with a copy of the file.
 *
 * Memory: about 100 bytes an entry. Every layer is read twice, where it is not compressed its headers only the first time.
 *
 * @param layers base first
 * @param budgets one for each reading
 * @returns pieces, each valid until the next one is asked for. Layers are verified when they were read, so that only the end
 *   tells whether what came before is right
 * @throws {ImgtoolError} whatever reading layers throws
 */
export async function* flatten(
  layers: readonly LayerSource[],
  budgets: readonly [Budget, Budget],
  options: FlattenOptions = {},
): AsyncGenerator<Buffer, FlatFacts> {
  const {plan, starts} = await planLayers(layers, budgets[0], options)
  const facts = {entries: 0, whiteouts: 0, bytes: 0}
  const batch = new Batch()
  const zeros = startZeros()
  if (!options.directoriesLast) yield* batch.addAll(encodeDirectories(plan.entries(), facts))
  for (const [at, layer] of layers.entries()) {
    // What is left out here is verified by whoever copies it.
    if (at < (options.from ?? 0) && !plan.needs(starts[at]!, starts[at + 1]!)) continue
    const emitter = new Emitter(plan, starts[at]!, facts, zeros)
    const decoder = new ChangeDecoder(emitter, () => {})
    yield* rewriteLayer(layer, decoder, budgets[1], () => batch.addAll(emitter.drain()), readingOf(layer, options))
  }
  if (options.directoriesLast) yield* batch.addAll(encodeDirectories([...plan.entries()].reverse(), facts))
  yield* batch.add(endOfTar)
  yield* batch.flush()
  return facts
}

function* encodeDirectories(entries: Iterable<Entry>, facts: {entries: number; whiteouts: number}): Generator<Buffer> {
  for (const entry of entries) {
    if (entry.kind === 'directory') facts.entries++
    else facts.whiteouts++
    yield encodeEntry(entry)
  }
}

/** @returns starts by layer: the number of its first file, and behind the last the number of all */
async function planLayers(
  layers: readonly LayerSource[],
  budget: Budget,
  options: FlattenOptions,
): Promise<{plan: FlatPlan; starts: readonly number[]}> {
  const {from = 0, onWarning} = options
  const tree = new MergedTree(() => countEntry(budget), 'directories')
  const lower = new MergedTree(() => {}, 'directories')
  const starts = [0]
  for (const [at, layer] of layers.entries()) {
    const trees = at < from ? [tree, lower] : [tree]
    for (const each of trees) each.startLayer()
    const decoder = new ChangeDecoder(new Fork(trees), (warning) => onWarning?.({layer: layer.index, ...warning}))
    await readHeaders(layer, decoder, budget, readingOf(layer, options))
    decoder.finish()
    starts.push(tree.count)
  }
  return {plan: new FlatPlan(tree, lower), starts}
}

function readingOf({index}: LayerSource, {onRead, signal, tools}: FlattenOptions): ReadOptions {
  let before = 0
  const report = (bytes: number) => {
    onRead?.(index, bytes - before)
    before = bytes
  }
  return {onRead: report, signal, tools}
}

/** Hands changes to several trees. */
class Fork implements ChangeSink {
  readonly #trees: readonly MergedTree[]

  constructor(trees: readonly MergedTree[]) {
    this.#trees = trees
  }

  add(entry: Entry): void {
    for (const tree of this.#trees) tree.add(entry)
  }

  data(): void {}

  end(): void {}

  remove(path: ByteString): void {
    for (const tree of this.#trees) tree.remove(path)
  }

  opaque(path: ByteString): void {
    for (const tree of this.#trees) tree.opaque(path)
  }

  discard(path: ByteString): void {
    for (const tree of this.#trees) tree.discard(path)
  }
}

/** Writes the files of one layer that are left in the end. */
class Emitter implements ChangeSink {
  readonly #plan: FlatPlan
  readonly #facts: {entries: number; bytes: number}
  readonly #writer: TarWriter
  #file: number
  #made: Iterable<Buffer>[] = []
  #entry: Entry | undefined
  #links: readonly ByteString[] = []

  /** @param file number of the layer's first one */
  constructor(plan: FlatPlan, file: number, facts: {entries: number; bytes: number}, zeros: Zeros) {
    this.#writer = new TarWriter((bytes) => this.#made.push([bytes]), zeros)
    this.#plan = plan
    this.#file = file
    this.#facts = facts
  }

  add(entry: Entry): void {
    const [path, ...links] = this.#plan.namesOf(this.#file++)
    this.#links = links
    this.#entry = path === undefined ? undefined : {...entry, path}
    if (this.#entry === undefined) return
    this.#facts.entries += 1 + links.length
    this.#facts.bytes += entry.size
    this.#writer.entry(this.#entry)
  }

  data(chunk: Buffer, position: number): void {
    if (this.#entry !== undefined) this.#writer.data(chunk, position)
  }

  end(): void {
    if (this.#entry === undefined) return
    this.#writer.end()
    // A file may have as many names as there are entries: each is written when it is wanted.
    if (this.#links.length > 0) this.#made.push(linksTo(this.#entry, this.#links))
  }

  remove(): void {}

  opaque(): void {}

  discard(): void {}

  /** What was made since, in order. */
  *drain(): Generator<Buffer> {
    const made = this.#made
    this.#made = []
    for (const bytes of made) yield* bytes
  }
}

function* linksTo(entry: Entry, paths: readonly ByteString[]): Generator<Buffer> {
  const {pieces: _, ...facts} = entry
  for (const path of paths)
    yield encodeEntry({...facts, path, kind: 'hardlink', link: entry.path, size: 0, xattrs: new Map()})
}
