/** The files of an image without unpacking it: its merged root file system, or one layer as it is. */
import {ImgtoolError} from './errors.ts'
import {requireWhole} from './image/missing.ts'
import type {Image} from './image/model.ts'
import {ChangeDecoder, whiteoutKind} from './layer/change.ts'
import {FileTable} from './layer/file-table.ts'
import {MergedTree, type TreeFile} from './layer/merged-tree.ts'
import {pathDepth} from './layer/path.ts'
import {countEntry, readLayer, startBudget} from './layer/read.ts'
import type {Entry, EntryKind} from './layer/tar/entry.ts'
import {defaultLimits, type Limits} from './limits.ts'
import {type ByteString, printable} from './text.ts'

/** A file as it is listed. */
export interface ListedFile {
  /** Bytes; without a slash in front; empty for the root. */
  readonly path: ByteString
  /** In one layer's list also `hardlink`; a whiteout has the kind of the entry that carries it. */
  readonly kind: EntryKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes, holes included. */
  readonly size: number
  readonly mtime: Entry['mtime']
  /** A symlink's target; in one layer's list also a hard link's. */
  readonly link?: ByteString
  readonly device?: {readonly major: number; readonly minor: number}
  readonly xattrs: ReadonlyMap<ByteString, ByteString>
  /** Number of names in the merged tree; 1 in one layer's list. */
  readonly links: number
  /** Layer that made the file, base first, from 0. */
  readonly layer: number
  /** What a whiteout deletes: one name, or all that lower layers have in its directory. */
  readonly whiteout?: 'remove' | 'opaque'
}

export interface ListOptions {
  /**
   * Where to begin; bytes; a slash in front does not matter. In the merged tree a slash behind it says that it is a directory,
   * which a symlink may lead to. @default the root
   *
   * @see POSIX base definitions 4.13, Pathname Resolution
   */
  readonly path?: ByteString
  /** Levels below the path. @default all */
  readonly depth?: number
  readonly limits?: Limits
  readonly signal?: AbortSignal
}

/**
 * Lists the merged root file system, as {@link unpackImage} would make it.
 *
 * @returns sorted by bytes, each directory before what is in it, the path itself first. Every layer was read whole and nothing
 *   more is; each walk makes the files anew, out of some 100 bytes a name that are kept
 * @throws {ImgtoolError} PATH_NOT_FOUND, PARENT_MISSING, BLOB_MISSING, and whatever reading layers throws
 */
export async function listFiles(image: Image, options: ListOptions = {}): Promise<Iterable<ListedFile>> {
  requireWhole(image)
  const budget = startBudget(options.limits ?? defaultLimits)
  const tree = new MergedTree(() => countEntry(budget))
  for (const layer of image.layers) {
    tree.startLayer()
    const decoder = new ChangeDecoder(tree, () => {})
    await readLayer(layer, decoder, budget, options)
    decoder.finish()
  }
  const {path = '', depth = Number.POSITIVE_INFINITY} = options
  const isDirectory = /\/\.?$/.test(path)
  const files = tree.list(trim(path) + (isDirectory ? '/' : ''), depth)
  if (files === undefined) throw notFound(path, isDirectory ? 'directory ' : '')
  return {[Symbol.iterator]: () => walkFiles(files)}
}

/**
 * Lists one layer's own entries, whiteouts included.
 *
 * @param index of the layer, base first, from 0; negative counts from the top
 * @returns in the order of the tar; kept like those of {@link listFiles}
 * @throws {ImgtoolError} PATH_NOT_FOUND for a layer that is not there, and whatever reading layers throws
 */
export async function listLayer(image: Image, index: number, options: ListOptions = {}): Promise<Iterable<ListedFile>> {
  const layer = image.layers.at(index)
  if (layer === undefined) {
    throw new ImgtoolError(
      'PATH_NOT_FOUND',
      `Cannot find layer ${index}: the topmost of the image is ${image.layers.length - 1}, the lowest 0`,
    )
  }
  const path = trim(options.path ?? '')
  const deepest = pathDepth(path) + (options.depth ?? Number.POSITIVE_INFINITY)
  const entries = new FileTable()
  const paths: ByteString[] = []
  const take = (entry: Entry) => {
    if (!isWithin(entry.path, path) || pathDepth(entry.path) > deepest) return
    entries.add(entry)
    paths.push(entry.path)
  }
  await readLayer(
    layer,
    {entry: take, data: () => {}, end: () => {}},
    startBudget(options.limits ?? defaultLimits),
    options,
  )
  if (paths.length === 0 && path !== '') throw notFound(options.path ?? '')
  return {[Symbol.iterator]: () => walkLayer(entries, paths, layer.index)}
}

function* walkFiles(files: Iterable<TreeFile>): Generator<ListedFile> {
  for (const file of files) yield toListed(file)
}

function* walkLayer(entries: FileTable, paths: readonly ByteString[], layer: number): Generator<ListedFile> {
  for (const [number, path] of paths.entries()) {
    const whiteout = whiteoutKind(path)
    const listed = toListed({entry: {...entries.read(number), path}, layer, links: 1})
    yield {...listed, ...(whiteout === undefined ? {} : {whiteout})}
  }
}

function toListed({entry, layer, links}: TreeFile): ListedFile {
  const isDevice = entry.kind === 'character' || entry.kind === 'block'
  return {
    path: entry.path,
    kind: entry.kind,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtime: entry.mtime,
    ...(entry.link === '' ? {} : {link: entry.link}),
    ...(isDevice ? {device: {major: entry.deviceMajor, minor: entry.deviceMinor}} : {}),
    xattrs: entry.xattrs,
    links,
    layer,
  }
}

function trim(path: ByteString): ByteString {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')
}

function isWithin(path: ByteString, directory: ByteString): boolean {
  return directory === '' || path === directory || path.startsWith(`${directory}/`)
}

function notFound(path: ByteString, kind = ''): ImgtoolError {
  return new ImgtoolError('PATH_NOT_FOUND', `Cannot find ${kind}"${printable(path)}" in the image`)
}
