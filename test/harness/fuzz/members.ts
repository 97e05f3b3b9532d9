/** Archives as lists of members, in which a blob can be replaced with everything that names it by its digest. */
import {spawnSync} from 'node:child_process'
import {createHash} from 'node:crypto'
import {gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync} from 'node:zlib'
import {detectCompression} from '../../../src/compression/detect.ts'
import type {Member} from '../../helpers/image.ts'

/** A member of an archive that is being changed. */
export interface Piece extends Member {
  name: string
  body: Buffer
  link: string
}

export type Packing = 'none' | 'gzip' | 'zstd' | 'xz'

/** Reads a well-formed tar; extension headers are members of their own. */
export function readMembers(tar: Buffer): Piece[] {
  const pieces: Piece[] = []
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const block = tar.subarray(at, at + 512)
    const text = (start: number, length: number) => block.toString('latin1', start, start + length).split('\0')[0]!
    const size = Number.parseInt(text(124, 12).trim() || '0', 8)
    const prefix = text(257, 5) === 'ustar' && text(345, 155) !== '' ? `${text(345, 155)}/` : ''
    const body = Buffer.from(tar.subarray(at + 512, at + 512 + size))
    pieces.push({name: prefix + text(0, 100), type: text(156, 1) || '0', link: text(157, 100), body})
    at += 512 + Math.ceil(size / 512) * 512
  }
  return pieces
}

/** Whether a member is a layer: a tar, compressed or not. */
export function isLayer({body}: Piece): boolean {
  if (detectCompression(body.subarray(0, 64)) !== 'none') return true
  return body.length >= 1024 && body.length % 512 === 0 && /^[0-7 \0]{8}$/.test(body.toString('latin1', 148, 156))
}

/** Whether a member is a JSON document. */
export function isDocument({body}: Piece): boolean {
  return body[0] === 0x7b || body[0] === 0x5b
}

export function unpackBytes(bytes: Buffer): Buffer {
  switch (detectCompression(bytes.subarray(0, 64))) {
    case 'gzip':
      return gunzipSync(bytes)
    case 'zstd':
      return zstdDecompressSync(bytes)
    case 'xz':
      return throughXz(['-dc'], bytes)
    default:
      return bytes
  }
}

export function packBytes(bytes: Buffer, packing: Packing): Buffer {
  switch (packing) {
    case 'gzip':
      return gzipSync(bytes)
    case 'zstd':
      return zstdCompressSync(bytes)
    case 'xz':
      return throughXz(['-0c'], bytes)
    case 'none':
      return bytes
  }
}

/** Node reads and writes no xz. */
function throughXz(words: readonly string[], input: Buffer): Buffer {
  const {stdout, status, error} = spawnSync('xz', words, {input, maxBuffer: 2 ** 28})
  if (status !== 0) throw new Error('xz failed', {cause: error})
  return stdout
}

/** A digest that changed: of stored bytes, named everywhere but in the list of diffIDs, or of uncompressed ones, named only there. */
interface Rename {
  readonly isPlain: boolean
  readonly old: string
  readonly current: string
  readonly size: number
}

/**
 * Replaces the body of a member, and every digest that follows from it: in documents, in the digests of these, and in names.
 *
 * @param plain the uncompressed bytes of a layer before and after, where these changed
 */
export function replaceBody(
  pieces: readonly Piece[],
  changed: Piece,
  body: Buffer,
  plain?: readonly [Buffer, Buffer],
): void {
  const renames = [toRename(changed.body, body)]
  if (plain !== undefined) renames.push({...toRename(...plain), isPlain: true})
  changed.body = body
  for (let rename = renames.shift(); rename !== undefined; rename = renames.shift()) {
    const {isPlain, old, current} = rename
    if (old === current) continue
    for (const piece of pieces) {
      if (!isPlain) {
        piece.name = piece.name.replaceAll(old, current)
        piece.link = piece.link.replaceAll(old, current)
      }
      if (!isDocument(piece) || !piece.body.includes(old)) continue
      const renewed = Buffer.from(renameIn(piece.body.toString('latin1'), rename), 'latin1')
      renames.push(toRename(piece.body, renewed))
      piece.body = renewed
    }
  }
}

function toRename(before: Buffer, after: Buffer): Rename {
  return {isPlain: false, old: hex(before), current: hex(after), size: after.length}
}

function renameIn(text: string, {isPlain, old, current, size}: Rename): string {
  const parts = text.split(/("diff_ids":\s*\[[^\]]*\])/)
  const renamed = parts.map((part, at) => ((at % 2 === 1) === isPlain ? part.replaceAll(old, current) : part)).join('')
  return isPlain ? renamed : withSize(renamed, current, size)
}

/** The size that stands beside a digest in a descriptor. */
function withSize(text: string, digest: string, size: number): string {
  return text
    .replace(new RegExp(`("digest":\\s*"sha256:${digest}"[^{}]*?"size":\\s*)\\d+`, 'g'), `$1${size}`)
    .replace(new RegExp(`("size":\\s*)\\d+([^{}]*?"digest":\\s*"sha256:${digest}")`, 'g'), `$1${size}$2`)
}

function hex(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
