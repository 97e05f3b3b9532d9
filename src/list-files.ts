/** The files of an image without unpacking it: its merged root file system, or one layer as it is. */
import {ImgtoolError} from './errors.ts'
import {requireWhole} from './image/missing.ts'
import type {Image} from './image/model.ts'
import {ChangeDecoder, whiteoutKind} from './layer/change.ts'
import {MergedTree} from './layer/merged-tree.ts'
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
  /** Where to begin; bytes; slashes around it do not matter. @default the root */
  readonly path?: ByteString
  /** Levels below the path. @default all */
  readonly depth?: number
  readonly limits?: Limits
  readonly signal?: AbortSignal
}

/**
 * Lists the merged root file system, as {@link unpackImage} would make it.
 *
 * @returns sorted by bytes, each directory before what is in it, the path itself first; reads every layer whole and keeps
 *   about 500 bytes an entry
 * @throws {ImgtoolError} PATH_NOT_FOUND, PARENT_MISSING, BLOB_MISSING, and whatever reading layers throws
 */
export async function listFiles(image: Image, options: ListOptions = {}): Promise<ListedFile[]> {
  requireWhole(image)
  const budget = startBudget(options.limits ?? defaultLimits)
  const tree = new MergedTree(() => countEntry(budget))
  for (const layer of image.layers) {
    tree.startLayer()
    const decoder = new ChangeDecoder(tree, () => {})
    await readLayer(layer, decoder, budget, options)
    decoder.finish()
  }
  const path = trim(options.path ?? '')
  const listed = tree.list(path, options.depth ?? Number.POSITIVE_INFINITY)
  if (listed === undefined) throw notFound(options.path ?? '')
  return listed.map(({path: name, file}) => toListed(name, file.entry, file.layer, file.links))
}

/**
 * Lists one layer's own entries, whiteouts included.
 *
 * @param index of the layer, base first, from 0; negative counts from the top
 * @returns in the order of the tar
 * @throws {ImgtoolError} PATH_NOT_FOUND for a layer that is not there, and whatever reading layers throws
 */
export async function listLayer(image: Image, index: number, options: ListOptions = {}): Promise<ListedFile[]> {
  const layer = image.layers.at(index)
  if (layer === undefined) {
    throw new ImgtoolError(
      'PATH_NOT_FOUND',
      `Cannot find layer ${index}: the topmost of the image is ${image.layers.length - 1}, the lowest 0`,
    )
  }
  const path = trim(options.path ?? '')
  const deepest = pathDepth(path) + (options.depth ?? Number.POSITIVE_INFINITY)
  const listed: ListedFile[] = []
  const take = (entry: Entry) => {
    if (!isWithin(entry.path, path) || pathDepth(entry.path) > deepest) return
    const whiteout = whiteoutKind(entry.path)
    listed.push({...toListed(entry.path, entry, layer.index, 1), ...(whiteout === undefined ? {} : {whiteout})})
  }
  await readLayer(
    layer,
    {entry: take, data: () => {}, end: () => {}},
    startBudget(options.limits ?? defaultLimits),
    options,
  )
  if (listed.length === 0 && path !== '') throw notFound(options.path ?? '')
  return listed
}

function toListed(path: ByteString, entry: Entry, layer: number, links: number): ListedFile {
  const isDevice = entry.kind === 'character' || entry.kind === 'block'
  return {
    path,
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

function notFound(path: ByteString): ImgtoolError {
  return new ImgtoolError('PATH_NOT_FOUND', `Cannot find "${printable(path)}" in the image`)
}
