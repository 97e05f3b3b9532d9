/** Writes the lines of a tar-split as bytes: as strings, they would cost more to collect than to make. */
import {encodeString} from '../image/go-json.ts'
import {type ByteString, isText} from '../text.ts'
import type {Checksum} from './crc64.ts'

/** Bytes that are handed on at a time: what compresses them begins anew each time. */
const roomSize = 1024 * 1024
/** Bytes that become base64 at a time: whole groups of three. */
const portion = 3 * 64 * 1024

/** A name that JSON has as it is, as nearly all. */
const plainName = /^[ !#-%'-;=?-[\]-~]*$/

const sixBits = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const padding = '='.charCodeAt(0)

/**
 * Numbers the lines it writes, from 0.
 *
 * @see vbatts/tar-split tar/storage/entry.go, packer.go
 */
export class TarSplitLines {
  readonly #write: (json: Buffer) => void
  readonly #room = Buffer.allocUnsafeSlow(roomSize)
  readonly #sum = Buffer.alloc(8)
  #end = 0
  #position = 0

  /** @param write takes the JSON, piece by piece; a piece is valid until it returns */
  constructor(write: (json: Buffer) => void) {
    this.#write = write
  }

  /** Writes a line of raw bytes. */
  segment(bytes: Uint8Array): void {
    this.#text('{"type":2,"payload":"')
    this.#base64(bytes)
    this.#text('","position":')
    this.#endLine()
  }

  /**
   * Writes a line of a file, or of an entry without content.
   *
   * @param checksum undefined where the size is 0
   */
  file(name: ByteString, size: number, checksum: Checksum | undefined): void {
    this.#text('{"type":1,')
    this.#name(name)
    if (size > 0) {
      this.#text(',"size":')
      this.#text(String(size))
    }
    this.#text(',"payload":')
    this.#checksum(checksum)
    this.#text(',"position":')
    this.#endLine()
  }

  /** Hands on what there is. */
  flush(): void {
    if (this.#end > 0) this.#write(this.#room.subarray(0, this.#end))
    this.#end = 0
  }

  #endLine(): void {
    this.#text(String(this.#position++))
    this.#text('}\n')
  }

  #name(name: ByteString): void {
    if (plainName.test(name)) {
      this.#text('"name":"')
      this.#text(name)
      this.#text('"')
    } else if (isText(name)) {
      this.#text('"name":')
      this.#text(encodeString(name))
    } else {
      this.#text('"name_raw":"')
      this.#base64(Buffer.from(name, 'latin1'))
      this.#text('"')
    }
  }

  #checksum(checksum: Checksum | undefined): void {
    if (checksum === undefined) {
      this.#text('null')
    } else {
      this.#sum.writeUInt32BE(checksum.high, 0)
      this.#sum.writeUInt32BE(checksum.low, 4)
      this.#text('"')
      this.#base64(this.#sum)
      this.#text('"')
    }
  }

  #base64(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += portion) {
      const end = Math.min(at + portion, bytes.length)
      this.#require(Math.ceil((end - at) / 3) * 4)
      this.#end = writeBase64(bytes, at, end, this.#room, this.#end)
    }
  }

  #text(text: ByteString): void {
    for (let at = 0; at < text.length; at++) {
      // A name can be longer than all of the room.
      if (this.#end === roomSize) this.flush()
      this.#room[this.#end++] = text.charCodeAt(at)
    }
  }

  #require(size: number): void {
    if (this.#end + size > roomSize) this.flush()
  }
}

/** Writes the base64 of `from[start..end]` to `to`. @returns where it ends there; @see RFC 4648 4 */
function writeBase64(from: Uint8Array, start: number, end: number, to: Uint8Array, begin: number): number {
  let at = start
  let out = begin
  for (; at + 3 <= end; at += 3) {
    const bits = (from[at]! << 16) | (from[at + 1]! << 8) | from[at + 2]!
    to[out++] = sixBits[bits >>> 18]!
    to[out++] = sixBits[(bits >>> 12) & 63]!
    to[out++] = sixBits[(bits >>> 6) & 63]!
    to[out++] = sixBits[bits & 63]!
  }
  const left = end - at
  if (left === 0) return out
  const bits = (from[at]! << 16) | (left === 2 ? from[at + 1]! << 8 : 0)
  to[out++] = sixBits[bits >>> 18]!
  to[out++] = sixBits[(bits >>> 12) & 63]!
  to[out++] = left === 2 ? sixBits[(bits >>> 6) & 63]! : padding
  to[out++] = padding
  return out
}
