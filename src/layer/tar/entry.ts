/** An entry of a layer's tar, with all that its headers say of it, checked. */
import {ImgtoolError} from '../../errors.ts'
import {checkLimit, type Limits} from '../../limits.ts'
import {type ByteString, printable} from '../../text.ts'
import type {Header} from './header.ts'
import {paxNumber, paxTime, type Time} from './number.ts'
import type {PaxRecord} from './pax.ts'
import type {SparsePiece} from './sparse.ts'

export type EntryKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo'

/** One member of a layer. */
export interface Entry {
  /** Components joined by `/`, without `.`, `..` or a slash at either end; empty for the root itself. */
  readonly path: ByteString
  readonly kind: EntryKind
  /** Permissions and special bits, at most 07777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Time
  /** Bytes of content, holes included; 0 for what is no file. */
  readonly size: number
  /** A symlink's target as it is, or a hard link's as a {@link path}. */
  readonly link: ByteString
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** In the order of the headers; names are unique. */
  readonly xattrs: ReadonlyMap<ByteString, ByteString>
  /** Where a sparse file has data, ascending; absent for files without a map. */
  readonly pieces?: readonly SparsePiece[]
}

/** What extension headers said of the entry that follows them. */
export interface Extension {
  readonly longName?: ByteString
  readonly longLink?: ByteString
  readonly pax?: readonly PaxRecord[]
}

/** An entry before its content, and what its headers say of a sparse map in PAX form. */
export interface DecodedEntry {
  readonly entry: Entry
  /** As the headers spell it. */
  readonly name: ByteString
  /** Bytes of content in the tar. */
  readonly stored: number
  /** PAX records by key, last one wins, emptied ones gone. */
  readonly records: ReadonlyMap<ByteString, ByteString>
}

const kinds: Partial<Record<string, EntryKind>> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}

const noXattrs: ReadonlyMap<ByteString, ByteString> = new Map()
const noRecords: ReadonlyMap<ByteString, ByteString> = new Map()

/** Highest id: 2^32-1 is the "leave as it is" of chown(2). */
const maximumID = 0xffff_fffe
/** Device numbers of Linux: 12 bits for the major, 20 for the minor. @see linux include/linux/kdev_t.h */
const maximumMajor = 0xfff
const maximumMinor = 0xf_ffff

/**
 * Joins a header with the extension headers before it.
 *
 * @throws {ImgtoolError} TAR_INVALID for what contradicts itself or cannot be read, ENTRY_INVALID for values out of range,
 *   PATH_ESCAPES for `..`, LIMIT_EXCEEDED for a deep path or a large sparse file
 */
export function decodeEntry(header: Header, extension: Extension, limits: Limits): DecodedEntry {
  const records = extension.pax === undefined ? noRecords : toMap(extension.pax)
  const rawName = records.get('GNU.sparse.name') ?? records.get('path') ?? extension.longName ?? header.name
  const kind = toKind(header.type, rawName)
  const stored = has(records, 'size') ? paxNumber(records.get('size')!, 'PAX size') : header.size
  if (stored < 0) throw new ImgtoolError('TAR_INVALID', 'The size of an entry is negative', {entry: rawName})
  if (kind !== 'file' && stored !== 0) {
    throw new ImgtoolError('TAR_INVALID', `A ${kind} has content, which readers take for entries or not`, {
      entry: rawName,
    })
  }
  const link = records.get('linkpath') ?? extension.longLink ?? header.link
  const entry: Entry = {
    path: cleanPath(rawName, limits),
    kind,
    mode: header.mode & 0o7777,
    uid: toID(records, 'uid', header.uid),
    gid: toID(records, 'gid', header.gid),
    mtime: has(records, 'mtime')
      ? paxTime(records.get('mtime')!, 'PAX mtime')
      : {seconds: header.mtime, nanoseconds: 0},
    size: stored,
    link: kind === 'hardlink' ? cleanPath(link, limits) : kind === 'symlink' ? requireTarget(link) : '',
    ...toDevice(kind, header),
    xattrs: toXattrs(records, rawName),
  }
  return {entry, name: rawName, stored, records}
}

/**
 * A name as components, or a refusal.
 *
 * Absolute names are taken as relative, as every reader does; `..` is refused, because readers disagree on where it leads.
 */
