/** Translates one layer between the forms that deletions have: those of storage drivers, and that of a layer's tar. */
import {readFileSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {openBlob} from './archive/open-blob.ts'
import {type CompressionOptions, startCompressor} from './compression/compress.ts'
import {standardOutput, type TarCompression} from './destination.ts'
import type {DirectoryForm} from './driver/layer-directory.ts'
import type {LowerLayers} from './driver/lower.ts'
import {ImgtoolError} from './errors.ts'
import {Batch} from './layer/batch.ts'
import {ChangeDecoder, type ChangeSink, type OnWarning} from './layer/change.ts'
import {countEntry, rewriteLayer, startBudget} from './layer/read.ts'
import type {Entry} from './layer/tar/entry.ts'
import {TarChanges} from './layer/tar-changes.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {explainWriteError, openNewFile, writeToStandardOutput} from './output.ts'
import {standardInput} from './reference.ts'
import {endOfTar} from './tar/blocks.ts'
import {printableText} from './text.ts'
import {Counter, requireSystem} from './unpack.ts'

/** Where deletions are spelled: a directory as aufs or overlay have it, or a layer's tar. */
export const layerForms = ['aufs', 'overlay', 'tar'] as const
export type LayerForm = (typeof layerForms)[number]
/** `inplace` spells none: it carries them out on what is there. */
export const targetForms = [...layerForms, 'inplace'] as const
export type TargetForm = (typeof targetForms)[number]

export interface TranslateOptions extends Omit<CompressionOptions, 'compression'> {
  readonly from: LayerForm
  readonly to: TargetForm
  /**
   * Directories of the layers below, nearest first, in the form of `from`, or of `to` where `from` is `tar`. Without any the
   * layer is translated alone: every deletion is kept, and what is linked to must be in the layer.
   */
  readonly lower?: readonly string[]
  /** Of a tar. @default 'none' */
  readonly compression?: TarCompression | undefined
  /** Replace a file that exists. @default false */
  readonly force?: boolean | undefined
  readonly limits?: Limits | undefined
  readonly onWarning?: OnWarning | undefined
  readonly signal?: AbortSignal | undefined
}

/** What the layer has. */
export interface TranslateResult {
  readonly entries: number
  /** Of its files, holes included. */
  readonly bytes: number
  /** Deletions; with lower layers, of a directory, those that hide something. */
  readonly whiteouts: number
}

/**
 * Translates a layer. Its target appears complete or not at all, but for standard output.
 *
 * With `inplace` the target is what lies below the layer, which deletions delete: it has to be there, and is changed in a copy that
 * takes its place in the end.
 *
 * @param source directory, or for `tar` a file, compressed or not, or `-`
 * @param target directory, or for `tar` a file or `-`
 * @throws {ImgtoolError} REFERENCE_INVALID for lower layers that would mean nothing, and what was meant otherwise, SOURCE_NOT_FOUND, TARGET_EXISTS,
 *   TARGET_INVALID, PERMISSION_DENIED, NO_SPACE, PLATFORM_UNSUPPORTED, WHITEOUT_INVALID for what the target's form cannot say,
 *   and whatever reading a layer throws
 */
export async function translateLayer(
  source: string,
  target: string,
  options: TranslateOptions,
): Promise<TranslateResult> {
  requireSystem()
  checkLower(options)
  checkPlaces(source, target, options)
  const {openLower} = await import('./driver/layer-directory.ts')
  const {from, to, lower: paths = []} = options
  const lower = openLower(paths, formOf(from) ?? formOf(to) ?? 'aufs')
  try {
    await using layer = await openLayer(source, lower, options)
    const counter = new LayerCounter()
    if (to === 'tar') await writeTar(layer, counter, target, options)
    else await writeDirectory(layer, counter, {target, lower}, options)
    if (from === 'tar') counter.warnOfImage(options.onWarning)
    return counter.counts()
  } finally {
    lower?.close()
  }
}

function checkLower({from, to, lower = []}: TranslateOptions): void {
  if (lower.length === 0 || (to !== 'inplace' && (formOf(from) ?? formOf(to)) !== undefined)) return
  const isInPlace = to === 'inplace'
  const why = isInPlace ? 'what lies below is the target itself' : 'they are directories, and both sides are tars'
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot use lower layers here: ${why}`)
}

/** Refuses what was meant otherwise. */
function checkPlaces(source: string, target: string, {from, to, lower = []}: TranslateOptions): void {
  const refuse = (message: string, hint: string) => new ImgtoolError('REFERENCE_INVALID', `Cannot ${message}`, {hint})
  if (from !== 'tar' && source === standardInput)
    throw refuse('read a directory from standard input', 'Give --from tar, or ./- for a directory of that name')
  if (to !== 'tar' && target === standardOutput)
    throw refuse('write a directory to standard output', 'Give --to tar, or ./- for a directory of that name')
  if (lower.includes(standardInput))
    throw refuse('read a directory from standard input', 'Give ./- for a directory of that name')
  const directories = [...(from === 'tar' ? [] : [source]), ...lower]
  const place = (formOf(from) ?? formOf(to)) === 'overlay' ? directories.find(isPlace) : undefined
  if (place === undefined) return
  const shown = printableText(place)
  throw refuse(`read "${shown}" as a layer: it is what overlay2 has of one, with more`, `Give ${join(shown, 'diff')}`)
}

/** Whether a directory is what docker has of a layer, which is in `diff` there. @see moby daemon/graphdriver/overlay2/overlay.go */
function isPlace(path: string): boolean {
  try {
    return (
      statSync(join(path, 'diff')).isDirectory() && /^[A-Z0-9]{26}$/.test(readFileSync(join(path, 'link'), 'latin1'))
    )
  } catch {
    return false
  }
}

/** What archives of images have at their top. */
const imageFiles: ReadonlySet<string> = new Set(['manifest.json', 'repositories', 'oci-layout'])

class LayerCounter extends Counter {
  #imageFile: string | undefined

  override add(entry: Entry): void {
    if (entry.kind === 'file' && imageFiles.has(entry.path)) this.#imageFile ??= entry.path
    super.add(entry)
  }

  warnOfImage(warn: OnWarning | undefined): void {
    if (this.#imageFile === undefined) return
    const message = `The layer looks like the archive of a whole image: it has "${this.#imageFile}" at its top`
    warn?.({code: 'LAYER_IS_IMAGE', message})
  }
}

function formOf(form: TargetForm): DirectoryForm | undefined {
  return form === 'aufs' || form === 'overlay' ? form : undefined
}

/** A layer that can be read once. */
interface OpenLayer extends AsyncDisposable {
  /** Sends it to a sink. @param drain takes what the sink has made, all of it used before more is read */
  read(sink: ChangeSink, drain?: () => Iterable<Buffer>): AsyncGenerator<Buffer, unknown>
}

async function openLayer(
  source: string,
  lower: LowerLayers | undefined,
  {from, limits = defaultLimits, onWarning = () => {}, signal}: TranslateOptions,
): Promise<OpenLayer> {
  const form = formOf(from)
  if (form !== undefined) {
    const {LayerDirectory} = await import('./driver/layer-directory.ts')
    const directory = new LayerDirectory(source, form, lower)
    return {
      read: (sink, drain) => directory.read(sink, drain, signal),
      [Symbol.asyncDispose]: async () => directory.close(),
    }
  }
  const file = await openBlob(source, limits)
  return {
    async *read(sink, drain = () => []) {
      const decoder = new ChangeDecoder(sink, onWarning)
      yield* rewriteLayer({index: 0, blob: file.blob}, decoder, startBudget(limits), drain, {signal})
      decoder.finish()
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  }
}

async function writeTar(layer: OpenLayer, counter: Counter, path: string, options: TranslateOptions): Promise<void> {
  const {compression = 'none', force = false, signal} = options
  await using compressor = compression === 'none' ? undefined : await startCompressor({...options, compression})
  const tar = encode(layer, counter)
  const bytes = compressor?.compress(tar) ?? tar
  if (path === standardOutput) {
    for await (const piece of bytes) await writeToStandardOutput(piece)
    return
  }
  try {
    await using file = await openNewFile(path, force)
    for await (const piece of bytes) await file.write(piece)
    signal?.throwIfAborted()
    await file.commit()
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

async function* encode(layer: OpenLayer, counter: Counter): AsyncGenerator<Buffer> {
  const batch = new Batch()
  let made: Buffer[] = []
  counter.target = new TarChanges((bytes) => void made.push(bytes))
  const drain = () => {
    const pieces = made
    made = []
    return batch.addAll(pieces)
  }
  yield* layer.read(counter, drain)
  yield* drain()
  yield* batch.add(endOfTar)
  yield* batch.flush()
}

async function writeDirectory(
  layer: OpenLayer,
  counter: Counter,
  {target, lower}: {readonly target: string; readonly lower: LowerLayers | undefined},
  {to, limits = defaultLimits, onWarning = () => {}, signal}: TranslateOptions,
): Promise<void> {
  const {changeDirectory, makeLayerDirectory} = await import('./driver/layer-directory.ts')
  const budget = startBudget(limits)
  const options = {onWarning, onImplied: () => countEntry(budget)}
  const form = formOf(to)
  const made = form === undefined ? changeDirectory(target, options) : makeLayerDirectory(target, form, lower, options)
  try {
    counter.target = made.changes
    for await (const _ of layer.read(counter));
    signal?.throwIfAborted()
    made.commit()
  } finally {
    made.abort()
  }
}
