/** Walks the directory of a layer and says of each name what a tar would say. */
import {type BigIntStats, fstatSync} from 'node:fs'
import type {ConfinedRoot} from '../driver/confined-root.ts'
import {listDirectory} from '../driver/remove.ts'
import {judgeXattr} from '../driver/xattr-policy.ts'
import {ImgtoolError} from '../errors.ts'
import {joinPath, splitPath} from '../layer/path.ts'
import type {Entry, EntryKind} from '../layer/tar/entry.ts'
import * as os from '../os/libc.ts'
import {type ByteString, printable} from '../text.ts'

/** A name in a layer's directory. */
export interface Found {
  readonly entry: Entry
  /** The same file has the same; undefined for a file with one name. */
  readonly identity: string | undefined
  /** A directory that overlay hides everything below of. */
  readonly isOpaque: boolean
}

/** A directory on the way. */
interface Level {
  readonly path: ByteString
  /** In reverse: the next one is the last. */
  readonly names: ByteString[]
}

/**
 * Everything below the root, sorted by bytes, directories before what they hold. Sockets are left out, as docker does.
 *
 * Memory grows with the names of the directories on the way to one file.
 *
 * @throws {ImgtoolError} SYSTEM_ERROR where the tree changes meanwhile, PERMISSION_DENIED
 */
export function* walkLayer(root: ConfinedRoot): Generator<Found> {
  const levels: Level[] = [levelAt(root, '')]
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const name = level.names.pop()
    if (name === undefined) {
      levels.pop()
      continue
    }
    const found = find(root, joinPath(level.path, name))
    if (found === undefined) continue
    yield found
    if (found.entry.kind === 'directory') levels.push(levelAt(root, found.entry.path))
  }
}

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

function levelAt(root: ConfinedRoot, path: ByteString): Level {
  const names = namesIn(root, path)
  if (names === undefined)
    throw new ImgtoolError('SYSTEM_ERROR', `Cannot read "${printable(path)}" of the layer: it changed meanwhile`)
  return {path, names: names.toSorted().toReversed()}
}

function describe(descriptor: number, path: ByteString): Found | undefined {
  const stats = fstatSync(descriptor, {bigint: true})
  const kind = kindOf(stats)
  if (kind === undefined) return undefined
  const xattrs = kind === 'symlink' ? new Map<ByteString, ByteString>() : readXattrs(descriptor, path)
  const entry: Entry = {
    path,
    kind,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtime: timeOf(stats),
    size: kind === 'file' ? Number(stats.size) : 0,
    link: kind === 'symlink' ? targetOf(descriptor, path) : '',
    ...deviceOf(kind, stats),
    xattrs: new Map([...xattrs].filter(([name]) => judgeXattr(name) === 'keep')),
  }
  const isOpaque = opaqueNames.some((name) => xattrs.get(name) === 'y')
  return {entry, isOpaque, identity: stats.nlink > 1n && kind !== 'directory' ? `${stats.dev}:${stats.ino}` : undefined}
}

/** @see linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories" */
const opaqueNames = ['trusted.overlay.opaque', 'user.overlay.opaque']

function kindOf(stats: BigIntStats): EntryKind | undefined {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isCharacterDevice()) return 'character'
  if (stats.isBlockDevice()) return 'block'
  return stats.isFIFO() ? 'fifo' : undefined
}

/** Rounded down, as tars count. */
function timeOf({mtimeNs}: BigIntStats): Entry['mtime'] {
  const second = 1_000_000_000n
  const nanoseconds = ((mtimeNs % second) + second) % second
  return {seconds: Number((mtimeNs - nanoseconds) / second), nanoseconds: Number(nanoseconds)}
}

/** @see makedev(3) */
function deviceOf(kind: EntryKind, {rdev}: BigIntStats): Pick<Entry, 'deviceMajor' | 'deviceMinor'> {
  if (kind !== 'character' && kind !== 'block') return {deviceMajor: 0, deviceMinor: 0}
  return {deviceMajor: Number((rdev >> 8n) & 0xfffn), deviceMinor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n))}
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