export function cleanPath(name: ByteString, limits: Limits): ByteString {
  if (name === '') throw new ImgtoolError('ENTRY_INVALID', 'An entry has an empty name')
  if (name.includes('\0')) throw new ImgtoolError('ENTRY_INVALID', 'A name has a NUL in it', {entry: name})
  const clean = isClean(name) ? name : joinComponents(name)
  // A path has at least two bytes a level, so that short ones need not be counted.
  if (clean.length >= 2 * limits.depth) checkLimit(limits, 'depth', clean.split('/').length, 'levels of a path')
  return clean
}

function isClean(name: ByteString): boolean {
  return !/(?:^|\/)\.{0,2}(?:\/|$)/.test(name)
}

function joinComponents(name: ByteString): ByteString {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) {
    throw new ImgtoolError('PATH_ESCAPES', `The name "${printable(name).slice(0, 300)}" has ".." in it`, {entry: name})
  }
  return parts.join('/')
}

function toMap(pax: readonly PaxRecord[]): Map<ByteString, ByteString> {
  const records = new Map(pax)
  // An empty value takes the record back, so that an xattr cannot be empty. @see POSIX pax, "pax Extended Header"
  for (const [key, value] of records) if (value === '') records.delete(key)
  return records
}

function has(records: ReadonlyMap<ByteString, ByteString>, key: string): boolean {
  return records.has(key)
}

function toKind(type: string, name: ByteString): EntryKind {
  const kind = kinds[type]
  if (kind === undefined) {
    throw new ImgtoolError('TAR_INVALID', `An entry has the unknown type "${printable(type)}"`, {entry: name})
  }
  // Before POSIX, a directory was a file whose name ends in a slash.
  return kind === 'file' && type === '0' && name.endsWith('/') ? 'directory' : kind
}

function toID(records: ReadonlyMap<ByteString, ByteString>, key: 'uid' | 'gid', fallback: number): number {
  const id = has(records, key) ? paxNumber(records.get(key)!, `PAX ${key}`) : fallback
  if (id >= 0 && id <= maximumID) return id
  throw new ImgtoolError('ENTRY_INVALID', `The ${key} ${id} of an entry is out of range`)
}

function requireTarget(target: ByteString): ByteString {
  if (target !== '' && !target.includes('\0')) return target
  throw new ImgtoolError(
    'LINK_INVALID',
    target === '' ? 'A symlink has no target' : 'The target of a symlink has a NUL in it',
  )
}

function toDevice(kind: EntryKind, {deviceMajor, deviceMinor}: Header): Pick<Entry, 'deviceMajor' | 'deviceMinor'> {
  if (kind !== 'character' && kind !== 'block') return {deviceMajor: 0, deviceMinor: 0}
  const valid = deviceMajor >= 0 && deviceMajor <= maximumMajor && deviceMinor >= 0 && deviceMinor <= maximumMinor
  if (valid) return {deviceMajor, deviceMinor}
  throw new ImgtoolError('ENTRY_INVALID', `The device ${deviceMajor}:${deviceMinor} is out of range`)
}

/** Prefix of the PAX keys that carry xattrs. @see star(5), SCHILY.xattr */
const xattrPrefix = 'SCHILY.xattr.'

/** Bytes of the name and the value of an xattr that Linux takes. @see xattr(7), "Filesystem differences"; linux include/uapi/linux/limits.h */
const maximumXattrName = 255
const maximumXattrValue = 65_536

function toXattrs(
  records: ReadonlyMap<ByteString, ByteString>,
  entry: ByteString,
): ReadonlyMap<ByteString, ByteString> {
  let xattrs: Map<ByteString, ByteString> | undefined
  for (const [key, value] of records) {
    if (!key.startsWith(xattrPrefix)) continue
    const name = key.slice(xattrPrefix.length)
    if (name === '' || name.includes('\0')) throw invalidXattr(entry, 'An xattr has no usable name')
    if (name.length > maximumXattrName)
      throw invalidXattr(entry, `The name of an xattr has ${name.length} bytes, more than ${maximumXattrName}`)
    if (value.length > maximumXattrValue)
      throw invalidXattr(entry, `The value of an xattr has ${value.length} bytes, more than ${maximumXattrValue}`)
    xattrs ??= new Map()
    xattrs.set(name, value)
  }
  return xattrs ?? noXattrs
}

function invalidXattr(entry: ByteString, why: string): ImgtoolError {
  return new ImgtoolError('ENTRY_INVALID', why, {entry})
}
