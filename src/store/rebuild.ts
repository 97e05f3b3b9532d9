/**
 * Makes the tar of a layer anew of the files that a storage driver keeps of it, for a store that has lost the tar-split. The same
 * files give the same bytes, but not those that the layer had: its diffID is another one.
 */
import type {ConfinedRoot} from '../driver/confined-root.ts'
import {ImgtoolError} from '../errors.ts'
import {opaqueMarkOf, removalOf, whiteoutKind} from '../layer/change.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import type {Entry} from '../layer/tar/entry.ts'
import {blockSize} from '../layer/tar/header.ts'
import {encodeEntry, endOfTar} from '../layer/tar/writer.ts'
import {type ByteString, printable} from '../text.ts'
import {type Found, namesIn, walkLayer} from './layer-walk.ts'
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
  const linked = new Map<string, ByteString>()
  for (const {entry, identity} of changesOf[driver](files, below)) {
    const first = identity === undefined ? undefined : linked.get(identity)
    if (identity !== undefined && first === undefined) linked.set(identity, entry.path)
    yield* encode(first === undefined ? entry : {...entry, kind: 'hardlink', link: first, size: 0, xattrs: new Map()})
  }
  yield {kind: 'segment', bytes: endOfTar}
}

type Change = Pick<Found, 'entry' | 'identity'>

const changesOf: Readonly<Record<StoreDriver, (files: LayerFiles, below: Below | undefined) => Generator<Change>>> = {
  overlay2: overlayChanges,
  aufs: aufsChanges,
  vfs: treeChanges,
  overlay: treeChanges,
}

function* encode(entry: Entry): Generator<Piece> {
  yield {kind: 'segment', bytes: encodeEntry(entry)}
  if (entry.size === 0) return
  yield {kind: 'file', name: entry.path, size: entry.size, checksum: undefined}
  const over = entry.size % blockSize
  if (over > 0) yield {kind: 'segment', bytes: Buffer.alloc(blockSize - over)}
}

/** Devices 0:0 are deletions, and an xattr makes a directory opaque. @see linux Documentation/filesystems/overlayfs.rst */
function* overlayChanges({root}: LayerFiles): Generator<Change> {
  for (const {entry, identity, isOpaque} of walkLayer(root)) {
    if (entry.kind === 'character' && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      yield removal(entry.path)
      continue
    }
    requirePlain(entry)
    yield {entry, identity}
    if (isOpaque) yield mark(opaqueMarkOf(entry.path))
  }
}

/** A branch of aufs is a layer as it is, but for the names of aufs itself; all deletions may be one file. @see aufs(5) */
function* aufsChanges({root}: LayerFiles): Generator<Change> {
  for (const {entry, identity} of walkLayer(root)) {
    const kind = whiteoutKind(entry.path)
    if (kind !== undefined) yield mark(entry.path)
    else if (!isOfAufs(entry.path)) yield {entry, identity}
  }
}

function isOfAufs(path: ByteString): boolean {
  return path.startsWith('.wh..wh.')
}

/** Of a whole tree: what differs from the parent's was changed, and what is not there was deleted. */
function* treeChanges({root}: LayerFiles, below: Below | undefined): Generator<Change> {
  if (below !== undefined) yield* deletions(root, below, '')
  for (const found of walkLayer(root)) {
    const {path, kind} = found.entry
    requirePlain(found.entry)
    if (below === undefined || below.changed.has(path)) yield found
    if (below !== undefined && kind === 'directory') yield* deletions(root, below, path)
  }
}

function* deletions(root: ConfinedRoot, below: Below, directory: ByteString): Generator<Change> {
  const left = new Set(namesIn(root, directory))
  const gone = (namesIn(below.files.root, directory) ?? []).filter((name) => !left.has(name))
  for (const name of gone.toSorted()) yield removal(joinPath(directory, name))
}

/** A file that is called like a deletion would become one. */
function requirePlain({path}: Entry): void {
  if (!splitPath(path).name.startsWith('.wh.')) return
  throw new ImgtoolError('WHITEOUT_INVALID', `"${printable(path)}" of the layer is no deletion, but would become one`, {
    entry: path,
  })
}

function removal(path: ByteString): Change {
  return mark(removalOf(path))
}

/** An empty file of root, from 1970. */
function mark(path: ByteString): Change {
  const [nobody, never] = [{uid: 0, gid: 0}, {mtime: {seconds: 0, nanoseconds: 0}}]
  const plain = {link: '', deviceMajor: 0, deviceMinor: 0, xattrs: new Map()}
  return {entry: {path, kind: 'file', mode: 0o600, size: 0, ...nobody, ...never, ...plain}, identity: undefined}
}
