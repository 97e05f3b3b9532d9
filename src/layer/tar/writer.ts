/**
 * Writes the tar of a layer: ustar where a header has room, PAX records where it has none, nothing of GNU's own. The same
 * entries give the same bytes, always.
 *
 * @see POSIX pax, ustar interchange format and pax extended header; star(5), SCHILY.xattr
 */
import {blockSize, encodePaxRecord, paddingOf} from '../../tar/blocks.ts'
import type {ByteString} from '../../text.ts'
import type {Entry, EntryKind} from './entry.ts'
import type {Time} from './number.ts'
import type {EntrySink} from './parser.ts'
import type {PaxRecord} from './pax.ts'
import type {SparsePiece} from './sparse.ts'

const types: Readonly<Record<EntryKind, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}

/**
 * Bytes of holes that are written as zeros, of all files together: every reader takes them, and docker does not save a layer
 * again that has a sparse file, because it keeps no map of it. What is more could be terabytes, and is written as sparse
 * files (PAX form 1.0), which docker, podman and umoci read.
 */
const mostZeros = 1024 * 1024 * 1024
/** Bytes of holes of one file that are written as zeros whatever there was before. */
const fewZeros = 1024 * 1024

/** What is left of the zeros that may be written, for several writers of one tar. */
export interface Zeros {
  left: number
}

export function startZeros(): Zeros {
  return {left: mostZeros}
}

/** Most that the octal digits of a field can say. */
const maximumID = 0o7777777
const maximumSize = 0o77777777777
const maximumTime = 0o77777777777

/** Takes entries and gives the bytes of a tar; the end of the tar is left to the caller. */
export class TarWriter implements EntrySink {
  readonly #write: (bytes: Buffer) => void
  readonly #zeros: Zeros
  #size = 0
  /** Runs of the file that the tar has, those before the position left out. */
  #left: SparsePiece[] = []
  /** End of what is done of the content, in the file and in the tar. */
  #position = 0
  #stored = 0

  /** @param write takes the bytes in order; content is handed on as it came, valid until the call of {@link data} returns */
  constructor(write: (bytes: Buffer) => void, zeros = startZeros()) {
    this.#write = write
    this.#zeros = zeros
  }

  entry(sparse: Entry): void {
    const entry = this.#fillHoles(sparse)
    const stored = storedPieces(entry)
    this.#size = contentSize(entry)
    this.#left = stored === undefined ? [{offset: 0, length: this.#size}] : [...stored]
    this.#position = 0
    this.#stored = 0
    this.#write(encodeEntry(entry))
  }

  data(chunk: Buffer, position: number): void {
    this.#fill(position)
    this.#put(chunk)
  }

  end(): void {
    this.#fill(this.#size)
    this.#write(zeroBytes.subarray(0, paddingOf(this.#stored)))
  }

  /** The same file without holes, as long as there may be more zeros. */
  #fillHoles(entry: Entry): Entry {
    const {pieces, ...whole} = entry
    const holes = entry.size - sumOf(pieces)
    if (pieces === undefined || holes > this.#zeros.left) return entry
    this.#zeros.left -= holes
    return whole
  }

  /** Writes as much of the hole before a position as the tar has. */
  #fill(position: number): void {
    while (this.#position < position) {
      const [piece] = this.#left
      if (piece === undefined || piece.offset >= position) this.#position = position
      else if (piece.offset + piece.length <= this.#position) this.#left.shift()
      else {
        this.#position = Math.max(this.#position, piece.offset)
        const length = Math.min(position, piece.offset + piece.length) - this.#position
        this.#put(zeroBytes.subarray(0, length))
      }
    }
  }

  #put(bytes: Buffer): void {
    this.#position += bytes.length
    this.#stored += bytes.length
    this.#write(bytes)
  }
}

const zeroBytes = Buffer.alloc(64 * 1024)

/** All that precedes an entry's content: its header, with an extended header and the map of a sparse file where needed. */
export function encodeEntry(entry: Entry): Buffer {
  const name = nameOf(entry)
  const fields = splitName(name)
  const pieces = storedPieces(entry)
  const map = pieces === undefined ? undefined : encodeMap(pieces, entry.size)
  const size = map === undefined ? contentSize(entry) : map.length + sumOf(pieces)
  const records = recordsOf(entry, size)
  if (map !== undefined) records.push(...sparseRecords(entry))
  else if (fields === undefined) records.unshift(['path', name])
  // Whoever does not know the records must not take a file with a map in it for the file itself.
  const shown = map === undefined ? (fields ?? {name: name.slice(0, 100), prefix: ''}) : sparseName(name)
  const header = encodeHeader({...entry, ...shown, size, type: types[entry.kind]})
  if (records.length === 0) return header
  const extended = encodeRecords(records)
  return Buffer.concat(map === undefined ? [extended, header] : [extended, header, map])
}

/** Directories end in a slash, as tar has it since before it knew types. */
function nameOf({path, kind}: Entry): ByteString {
  if (kind !== 'directory') return path
  return path === '' ? './' : `${path}/`
}

/** A name in the two fields that ustar has for it; undefined where it does not fit. */
function splitName(name: ByteString): {name: ByteString; prefix: ByteString} | undefined {
  if (name.length <= 100) return {name, prefix: ''}
  const slash = name.indexOf('/', name.length - 101)
  if (slash <= 0 || slash > 155 || slash === name.length - 1) return undefined
  return {name: name.slice(slash + 1), prefix: name.slice(0, slash)}
}

