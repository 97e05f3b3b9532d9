/** Finds the map of a sparse file where its notation keeps it: in the header, in PAX records, or before the content. */
import {ImgtoolError} from '../../errors.ts'
import {checkLimit, type Limits} from '../../limits.ts'
import {blockSize} from '../../tar/blocks.ts'
import type {ByteString} from '../../text.ts'
import type {Grammar} from './parser.ts'
import type {PaxRecord} from './pax.ts'
import {
  checkMap,
  extensionPieces,
  hasSparseRecords,
  oldGnuHeader,
  oldGnuPieces,
  paxMap,
  paxRealSize,
  type SparseMap,
  type SparsePiece,
  toPieces,
} from './sparse.ts'

/** What is known of an entry when its map is looked for. */
export interface SparseQuestion {
  /** The entry has type `S`. */
  readonly isOldGnu: boolean
  readonly block: Buffer
  /** Bytes of content in the tar, a map in the content included. */
  readonly stored: number
  readonly records: ReadonlyMap<ByteString, ByteString>
  readonly ordered: readonly PaxRecord[]
}

/**
 * The map, checked; undefined for an ordinary file.
 *
 * @throws {ImgtoolError} TAR_INVALID also where two notations compete
 */
export function* readSparseMap(question: SparseQuestion, limits: Limits): Grammar<SparseMap | undefined> {
  if (question.isOldGnu && hasSparseRecords(question.ordered))
    throw new ImgtoolError('TAR_INVALID', 'The map of a sparse file stands in its header and in PAX records')
  if (question.isOldGnu) return checkMap(yield* readOldGnuMap(question.block, limits), question.stored, limits)
  const map = paxMap(question.records, question.ordered, limits)
  if (map === undefined) return undefined
  if (map !== 'in content') return checkMap(map, question.stored, limits)
  const {pieces, read} = yield* readMapInContent(question.stored, limits)
  return checkMap({pieces, size: paxRealSize(question.records)}, question.stored - read, limits)
}

function* readOldGnuMap(header: Buffer, limits: Limits): Grammar<SparseMap> {
  const {size, pieces, more: extended} = oldGnuHeader(header)
  for (let more = extended; more; ) {
    checkLimit(limits, 'sparsePieces', pieces.length, 'pieces of a sparse file')
    const block = (yield {kind: 'take', size: blockSize})!
    const next = oldGnuPieces(block, extensionPieces)
    if (next.pieces.length === 0 && next.more)
      throw new ImgtoolError('TAR_INVALID', 'The map of a sparse file does not end')
    pieces.push(...next.pieces)
    more = next.more
  }
  return {pieces, size}
}

/** Decimal numbers, a line each: how many pieces, then offset and length of each; filled up to a whole block. */
function* readMapInContent(stored: number, limits: Limits): Grammar<{pieces: SparsePiece[]; read: number}> {
  const numbers: string[] = []
  let read = 0
  let rest = ''
  for (let wanted = 1; numbers.length < wanted; ) {
    if (read + blockSize > stored) throw new ImgtoolError('TAR_INVALID', 'The map of a sparse file does not end')
    const lines = (rest + (yield {kind: 'take', size: blockSize})!.toString('latin1')).split('\n')
    read += blockSize
    rest = lines.pop()!
    if (rest.length > blockSize) throw new ImgtoolError('TAR_INVALID', 'The map of a sparse file is malformed')
    numbers.push(...lines)
    if (numbers.length > 0) wanted = 1 + 2 * pieceCount(numbers[0]!, limits)
    if (numbers.length > wanted) numbers.length = wanted
  }
  return {pieces: toPieces(numbers.slice(1), limits), read}
}

function pieceCount(text: string, limits: Limits): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new ImgtoolError('TAR_INVALID', 'The map of a sparse file is malformed')
  checkLimit(limits, 'sparsePieces', Number(text), 'pieces of a sparse file')
  return Number(text)
}
