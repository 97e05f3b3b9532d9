/** Deflate and gzip around bytes as they are. */
import {crc32} from 'node:zlib'

/** The most bytes that one stored block holds. @see RFC 1951 3.2.4 */
const maximumStored = 65_535

/** Deflate, no flags, no time, no operating system. @see RFC 1952 2.3 */
export const memberHeader = Buffer.from('1f8b08000000000000ff', 'hex')

/** What follows the deflate stream of a member. @see RFC 1952 2.3.1 */
export function memberTrailer(checksum: number, size: number): Buffer {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(checksum, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  return trailer
}

/** Writes stored blocks of a stream that goes on. @returns bytes written */
export function storeBlocks(data: Buffer, room: Buffer): number {
  return store(data, room, false)
}

/** Writes a gzip member. @returns bytes written */
export function storeMember(data: Buffer, room: Buffer): number {
  let size = memberHeader.copy(room)
  size += store(data, room.subarray(size), true)
  return size + memberTrailer(crc32(data), data.length).copy(room, size)
}

function store(data: Buffer, room: Buffer, isEnd: boolean): number {
  let size = 0
  for (let at = 0; at < data.length; at += maximumStored) {
    const part = data.subarray(at, at + maximumStored)
    const isLast = isEnd && at + part.length === data.length
    size = room.writeUInt8(isLast ? 1 : 0, size)
    size = room.writeUInt16LE(part.length, size)
    size = room.writeUInt16LE(part.length ^ 0xffff, size)
    size += part.copy(room, size)
  }
  return size
}
