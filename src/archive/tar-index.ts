/**
 * The index of an outer tar: headers are read, contents are skipped, so that a large archive costs as many small reads as
 * it has members.
 */
import type {FileHandle} from 'node:fs/promises'
import {Header} from 'tar/header'
import {ImgtoolError} from '../errors.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {type ByteString, fromText, printable} from '../text.ts'
import type {Blob, Member} from './archive.ts'
import {type Extension, extend, isExtension} from './extension.ts'
import {addMember, cleanName} from './names.ts'

const blockSize = 512

/**
 * Indexes the members of a tar.
 *
 * @param size of the file, bytes
 * @param makeBlob makes the blob of a member from its name, offset and size
 * @returns members in the order of the tar
 * @throws {ImgtoolError} ARCHIVE_INVALID for what is no header, ARCHIVE_TRUNCATED when a member ends behind the file
 */
export async function indexTar(
  handle: FileHandle,
  size: number,
  limits: Limits,
  makeBlob: (name: ByteString, offset: number, size: number) => Blob,
): Promise<Map<ByteString, Member>> {
  const members = new Map<ByteString, Member>()
  let extension: Extension = {}
  let offset = 0
  for (let count = 1; ; count++) {
    const block = await readBlock(handle, offset, size)
    if (block === undefined) {
      if (Object.keys(extension).length > 0) throw truncated('behind an extension header')
      return members
    }
    checkLimit(limits, 'members', count, 'members of the archive')
    const header = decodeHeader(block, offset, extension)
    const content = offset + blockSize
    const length = sizeOf(header)
    offset = content + Math.ceil(length / blockSize) * blockSize
    if (content + length > size) {
      throw truncated(`in the middle of "${printable(nameOf(header, extension))}"`)
    }
    if (isExtension(header.type)) {
      checkLimit(limits, 'extensionHeader', length, 'bytes of an extension header of the archive')
      const body = Buffer.alloc(length)
      await handle.read(body, 0, length, content)
      extension = extend(extension, header.type, body)
    } else {
      addMember(
        members,
        toMember(header, extension, (name) => makeBlob(name, content, length)),
      )
      extension = {}
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

function decodeHeader(block: Buffer, offset: number, extension: Extension): Header {
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
  return header
}

/** Whether the size field is a number: the decoder takes what is none for 0, and other readers do not. */
function isSize(block: Buffer, header: Header): boolean {
  const field = block.toString('latin1', 124, 136)
  return /^[ \0]*[0-7]*[ \0]*$/.test(field) || (field.charCodeAt(0) >= 0x80 && header.size !== undefined)
}

/** Types that never have content, whatever their size says. @see https://pkg.go.dev/archive/tar isHeaderOnlyType */
const headerOnly = new Set(['Link', 'SymbolicLink', 'CharacterDevice', 'BlockDevice', 'Directory', 'FIFO'])

function sizeOf(header: Header): number {
  return headerOnly.has(header.type) ? 0 : (header.size ?? 0)
}

function nameOf(header: Header, extension: Extension): ByteString {
  return extension.path ?? fromText(header.path ?? '')
}

function toMember(
  header: Header,
  extension: Extension,
  makeBlob: (name: ByteString) => Blob,
): Omit<Member, 'repeated'> {
  const name = cleanName(nameOf(header, extension))
  const target = extension.linkpath ?? fromText(header.linkpath ?? '')
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
