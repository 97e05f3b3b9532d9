/**
 * Reads the directory of a layer as the changes that it makes: says of each name what a tar would say, and of each deletion what
 * it deletes, however it is spelled.
 */
import {ImgtoolError} from '../errors.ts'
import {joinPath, pathDepth, splitPath} from '../layer/path.ts'
import type {Entry, EntryKind} from '../layer/tar/entry.ts'
import {defaultLimits} from '../limits.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'
import type {ConfinedRoot} from './confined-root.ts'
import type {DialectReader} from './dialect.ts'
import {listDirectory} from './remove.ts'
import {judgeXattr} from './xattr-policy.ts'

/** A name in a layer's directory. */
export interface Found {
  readonly entry: Entry
  /** The same file has the same; undefined for a file with one name. */
  readonly identity: string | undefined
}

/** What the directory of a layer says. */
export type LayerChange = Added | Deleted

export interface Added extends Found {
  readonly kind: 'add'
}

export interface Deleted {
  /** One name, or all that lower layers have in a directory. */
  readonly kind: 'remove' | 'opaque'
  readonly path: ByteString
}

/** A directory on the way. */
interface Level {
  readonly path: ByteString
  /** In reverse: the next one is the last. */
  readonly names: ByteString[]
}

/**
 * Everything below the root: of each directory what is deleted first, then what is there, sorted by bytes, directories before
 * what they hold. Names of a file after the first are hard links to it. Sockets are left out, as docker does.
 *
 * Memory grows with the names of the directories on the way to one file.
 *
 * @throws {ImgtoolError} SYSTEM_ERROR where the tree changes meanwhile, PERMISSION_DENIED, WHITEOUT_INVALID, ENTRY_INVALID,
 *   LIMIT_EXCEEDED
 * @see OCI image-spec layer.md, "Whiteouts"
 */
export function* readChanges(root: ConfinedRoot, dialect: DialectReader): Generator<LayerChange> {
  const linked = new Map<string, ByteString>()
  for (const change of walkLayer(root, dialect)) yield change.kind === 'add' ? linkToFirst(change, linked) : change
}

/** The same file, or a hard link to the first of its names. @param linked of each file the first name, added to */
export function linkToFirst<Any extends Found>(found: Any, linked: Map<string, ByteString>): Any {
  const {entry, identity} = found
  const first = identity === undefined ? undefined : linked.get(identity)
  if (identity !== undefined && first === undefined) linked.set(identity, entry.path)
  if (first === undefined) return found
  return {...found, entry: {...entry, kind: 'hardlink', link: first, size: 0, xattrs: new Map()}}
}

/** As {@link readChanges}, with every name of a file as a file of its own. */
export function* walkLayer(root: ConfinedRoot, dialect: DialectReader): Generator<LayerChange> {
  const levels: Level[] = []
  function* enter(path: ByteString): Generator<Deleted> {
    requireDepth(path)
    const place = root.findDirectly(path)
    if (place === undefined)
      throw new ImgtoolError('SYSTEM_ERROR', `Cannot read "${printable(path)}" of the layer: it changed meanwhile`)
    const names = listDirectory(place.descriptor).toSorted()
    levels.push({path, names: dialect.visible(place.descriptor, names).toReversed()})
    if (dialect.hidesAll(place.descriptor)) yield {kind: 'opaque', path}
    for (const name of dialect.hidden(place.descriptor, names)) yield {kind: 'remove', path: deletedPath(path, name)}
  }
  yield* enter('')
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const name = level.names.pop()
    if (name === undefined) {
      levels.pop()
      continue
    }
    const found = find(root, joinPath(level.path, name))
    if (found === undefined) continue
    yield {kind: 'add', ...found}
    if (found.entry.kind === 'directory') yield* enter(found.entry.path)
  }
}

/**
 * Refuses a directory of more levels than the path of a layer's entry may have: each costs its whole path.
 *
 * @throws {ImgtoolError} LIMIT_EXCEEDED
 */
export function requireDepth(path: ByteString): void {
  if (pathDepth(path) <= defaultLimits.depth) return
  const message = `Cannot read "${printable(path.slice(0, shownLength))}…" of the layer: it has more than ${defaultLimits.depth} levels`
  throw new ImgtoolError('LIMIT_EXCEEDED', message)
}

/** As much of a path as helps. */
const shownLength = 60

