/** Builds tars byte by byte, well-formed ones and those that no other program would write. */
import {Header as OtherHeader, Pax as OtherPax} from 'tar'

/** What a header field holds: a number, encoded as tars do, or the very bytes of the field. */
export type Field = number | string

/** The fields of a header; names are byte strings. What is left out is what an empty file of root would have. */
export interface Fields {
  readonly name?: string
  readonly mode?: Field
  readonly uid?: Field
  readonly gid?: Field
  /** Of the content that follows, unless it should lie. */
  readonly size?: Field
  readonly mtime?: Field
  readonly checksum?: Field
  readonly type?: string
  readonly link?: string
  /** The eight bytes that tell the dialect. */
  readonly magic?: string
  readonly deviceMajor?: Field
  readonly deviceMinor?: Field
  readonly prefix?: string
  /** Bytes to put anywhere, by offset, before the checksum is taken. */
  readonly patches?: Readonly<Record<number, string>>
}

export const posixMagic = 'ustar\x0000'
export const gnuMagic = 'ustar  \0'

/** What ends a tar. */
export const endOfTar = Buffer.alloc(1024)

/** One header block. */
export function headerBlock(fields: Fields): Buffer {
  const block = Buffer.alloc(512)
  const put = (offset: number, length: number, value: Field) =>
    block.write(toField(value, length), offset, length, 'latin1')
  put(0, 100, fields.name ?? '')
  put(100, 8, fields.mode ?? 0o644)
  put(108, 8, fields.uid ?? 0)
  put(116, 8, fields.gid ?? 0)
  put(124, 12, fields.size ?? 0)
  put(136, 12, fields.mtime ?? 0)
  put(156, 1, fields.type ?? '0')
  put(157, 100, fields.link ?? '')
  put(257, 8, fields.magic ?? posixMagic)
  put(329, 8, fields.deviceMajor ?? 0)
  put(337, 8, fields.deviceMinor ?? 0)
  put(345, 155, fields.prefix ?? '')
  for (const [offset, bytes] of Object.entries(fields.patches ?? {})) put(Number(offset), bytes.length, bytes)
  put(148, 8, fields.checksum ?? `${octal(checksumOf(block), 6)}\0 `)
  return block
}

/** The sum that a header's checksum field should have. */
export function checksumOf(block: Buffer): number {
  return block.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0)
}

/** A header with its content, filled up to a whole block. */
export function member(fields: Fields, content: Buffer | string = '', {padded = true} = {}): Buffer {
  const bytes = Buffer.from(content as string, 'latin1')
  const padding = padded ? Buffer.alloc(-bytes.length & 511) : Buffer.alloc(0)
  return Buffer.concat([headerBlock({size: bytes.length, ...fields}), bytes, padding])
}

export function file(name: string, content: Buffer | string = '', fields: Fields = {}): Buffer {
  return member({name, ...fields}, content)
}

export function directory(name: string, fields: Fields = {}): Buffer {
  return member({name, type: '5', mode: 0o755, ...fields})
}

export function symlink(name: string, link: string, fields: Fields = {}): Buffer {
  return member({name, type: '2', mode: 0o777, link, ...fields})
}

export function hardlink(name: string, link: string, fields: Fields = {}): Buffer {
  return member({name, type: '1', link, ...fields})
}

/** One PAX record with the length it must have. */
export function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length
  return Buffer.from(`${length}${rest}`, 'latin1')
}

/** An extended header, for the entry that follows (`x`) or for all (`g`). */
export function pax(records: readonly (readonly [string, string])[], type = 'x', fields: Fields = {}): Buffer {
  return member(
    {name: 'PaxHeaders/x', type, ...fields},
    Buffer.concat(records.map(([key, value]) => paxRecord(key, value))),
  )
}

/** A GNU header that holds a long name (`L`) or a long link target (`K`). */
export function gnuLong(type: 'L' | 'K', name: string): Buffer {
  return member({name: '././@LongLink', type, magic: gnuMagic}, `${name}\0`)
}

/** A run of data of a sparse file. */
export interface Piece {
  readonly offset: number
  readonly data: string
}

export const sparseForms = ['gnu', '0.0', '0.1', '1.0'] as const
export type SparseForm = (typeof sparseForms)[number]