function contentSize({kind, size}: Entry): number {
  return kind === 'file' ? size : 0
}

/** What the fields of a header cannot say, in a fixed order. */
function recordsOf(entry: Entry, size: number): PaxRecord[] {
  const records: PaxRecord[] = []
  const {uid, gid, mtime, link} = entry
  if (link.length > 100) records.push(['linkpath', link])
  if (size > maximumSize) records.push(['size', String(size)])
  if (uid > maximumID) records.push(['uid', String(uid)])
  if (gid > maximumID) records.push(['gid', String(gid)])
  if (mtime.nanoseconds !== 0 || mtime.seconds !== timeField(mtime)) records.push(['mtime', formatTime(mtime)])
  for (const [name, value] of entry.xattrs) records.push([`SCHILY.xattr.${name}`, value])
  return records
}

function timeField({seconds}: Time): number {
  return Math.min(Math.max(seconds, 0), maximumTime)
}

/** Decimal seconds; the inverse of `paxTime`. */
function formatTime({seconds, nanoseconds}: Time): string {
  if (nanoseconds === 0) return String(seconds)
  const isNegative = seconds < 0
  const whole = isNegative ? -(seconds + 1) : seconds
  const fraction = String(isNegative ? 1_000_000_000 - nanoseconds : nanoseconds).padStart(9, '0')
  return `${isNegative ? '-' : ''}${whole}.${fraction.replace(/0+$/, '')}`
}

/**
 * Where a sparse file's stored bytes belong; undefined for a file that is written whole. All pieces lie on blocks, because
 * GNU tar takes each from a new block, whatever it needs of the last.
 */
function storedPieces({kind, size, pieces}: Entry): readonly SparsePiece[] | undefined {
  if (kind !== 'file' || pieces === undefined || size - sumOf(pieces) < fewZeros) return undefined
  const stored: {offset: number; length: number}[] = []
  for (const {offset, length} of pieces) {
    const start = offset - (offset % blockSize)
    const end = Math.min(size, offset + length + paddingOf(offset + length))
    const last = stored.at(-1)
    if (last !== undefined && start <= last.offset + last.length) last.length = end - last.offset
    else stored.push({offset: start, length: end - start})
  }
  return stored
}

function sumOf(pieces: readonly SparsePiece[] = []): number {
  return pieces.reduce((sum, {length}) => sum + length, 0)
}

/**
 * The map of form 1.0: how many pieces, offset and length of each, a line a number. GNU tar makes the file as long as its
 * last piece, so that a hole at the end needs an empty one behind it.
 *
 * @see GNU tar manual, "PAX Format, Version 1.0"
 */
function encodeMap(pieces: readonly SparsePiece[], size: number): Buffer {
  const last = pieces.at(-1)
  const endsInHole = last === undefined || last.offset + last.length < size
  const all = endsInHole ? [...pieces, {offset: size, length: 0}] : pieces
  const lines = [all.length, ...all.flatMap(({offset, length}) => [offset, length])].map((number) => `${number}\n`)
  return padded(Buffer.from(lines.join(''), 'latin1'))
}

function sparseRecords(entry: Entry): PaxRecord[] {
  return [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', entry.path],
    ['GNU.sparse.realsize', String(entry.size)],
  ]
}

function sparseName(name: ByteString): {name: ByteString; prefix: ByteString} {
  return {name: `GNUSparseFile.0/${name.slice(name.lastIndexOf('/') + 1).slice(-80)}`, prefix: ''}
}

/** An extended header with these records. */
function encodeRecords(records: readonly PaxRecord[]): Buffer {
  const body = Buffer.from(records.map(([key, value]) => encodePaxRecord(key, value)).join(''), 'latin1')
  const header = encodeHeader({
    name: 'PaxHeaders/0',
    prefix: '',
    type: 'x',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: {seconds: 0, nanoseconds: 0},
    link: '',
    deviceMajor: 0,
    deviceMinor: 0,
  })
  return Buffer.concat([header, padded(body)])
}

interface Fields
  extends Pick<Entry, 'mode' | 'uid' | 'gid' | 'size' | 'mtime' | 'link' | 'deviceMajor' | 'deviceMinor'> {
  readonly name: ByteString
  readonly prefix: ByteString
  readonly type: string
}

/** A ustar header. What a field has no room for is 0 in it, or cut: a record says it. */
function encodeHeader({name, prefix, type, link, mode, mtime, ...numbers}: Fields): Buffer {
  const {uid, gid, size, deviceMajor, deviceMinor} = numbers
  // Not of Buffer.alloc, which makes memory of its own for each.
  const block = Buffer.allocUnsafe(blockSize).fill(0)
  block.write(name, 0, 100, 'latin1')
  const ids = octal(uid > maximumID ? 0 : uid, 8) + octal(gid > maximumID ? 0 : gid, 8)
  const rest = octal(size > maximumSize ? 0 : size, 12) + octal(timeField(mtime), 12)
  block.write(`${octal(mode, 8)}${ids}${rest}        ${type}`, 100, 'latin1')
  if (link !== '') block.write(link, 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  block.write(octal(deviceMajor, 8) + octal(deviceMinor, 8) + prefix, 329, 8 + 8 + 155, 'latin1')
  let sum = 0
  for (let at = 0; at < blockSize; at++) sum += block[at]!
  block.write(octal(sum, 7), 148, 'latin1')
  return block
}

/** Octal digits and a NUL that fill a field. */
function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, zeroBytes.subarray(0, paddingOf(bytes.length))])
}