/** What is at a path; undefined for a socket, and where there is nothing. */
export function find(root: ConfinedRoot, path: ByteString): Found | undefined {
  const {directory, name} = splitPath(path)
  const place = root.findDirectly(directory)
  if (place === undefined) return undefined
  const descriptor = os.openAt(place.descriptor, name, os.O_PATH | os.O_NOFOLLOW)
  if (descriptor === os.ENOENT) return undefined
  os.check(descriptor, 'open', path)
  try {
    return describe(descriptor, path)
  } finally {
    os.close(descriptor)
  }
}

/** Names in a directory, in the order of the file system; undefined where there is no directory. */
export function namesIn(root: ConfinedRoot, path: ByteString): ByteString[] | undefined {
  const place = root.findDirectly(path)
  return place && listDirectory(place.descriptor)
}

/** Names that mean a directory itself or its parent must not reach anybody. */
function deletedPath(directory: ByteString, name: ByteString): ByteString {
  if (name !== '' && name !== '.' && name !== '..') return joinPath(directory, name)
  const message = `A whiteout in "/${printable(directory)}" of the layer would delete "${name}"`
  throw new ImgtoolError('WHITEOUT_INVALID', message, {entry: directory})
}

/** What a descriptor is open on, O_PATH or not; undefined for a socket. */
export function describe(descriptor: number, path: ByteString): Found | undefined {
  const status = os.statusOf(descriptor, path)
  const kind = kinds[status.mode & os.S_IFMT]
  if (kind === undefined) return undefined
  const xattrs = kind === 'symlink' ? new Map<ByteString, ByteString>() : readXattrs(descriptor, path)
  const entry: Entry = {
    path,
    kind,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    mtime: status.mtime,
    size: kind === 'file' ? status.size : 0,
    link: kind === 'symlink' ? targetOf(descriptor, path) : '',
    deviceMajor: status.major,
    deviceMinor: status.minor,
    xattrs: new Map([...xattrs].filter(([name]) => judgeXattr(name) === 'keep')),
  }
  requireContent((name) => xattrs.has(name), path)
  return {entry, identity: status.links > 1 && kind !== 'directory' ? status.identity : undefined}
}

/**
 * What such a file or directory holds is in a layer below, under another name.
 *
 * @see linux Documentation/filesystems/overlayfs.rst, "Renaming directories", "Metadata only copy up"
 */
const movedNames = ['trusted', 'user'].flatMap((space) => [`${space}.overlay.redirect`, `${space}.overlay.metacopy`])

/**
 * Refuses what does not hold its content itself.
 *
 * @param has says whether it has an extended attribute
 * @throws {ImgtoolError} ENTRY_INVALID
 */
export function requireContent(has: (name: ByteString) => boolean, path: ByteString): void {
  const moved = movedNames.find(has)
  if (moved !== undefined) throw elsewhere(path, moved)
}

function elsewhere(path: ByteString, name: ByteString): ImgtoolError {
  const message = `Cannot read "${printable(path)}" of the layer: overlay has kept its content elsewhere (${name})`
  return new ImgtoolError('ENTRY_INVALID', message, {entry: path})
}

const kinds: Partial<Record<number, EntryKind>> = {
  [os.S_IFREG]: 'file',
  [os.S_IFDIR]: 'directory',
  [os.S_IFLNK]: 'symlink',
  [os.S_IFCHR]: 'character',
  [os.S_IFBLK]: 'block',
  [os.S_IFIFO]: 'fifo',
}

function targetOf(descriptor: number, path: ByteString): ByteString {
  const target = os.readLinkAt(descriptor, '')
  if (typeof target === 'number') os.check(target, 'read the symlink', path)
  return target as ByteString
}

function readXattrs(descriptor: number, path: ByteString): Map<ByteString, ByteString> {
  const xattrs = new Map<ByteString, ByteString>()
  const names = os.listXattrs(descriptor)
  if (names === os.EOPNOTSUPP) return xattrs
  if (typeof names === 'number') os.check(names, 'read the xattrs of', path)
  for (const name of (names as ByteString[]).toSorted()) {
    const value = os.getXattr(descriptor, name)
    if (typeof value === 'string') xattrs.set(name, value)
    else if (value !== os.ENODATA) os.check(value, 'read the xattrs of', path)
  }
  return xattrs
}
