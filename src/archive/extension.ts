/**
 * Extension headers of an outer tar: long names of GNU and PAX, and large sizes. What readers of tars are known to
 * understand differently is refused, since a name decides which bytes are the image.
 */
import {ImgtoolError} from '../errors.ts'
import type {ByteString} from '../text.ts'

/** What extension headers say of the member behind them. */
export interface Extension {
  readonly path?: ByteString
  readonly linkpath?: ByteString
  /** Bytes of content. */
  readonly size?: number
  /** One of them is a PAX header. */
  readonly isPax?: true
}

/** Types of extension headers, as the `tar` package names them. */
const extensionTypes = new Set([
  'ExtendedHeader',
  'GlobalExtendedHeader',
  'NextFileHasLongPath',
  'NextFileHasLongLinkpath',
])

export function isExtension(type: string): boolean {
  return extensionTypes.has(type)
}

/**
 * Adds an extension header.
 *
 * @param before what earlier extension headers say of the same member; undefined where there are none
 * @returns undefined behind a global header, which says nothing of a member: what its records say is ignored, as docker
 *   does, since those of `git archive` and some builders are comments
 * @throws {ImgtoolError} ARCHIVE_INVALID for a malformed header, one of a sparse file, and those that compete
 * @see https://go.dev/src/archive/tar/reader.go, which docker, podman and skopeo read with: a global header or a second PAX
 *   header makes it forget the one before
 */
export function extend(before: Extension | undefined, type: string, body: Buffer): Extension | undefined {
  if (type === 'GlobalExtendedHeader') {
    if (before === undefined) return undefined
    throw invalid('a global header stands between an extension header and its member')
  }
  const added = decode(type, body)
  for (const key of Object.keys(added)) {
    if (before === undefined || !Object.hasOwn(before, key)) continue
    throw invalid(
      key === 'isPax' ? 'a member has two PAX headers' : `two extension headers give the ${key} of one member`,
    )
  }
  return {...before, ...added}
}

function decode(type: string, body: Buffer): Extension {
  switch (type) {
    case 'NextFileHasLongPath':
      return {path: longName(body)}
    case 'NextFileHasLongLinkpath':
      return {linkpath: longName(body)}
    default:
      return {...decodePax(body), isPax: true}
  }
}

/** The records of a PAX header that matter here; an empty value takes a record back. @see POSIX pax, "pax Extended Header" */
function decodePax(body: Buffer): Extension {
  const records = new Map(readRecords(body.toString('latin1')))
  // They give a member another name and content. No tool saves an image with holes.
  if ([...records.keys()].some((key) => key.startsWith('GNU.sparse.')))
    throw sparseMember(records.get('GNU.sparse.name'))
  const path = records.get('path')
  const linkpath = records.get('linkpath')
  const size = records.get('size')
  if (path?.includes('\0') || linkpath?.includes('\0')) throw invalid('a name of a PAX header holds a NUL')
  if (size && !/^\d{1,16}$/.test(size)) throw invalid('the size of a PAX header is no number')
  return {
    ...(path ? {path} : {}),
    ...(linkpath ? {linkpath} : {}),
    ...(size ? {size: Number(size)} : {}),
  }
}

/** By the length of each record, never by line: a value may hold line breaks, and what looks like a record behind one. */
function* readRecords(text: ByteString): Generator<[key: ByteString, value: ByteString]> {
  for (let at = 0; at < text.length; ) {
    const digits = /^[1-9]\d{0,9}(?= )/.exec(text.slice(at, at + 11))?.[0] ?? ''
    const end = at + Number(digits)
    const record = text.slice(at + digits.length + 1, end - 1)
    const equals = record.indexOf('=')
    if (digits === '' || end > text.length || text[end - 1] !== '\n' || equals < 1) {
      throw invalid('a PAX record is malformed')
    }
    yield [record.slice(0, equals), record.slice(equals + 1)]
    at = end
  }
}

function longName(body: Buffer): ByteString {
  const end = body.indexOf(0)
  const name = body.toString('latin1', 0, end === -1 ? body.length : end)
  if (name === '') throw invalid('a long name is empty')
  return name
}

/** Says that a member has holes, in any notation. */
export function sparseMember(name?: ByteString): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', 'Cannot read the archive as a tar: a member is a sparse file', {
    ...(name === undefined ? {} : {entry: name}),
    hint: 'Pack the archive again without --sparse',
  })
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read the archive as a tar: ${why}`)
}
