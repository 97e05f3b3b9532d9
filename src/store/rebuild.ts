/**
 * Makes the tar of a layer anew of the files that a storage driver keeps of it, for a store that has lost the tar-split. The same
 * files give the same bytes, but not those that the layer had: its diffID is another one.
 */
import type {ConfinedRoot} from '../driver/confined-root.ts'
import {anyAufs, anyOverlay, wholeTree} from '../driver/dialect.ts'
import {type Deleted, type LayerChange, linkToFirst, namesIn, readChanges, walkLayer} from '../driver/layer-walk.ts'
import {joinPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import {encodeEntry} from '../layer/tar/writer.ts'
import {opaqueEntry, removalEntry, requirePlain} from '../layer/tar-changes.ts'
import {endOfTar, paddingOf} from '../tar/blocks.ts'
import type {ByteString} from '../text.ts'
import type {StoreDriver} from './layout.ts'
import type {LayerFiles} from './store-files.ts'
import type {Piece} from './tar-split.ts'

/** The layer below, where a driver keeps whole trees. */
export interface Below {
  readonly files: LayerFiles
  /** What differs from it, by path. @see changedPaths */
  readonly changed: ReadonlySet<ByteString>
}

/**
 * The pieces of the tar.
 *
 * @param below undefined at the base, and for drivers that keep only what differs
 * @throws {ImgtoolError} WHITEOUT_INVALID for a file whose name would be a whiteout
 */
export function* rebuildTar(driver: StoreDriver, files: LayerFiles, below: Below | undefined): Generator<Piece> {
  for (const change of changesOf[driver](files, below)) yield* encode(change)
  yield {kind: 'segment', bytes: endOfTar}
}

const changesOf: Readonly<
  Record<StoreDriver, (files: LayerFiles, below: Below | undefined) => Generator<LayerChange>>
> = {
  overlay2: ({root}) => readChanges(root, anyOverlay),
  aufs: ({root}) => readChanges(root, anyAufs),
  vfs: treeChanges,
  overlay: treeChanges,
}

function* encode(change: LayerChange): Generator<Piece> {
  const entry = entryOf(change)
  yield {kind: 'segment', bytes: encodeEntry(entry)}
  if (entry.size === 0) return
  yield {kind: 'file', name: entry.path, size: entry.size, checksum: undefined}
  const padding = paddingOf(entry.size)
  if (padding > 0) yield {kind: 'segment', bytes: Buffer.alloc(padding)}
}

function entryOf(change: LayerChange): Entry {
  if (change.kind !== 'add') return change.kind === 'remove' ? removalEntry(change.path) : opaqueEntry(change.path)
  requirePlain(change.entry.path)
  return change.entry
}

/** Of a whole tree: what differs from the parent's was changed, and what is not there was deleted. */
function* treeChanges({root}: LayerFiles, below: Below | undefined): Generator<LayerChange> {
  const linked = new Map<string, ByteString>()
  if (below !== undefined) yield* deletions(root, below, '')
  for (const change of walkLayer(root, wholeTree)) {
    if (change.kind !== 'add') continue
    const {path, kind} = change.entry
    requirePlain(path)
    if (below === undefined || below.changed.has(path)) yield linkToFirst(change, linked)
    if (below !== undefined && kind === 'directory') yield* deletions(root, below, path)
  }
}

function* deletions(root: ConfinedRoot, below: Below, directory: ByteString): Generator<Deleted> {
  const left = new Set(namesIn(root, directory))
  const gone = (namesIn(below.files.root, directory) ?? []).filter((name) => !left.has(name))
  for (const name of gone.toSorted()) yield {kind: 'remove', path: joinPath(directory, name)}
}
