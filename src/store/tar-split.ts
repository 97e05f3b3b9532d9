/**
 * tar-split.json.gz: what docker keeps of a layer's tar beside the files of the layer, so that the very same tar can be put
 * together again. Lines of JSON, in a gzip: raw bytes (headers and padding), and between them the files by name, size and
 * checksum.
 *
 * @see vbatts/tar-split tar/storage/entry.go, packer.go
 */
import {ImgtoolError} from '../errors.ts'
import {decodeString} from '../image/go-json.ts'
import type {ByteString} from '../text.ts'
import type {Checksum} from './crc64.ts'

/** What stands in one line. */
export type Piece =
  | {readonly kind: 'segment'; readonly bytes: Buffer}
  | {readonly kind: 'file'; readonly name: ByteString; readonly size: number; readonly checksum: Checksum | undefined}

/** Most bytes of one segment that are written here; docker cuts only the padding at the end of a tar, and there. */
export const segmentSize = 1024 * 1024

/**
 * Most bytes of one line that are read: headers with the largest extension headers that imgtool takes, as base64. Go writes the
 * headers of an entry as one segment, whatever their size.
 */
export const maximumLine = 8 * 1024 * 1024

// All that Go's encoder ever writes for this structure, and so nothing that could be nested or named twice.
const segmentPattern = /^\{"type":2,"payload":(?:null|"([A-Za-z0-9+/]*={0,2})"),"position":(\d+)\}$/
const filePattern =
  /^\{"type":1(?:,"name":("[^"\\]*(?:\\.[^"\\]*)*"))?(?:,"name_raw":"([A-Za-z0-9+/]+={0,2})")?(?:,"size":(\d{1,16}))?,"payload":(?:null|"([A-Za-z0-9+/]{11}=|)"),"position":(\d+)\}$/

/**
 * Reads a line.
 *
 * @param line without its end
 * @param position that it must have
 * @throws {ImgtoolError} DOCUMENT_INVALID for anything that Go would not have written
 */
export function parseLine(line: ByteString, position: number): Piece {
  const segment = segmentPattern.exec(line)
  if (segment !== null) {
    requirePosition(segment[2]!, position)
    return {kind: 'segment', bytes: Buffer.from(segment[1] ?? '', 'base64')}
  }
  const file = filePattern.exec(line)
  if (file === null) throw invalid(position, 'it is neither a segment nor a file')
  const [, text, raw, sized = '0', sum, place] = file
  requirePosition(place!, position)
  const name = raw !== undefined ? Buffer.from(raw, 'base64').toString('latin1') : text && decodeString(text)
  if (!name) throw invalid(position, 'a file has no name')
  const size = Number(sized)
  if (!Number.isSafeInteger(size)) throw invalid(position, 'the size of a file is no number')
  if (size > 0 && !sum) throw invalid(position, 'a file has no checksum')
  return {kind: 'file', name, size, checksum: size > 0 ? toChecksum(sum!) : undefined}
}

function requirePosition(text: string, position: number): void {
  if (Number(text) !== position) throw invalid(position, `it says of itself to be number ${text}`)
}

function toChecksum(base64: string): Checksum {
  const bytes = Buffer.from(base64, 'base64')
  return {high: bytes.readUInt32BE(0), low: bytes.readUInt32BE(4)}
}

function invalid(position: number, why: string): ImgtoolError {
  return new ImgtoolError('DOCUMENT_INVALID', `Cannot read the tar-split of the layer: line ${position}: ${why}`)
}