/** A sparse file in one of the four notations. */
export function sparseFile(form: SparseForm, name: string, size: number, pieces: readonly Piece[]): Buffer {
  const data = pieces.map((piece) => piece.data).join('')
  const numbers = pieces.flatMap(({offset, data: {length}}) => [offset, length])
  // As GNU tar does: a map in records has at least the piece that marks the end.
  const ended = numbers.length === 0 ? [size, 0] : numbers
  switch (form) {
    case 'gnu':
      return oldGnuFile(name, size, numbers, data)
    case '0.0': {
      return Buffer.concat([pax([...sparseRecords(size, ended), ...repeatedNumbers(ended)]), file(name, data)])
    }
    case '0.1': {
      const map = [
        ['GNU.sparse.name', name],
        ['GNU.sparse.map', ended.join(',')],
      ] as const
      return Buffer.concat([pax([...sparseRecords(size, ended), ...map]), file('GNUSparseFile.0/x', data)])
    }
    case '1.0': {
      const lines = Buffer.from([pieces.length, ...numbers].map((number) => `${number}\n`).join(''))
      const map = Buffer.concat([lines, Buffer.alloc(-lines.length & 511)])
      const version = [
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
      ] as const
      const records = [...version, ['GNU.sparse.name', name], ['GNU.sparse.realsize', String(size)]] as const
      return Buffer.concat([pax(records), file('GNUSparseFile.0/x', Buffer.concat([map, Buffer.from(data, 'latin1')]))])
    }
  }
}

/** The records of a map in PAX records, without the map itself. */
export function sparseRecords(size: number, numbers: readonly number[]): (readonly [string, string])[] {
  return [
    ['GNU.sparse.size', String(size)],
    ['GNU.sparse.numblocks', String(numbers.length / 2)],
  ]
}

/** A map in the form 0.0. */
export function repeatedNumbers(numbers: readonly number[]): (readonly [string, string])[] {
  return numbers.map((number, at) => [at % 2 ? 'GNU.sparse.numbytes' : 'GNU.sparse.offset', String(number)])
}

/** An old GNU sparse file with any numbers in its map, also false ones. */
export function oldGnuFile(name: string, size: Field, numbers: readonly Field[], data: string): Buffer {
  const rest = numbers.slice(8)
  const extensions = Array.from({length: Math.ceil(rest.length / 42)}, (_, at) => {
    const block = Buffer.alloc(512)
    block.write(mapOf(rest.slice(42 * at, 42 * (at + 1))), 'latin1')
    block[504] = 42 * (at + 1) < rest.length ? 1 : 0
    return block
  })
  const patches = {386: mapOf(numbers.slice(0, 8)), 482: rest.length > 0 ? '\x01' : '\0', 483: toField(size, 12)}
  const header = headerBlock({name, type: 'S', magic: gnuMagic, size: data.length, patches})
  return Buffer.concat([header, ...extensions, Buffer.from(data, 'latin1'), Buffer.alloc(-data.length & 511)])
}

/** Members and the end. */
export function tar(...members: readonly Buffer[]): Buffer {
  return Buffer.concat([...members, endOfTar])
}

/** The same entry as the tar package of npm writes it, with PAX records where a header has no room. */
export function otherMember(fields: ConstructorParameters<typeof OtherHeader>[0] & object, content = ''): Buffer {
  const block = Buffer.alloc(512)
  const header = new OtherHeader({...(fields as object), size: content.length})
  const extended = header.encode(block, 0) ? new OtherPax(header).encode() : Buffer.alloc(0)
  return Buffer.concat([extended, block, Buffer.from(content), Buffer.alloc(-content.length & 511)])
}

/** A number as a header field, in octal where it fits; GNU's base 256 where it does not. */
export function toField(value: Field, length: number): string {
  if (typeof value === 'string') return value
  const digits = octal(value, length - 1)
  return value >= 0 && digits.length < length ? `${digits}\0` : base256(BigInt(value), length)
}

/** A number in GNU's base 256. */
export function base256(value: bigint, length: number): string {
  const bits = BigInt.asUintN(8 * length - 1, value) | (1n << BigInt(8 * length - 1))
  return Buffer.from(bits.toString(16).padStart(2 * length, '0'), 'hex').toString('latin1')
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}

function mapOf(numbers: readonly Field[]): string {
  return numbers.map((number) => toField(number, 12)).join('')
}
