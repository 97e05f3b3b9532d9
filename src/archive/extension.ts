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
}

/** Types of extension headers, as the `tar` package names them. */
const extensionTypes = new Set([
  'ExtendedHeader',
  'GlobalExtendedHeader',
  'NextFileHasLongPath',
  'NextFileHasLongLinkpath',
  'OldExtendedHeader',
  'OldGnuLongPath',
])

export function isExtension(type: string): boolean {
  return extensionTypes.has(type)
}

/**
 * Adds an extension header.
 *
 * @param before what earlier extension headers say of the same member
 * @throws {ImgtoolError} ARCHIVE_INVALID for a malformed header, and for two that speak of the same thing
 */
export function extend(before: Extension, type: string, body: Buffer): Extension {
  const added = decode(type, body)
  for (const key of Object.keys(added)) {
    if (Object.hasOwn(before, key)) throw invalid(`two extension headers give the ${key} of one member`)
  }
  return {...before, ...added}
}

function decode(type: string, body: Buffer): Extension {
  switch (type) {
    case 'NextFileHasLongPath':
    case 'OldGnuLongPath':
      return {path: untilNul(body)}
    case 'NextFileHasLongLinkpath':
      return {linkpath: untilNul(body)}
    case 'ExtendedHeader':
    case 'OldExtendedHeader':
      return decodePax(body)
    default:
      // Global headers of `git archive` and some builders carry comments; their other records are ignored as docker does.
      return {}
  }
}

/** The records of a PAX header that matter here; an empty value takes a record back. @see POSIX pax, "pax Extended Header" */
function decodePax(body: Buffer): Extension {
  const records = new Map(readRecords(body.toString('latin1')))
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

function untilNul(body: Buffer): ByteString {
  const end = body.indexOf(0)
  return body.toString('latin1', 0, end === -1 ? body.length : end)
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read the archive as a tar: ${why}`)
}
