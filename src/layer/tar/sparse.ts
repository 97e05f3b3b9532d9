/**
 * Sparse files: where in a file its stored bytes belong. Four notations say the same thing.
 *
 * @see GNU tar manual, "Storing Sparse Files"
 */
import {ImgtoolError} from '../../errors.ts'
import {checkLimit, type Limits} from '../../limits.ts'
import type {ByteString} from '../../text.ts'
import {headerNumber, paxNumber} from './number.ts'
import type {PaxRecord} from './pax.ts'

/** A run of data in a sparse file, bytes. */
export interface SparsePiece {
  readonly offset: number
  readonly length: number
}

/** A map and the size of the file that it describes. */
export interface SparseMap {
  readonly pieces: readonly SparsePiece[]
  /** Apparent size, bytes, holes included. */
  readonly size: number
}

/** Offsets of old GNU headers: four pieces, whether a block of pieces follows, the real size. */
const headerPieces = {offset: 386, count: 4, more: 482, size: 483}
/** The same of an extension block. */
export const extensionPieces = {offset: 0, count: 21, more: 504}

/** The pieces of one old GNU header or extension block; `more` tells that another extension block follows. */
export function oldGnuPieces(block: Buffer, where: typeof extensionPieces): {pieces: SparsePiece[]; more: boolean} {
  const pieces: SparsePiece[] = []
  for (let at = where.offset, left = where.count; left > 0 && block[at] !== 0; at += 24, left--) {
    pieces.push({
      offset: headerNumber(block, at, 12, 'sparse offset'),
      length: headerNumber(block, at + 12, 12, 'sparse length'),
    })
  }
  return {pieces, more: block[where.more] !== 0}
}

/** What the header block of an old GNU sparse file (type `S`) says. */
export function oldGnuHeader(block: Buffer): {pieces: SparsePiece[]; more: boolean; size: number} {
  return {...oldGnuPieces(block, headerPieces), size: headerNumber(block, headerPieces.size, 12, 'sparse size')}
}

const sparseKeys: ReadonlySet<ByteString> = new Set(
  ['major', 'minor', 'name', 'size', 'realsize', 'numblocks', 'map', 'offset', 'numbytes'].map(
    (key) => `GNU.sparse.${key}`,
  ),
)

/** Whether PAX records speak of a sparse file, even if they take it back. */
export function hasSparseRecords(ordered: readonly PaxRecord[]): boolean {
  return ordered.some(([key]) => sparseKeys.has(key))
}

/**
 * The map of the PAX forms 0.0 and 0.1, which lies in the records.
 *
 * Records that lack something or contradict each other are refused: Go, GNU tar and libarchive take such a file for a sparse
 * one or for an ordinary one, with another name, size or content.
 *
 * @param ordered the records as they came: form 0.0 repeats keys
 * @returns undefined when the entry is not sparse, `'in content'` for form 1.0, whose map precedes the data
 * @see Go archive/tar reader.go, readGNUSparsePAXHeaders; GNU tar sparse.c
 */
export function paxMap(
  records: ReadonlyMap<ByteString, ByteString>,
  ordered: readonly PaxRecord[],
  limits: Limits,
): SparseMap | 'in content' | undefined {
  if (!hasSparseRecords(ordered)) return undefined
  const map = records.get('GNU.sparse.map')
  const repeated = repeatedNumbers(ordered)
  const blocks = records.get('GNU.sparse.numblocks')
  const version = [records.get('GNU.sparse.major'), records.get('GNU.sparse.minor')].join('.')
  if (version === '1.0') {
    if ((map ?? blocks) !== undefined || repeated.length > 0) throw invalid('it has two maps')
    return 'in content'
  }
  if (version !== '.') throw invalid('its version is unknown')
  if (map === undefined && repeated.length === 0) throw invalid('it has no map')
  if (map !== undefined && repeated.length > 0) throw invalid('it has two maps')
  const pieces = toPieces(map?.split(',') ?? repeated, limits)
  if (blocks === undefined || paxNumber(blocks, 'sparse number of pieces') !== pieces.length)
    throw invalid(`it has ${pieces.length} pieces, ${blocks ?? 'an unknown number'} are said to be there`)
  return {pieces, size: paxRealSize(records)}
}

/** Real size of a file in a PAX form; those before 1.0 call it otherwise. */
export function paxRealSize(records: ReadonlyMap<ByteString, ByteString>): number {
  const size = records.get('GNU.sparse.size')
  const realSize = records.get('GNU.sparse.realsize')
  const either = size ?? realSize
  if (either === undefined) throw invalid('it has no size')
  if (realSize !== undefined && realSize !== either) throw invalid('it has two sizes')
  return paxNumber(either, 'sparse size')
}

/** Pieces from numbers that alternate between offset and length. */
export function toPieces(numbers: readonly string[], limits: Limits): SparsePiece[] {
  if (numbers.length % 2 !== 0) throw invalid('an offset has no length')
  checkLimit(limits, 'sparsePieces', numbers.length / 2, 'pieces of a sparse file')
  const pieces: SparsePiece[] = []
  for (let at = 0; at < numbers.length; at += 2) {
    pieces.push({
      offset: paxNumber(numbers[at]!, 'sparse offset'),
      length: paxNumber(numbers[at + 1]!, 'sparse length'),
    })
  }
  return pieces
}

/**
 * Checks a map against the bytes that are stored for it.
 *
 * @returns the map without empty pieces
 * @throws {ImgtoolError} TAR_INVALID for pieces that overlap, go back, leave the file or do not add up; LIMIT_EXCEEDED
 */
export function checkMap(map: SparseMap, stored: number, limits: Limits): SparseMap {
  checkLimit(limits, 'sparsePieces', map.pieces.length, 'pieces of a sparse file')
  checkLimit(limits, 'sparseSize', map.size, 'bytes of a sparse file')
  if (map.size < 0) throw invalid('its size is negative')
  let end = 0
  let total = 0
  for (const {offset, length} of map.pieces) {
    if (length < 0) throw invalid('the length of a piece is negative')
    if (offset < end) throw invalid('its pieces overlap or are out of order')
    end = offset + length
    total += length
    if (!Number.isSafeInteger(end) || end > map.size) throw invalid('a piece ends behind the file')
  }
  if (total !== stored) throw invalid(`its pieces have ${total} bytes, ${stored} are stored`)
  return {size: map.size, pieces: map.pieces.filter((piece) => piece.length > 0)}
}

function repeatedNumbers(ordered: readonly PaxRecord[]): string[] {
  const repeated = ordered.filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
  const alternates = repeated.every(([key], at) => key === (at % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes'))
  if (!alternates) throw invalid('its offsets and lengths do not alternate')
  return repeated.map(([, value]) => value)
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('TAR_INVALID', `Cannot read the map of a sparse file: ${why}`)
}
