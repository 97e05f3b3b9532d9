/**
 * The index of an outer tar: headers are read, contents are skipped, so that a large archive costs as many small reads as
 * it has members.
 */
import type {FileHandle} from 'node:fs/promises'
import {Header} from 'tar/header'
import {ImgtoolError, isImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {blockSize, paddingOf} from '../tar/blocks.ts'
import {type ByteString, fromText, printable} from '../text.ts'
import type {Blob, Member} from './archive.ts'
import {type Extension, extend, isExtension, sparseMember} from './extension.ts'
import {addMember, cleanName, requireOwnPlaces} from './names.ts'

/**
 * Indexes the members of a tar.
 *
 * @param size of the file, bytes
 * @param makeBlob makes the blob of a member from its name, offset and size
 * @returns members in the order of the tar
 * @throws {ImgtoolError} ARCHIVE_INVALID for what is no header, and for what readers of tars are known to understand
 *   differently; ARCHIVE_TRUNCATED when a member ends behind the file
 */
export async function indexTar(
  handle: FileHandle,
  size: number,
  limits: Limits,
  makeBlob: (name: ByteString, offset: number, size: number) => Blob,
): Promise<Map<ByteString, Member>> {
  const members = new Map<ByteString, Member>()
  let extension: Extension | undefined
  let offset = 0
  for (let count = 1; ; count++) {
    const block = await readBlock(handle, offset, size)
    if (block === undefined) {
      if (extension !== undefined) throw truncated('behind an extension header')
      requireOwnPlaces(members)
      return members
    }
    checkLimit(limits, 'members', count, 'members of the archive')
    const header = decodeHeader(block, offset, extension)
    const content = offset + blockSize
    const name = nameOf(header, extension)
    const length = sizeOf(header, extension)
    offset = content + length + paddingOf(length)
    if (content + length > size) throw truncated(`in the middle of "${printable(name)}"`)
    if (isExtension(header.type)) {
      checkLimit(limits, 'extensionHeader', length, 'bytes of an extension header of the archive')
      const body = Buffer.alloc(length)
      await handle.read(body, 0, length, content)
      extension = within(name, () => extend(extension, header.type, body))
    } else {
      const make = (clean: ByteString) => makeBlob(clean, content, length)
      addMember(
        members,
        within(name, () => toMember(header, extension, make)),
      )
      extension = undefined
    }
  }
}

/** The next header block, or undefined at the end of the tar: two zero blocks, or the end of the file at a block. */
async function readBlock(handle: FileHandle, offset: number, size: number): Promise<Buffer | undefined> {
  if (offset >= size) return undefined
  const two = Buffer.alloc(Math.min(2 * blockSize, size - offset))
  await handle.read(two, 0, Math.min(blockSize, two.length), offset)
  if (two.length < blockSize) throw truncated('in the middle of a header')
  const block = two.subarray(0, blockSize)
  if (!isZero(block)) return block
  await handle.read(two, blockSize, two.length - blockSize, offset + blockSize)
  if (isZero(two)) return undefined
  throw invalid(offset, 'a zero block is followed by more members')
}

/** Runs what fails without knowing which member it is about. */
function within<Result>(entry: ByteString, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw isImgtoolError(error) ? error.within({entry}) : error
  }
}

function decodeHeader(block: Buffer, offset: number, extension: Extension | undefined): Header {
  let header: Header
  try {
    header = new Header(block, 0, extension)
  } catch (error) {
    throw invalid(offset, error instanceof Error ? error.message : 'the header cannot be decoded')
  }
  if (!header.cksumValid) throw invalid(offset, 'the checksum of a header is wrong')
  if (!isSize(block, header) || !Number.isSafeInteger(header.size ?? 0)) {
    throw invalid(offset, 'the size of a member is no number')
  }
  if (hasUnsurePrefix(block)) throw invalid(offset, 'the name of a member may have a prefix')
  // Only with the type of an old tar does everyone take it for a directory; docker writes a file.
  if (header.type === 'Directory' && block[156] === 0x30) throw invalid(offset, 'the name of a file ends in a slash')
  return header
}

/** Whether the size field is a number: the decoder takes what is none for 0, and other readers do not. */
function isSize(block: Buffer, header: Header): boolean {
  const field = block.toString('latin1', 124, 136)
  return isOctal(field) || (field.charCodeAt(0) >= 0x80 && header.size !== undefined)
}

/** The decoder takes a field that begins with a NUL for an empty one. */
function isOctal(field: ByteString): boolean {
  return /^ *[0-7]*[ \0]*$/.test(field)
}

/**
 * Whether Go takes a prefix of the name where the decoder takes none: in a ustar header of another version, and in a header
 * of GNU whose times are none, which Go wrote before 1.8.
 *
 * @see https://go.dev/src/archive/tar/reader.go, readHeader
 */
function hasUnsurePrefix(block: Buffer): boolean {
  if (block[345] === 0) return false
  if (block.toString('latin1', 257, 263) === 'ustar\0') return block.toString('latin1', 263, 265) !== '00'
  const isTime = (from: number) => block[from]! >= 0x80 || isOctal(block.toString('latin1', from, from + 12))
  return block.toString('latin1', 257, 265) === 'ustar  \0' && !(isTime(345) && isTime(357))
}

/** Types that never have content, whatever their size says. @see https://pkg.go.dev/archive/tar isHeaderOnlyType */
const headerOnly = new Set(['Link', 'SymbolicLink', 'CharacterDevice', 'BlockDevice', 'Directory', 'FIFO'])

/** A PAX size is that of a member of any type, also one that the decoder does not apply it to; not of another extension header. */
function sizeOf(header: Header, extension: Extension | undefined): number {
  if (headerOnly.has(header.type)) return 0
  return (isExtension(header.type) ? undefined : extension?.size) ?? header.size ?? 0
}

function nameOf(header: Header, extension: Extension | undefined): ByteString {
  return extension?.path ?? fromText(header.path ?? '')
}

function toMember(
  header: Header,
  extension: Extension | undefined,
  makeBlob: (name: ByteString) => Blob,
): Omit<Member, 'repeated'> {
  const name = cleanName(nameOf(header, extension))
  const target = extension?.linkpath ?? fromText(header.linkpath ?? '')
  switch (header.type) {
    case 'File':
    case 'OldFile':
    case 'ContiguousFile':
      return {name, kind: 'file', blob: makeBlob(name)}
    case 'Directory':
      return {name, kind: 'directory'}
    case 'SymbolicLink':
      return {name, kind: 'link', target}
    case 'Link':
      return {name, kind: 'link', target, hard: true}
    case 'SparseFile':
      throw sparseMember()
    case 'OldExtendedHeader':
    case 'OldGnuLongPath':
      throw new ImgtoolError(
        'ARCHIVE_INVALID',
        'Cannot read the archive as a tar: an extension header is of an old type',
      )
    default:
      return {name, kind: 'other'}
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}

function invalid(offset: number, why: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_INVALID', `Cannot read the archive as a tar: ${why} (at byte ${offset})`)
}

function truncated(where: string): ImgtoolError {
  return new ImgtoolError('ARCHIVE_TRUNCATED', `Cannot read the archive: it ends ${where}`)
}
