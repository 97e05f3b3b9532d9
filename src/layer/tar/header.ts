/** One 512-byte header block, decoded without judgement; extension headers are not applied here. */
import {ImgtoolError} from '../../errors.ts'
import {blockSize} from '../../tar/blocks.ts'
import type {ByteString} from '../../text.ts'
import {headerNumber} from './number.ts'

/** The fields of a ustar, GNU, star or V7 header. */
export interface Header {
  /** With the prefix field where the dialect has one. */
  readonly name: ByteString
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content that follow in the tar. */
  readonly size: number
  /** Whole seconds since 1970. */
  readonly mtime: number
  /** One character; NUL is given as `0`. */
  readonly type: string
  readonly link: ByteString
  readonly deviceMajor: number
  readonly deviceMinor: number
}

/**
 * Decodes a header block.
 *
 * @throws {ImgtoolError} TAR_INVALID for a wrong checksum or a field that is no number
 * @see POSIX pax, ustar interchange format; GNU tar manual, Basic Tar Format; star(5) for the 131-byte prefix
 */
export function decodeHeader(block: Buffer): Header {
  requireChecksum(block)
  const posix = block.toString('latin1', 257, 263) === 'ustar\0'
  const devices = posix || block.toString('latin1', 257, 265) === 'ustar  \0'
  const prefix = posix ? text(block, 345, isStar(block) ? 131 : 155) : ''
  const name = text(block, 0, 100)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: headerNumber(block, 100, 8, 'mode'),
    uid: headerNumber(block, 108, 8, 'uid'),
    gid: headerNumber(block, 116, 8, 'gid'),
    size: headerNumber(block, 124, 12, 'size'),
    mtime: headerNumber(block, 136, 12, 'mtime'),
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156]!),
    link: text(block, 157, 100),
    deviceMajor: devices ? headerNumber(block, 329, 8, 'device number') : 0,
    deviceMinor: devices ? headerNumber(block, 337, 8, 'device number') : 0,
  }
}

/** Whether a block is all zeros, as the two at the end of a tar are. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(zeros)
}

const zeros = Buffer.alloc(blockSize)

function isStar(block: Buffer): boolean {
  return block.toString('latin1', 508, 512) === 'tar\0'
}

function text(block: Buffer, offset: number, length: number): ByteString {
  const nul = block.indexOf(0, offset)
  return block.toString('latin1', offset, nul === -1 || nul > offset + length ? offset + length : nul)
}

/** The sum of all bytes with the checksum's own eight taken as blanks; old Sun tars summed signed bytes. */
function requireChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20
  let signed = 8 * 0x20
  for (let at = 0; at < blockSize; at++) {
    if (at === 148) at = 156
    const byte = block[at]!
    unsigned += byte
    signed += byte < 0x80 ? byte : byte - 0x100
  }
  if (/^[\0 ]*$/.test(block.toString('latin1', 148, 156))) throw invalid('has no checksum')
  const stored = headerNumber(block, 148, 8, 'checksum')
  if (stored !== unsigned && stored !== signed) throw invalid('has a wrong checksum')
}

function invalid(why: string): ImgtoolError {
  return new ImgtoolError('TAR_INVALID', `Cannot read the tar: a header ${why}`)
}
