/** Files of an image or a layer, as `ls -l` and as documents. */
import type {EntryKind} from '../layer/tar/entry.ts'
import type {ListedFile} from '../list-files.ts'
import {type ByteString, isText, printable, toText} from '../text.ts'
import {formatJSON} from './json.ts'

const kindLetters: Readonly<Record<EntryKind, string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  character: 'c',
  block: 'b',
  fifo: 'p',
}

/**
 * Lines like those of `ls -l`: mode (`+` where there are extended attributes), links, owner, group, size or device numbers,
 * time in UTC, path.
 *
 * @param files are walked twice: all of them decide how wide a column is
 */
export function* formatListing(files: Iterable<ListedFile>): Generator<string> {
  const widths = [0, 0, 0, 0, 0, 0]
  for (const file of files) {
    for (const [column, cell] of cellsOf(file).entries()) widths[column] = Math.max(widths[column]!, cell.length)
  }
  for (const file of files) {
    const aligned = cellsOf(file).map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
    )
    yield [...aligned, formatName(file)].join(' ')
  }
}

function cellsOf(file: ListedFile): string[] {
  return [
    formatMode(file),
    String(file.links),
    String(file.uid),
    String(file.gid),
    file.device === undefined ? String(file.size) : `${file.device.major}, ${file.device.minor}`,
    formatTime(file.mtime).replace(/\.\d+Z$/, 'Z'),
  ]
}

/** Paths alone, printable. */
export function* formatPaths(files: Iterable<ListedFile>): Generator<string> {
  for (const {path} of files) yield printable(`/${path}`)
}

/** A document a line, as {@link listedDocument} makes them. */
export function* formatDocuments(files: Iterable<ListedFile>): Generator<string> {
  for (const file of files) yield formatJSON(listedDocument(file), 0)
}

/**
 * A file as a document. What is not UTF-8 loses something in a document's text, and is there once more in base64; values of
 * extended attributes always are base64.
 */
export function listedDocument(file: ListedFile): Record<string, unknown> {
  const {path, kind, mode, mtime, link, xattrs, ...rest} = file
  return {
    ...bytesDocument('path', `/${path}`),
    type: kind,
    mode: mode.toString(8).padStart(4, '0'),
    ...rest,
    mtime: formatTime(mtime),
    ...(link !== undefined && bytesDocument('link', link)),
    ...(xattrs.size > 0 && {xattrs: xattrsDocument(xattrs)}),
  }
}

/** `drwxr-sr-t`. @see POSIX ls, the long format */
function formatMode({kind, mode, xattrs}: ListedFile): string {
  const bits = [6, 3, 0].map((shift, who) => {
    const isSpecial = (mode & (0o4000 >> who)) !== 0
    const execute = (mode & (1 << shift)) !== 0
    const special = who === 2 ? 't' : 's'
    const last = isSpecial ? (execute ? special : special.toUpperCase()) : execute ? 'x' : '-'
    return `${mode & (4 << shift) ? 'r' : '-'}${mode & (2 << shift) ? 'w' : '-'}${last}`
  })
  return `${kindLetters[kind]}${bits.join('')}${xattrs.size > 0 ? '+' : ''}`
}

function formatName({path, kind, link, whiteout}: ListedFile): string {
  const name = printable(`/${path}`)
  if (whiteout !== undefined) return `${name} (${whiteout === 'opaque' ? 'opaque' : 'whiteout'})`
  if (link === undefined) return name
  return kind === 'hardlink' ? `${name} link to ${printable(`/${link}`)}` : `${name} -> ${printable(link)}`
}

/** RFC 3339 to the nanosecond; what no calendar holds is `@` and seconds, as date(1) takes it. */
function formatTime({seconds, nanoseconds}: ListedFile['mtime']): string {
  const date = new Date(seconds * 1000)
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0')}`
  return Number.isNaN(date.getTime()) ? `@${seconds}${fraction}` : `${date.toISOString().slice(0, -5)}${fraction}Z`
}

/** Bytes as text, and once more in base64 where they are none. */
export function bytesDocument(key: string, bytes: ByteString): Record<string, string> {
  const text = {[key]: toText(bytes)}
  return isText(bytes) ? text : {...text, [`${key}Base64`]: toBase64(bytes)}
}

function xattrsDocument(xattrs: ListedFile['xattrs']): Record<string, string> {
  return Object.fromEntries([...xattrs].map(([name, value]) => [toText(name), toBase64(value)]))
}

function toBase64(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('base64')
}
