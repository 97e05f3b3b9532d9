/** Compresses piece by piece, without waiting for anything: whoever makes a tar-split may be a thread that only takes orders. */
import {constants, crc32, deflateRawSync} from 'node:zlib'

/** No name, no time, of Unix: the same bytes give the same file. @see RFC 1952 2.3 */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
/** An empty block that ends a deflate stream. @see RFC 1951 3.2.6 */
const lastBlock = Buffer.from([3, 0])
/** What deflate can refer back to, bytes. */
const windowSize = 32 * 1024
/** The 66 MB of JSON of 54,000 small files become 4.0 MB in half the time that level 6 needs for 3.2 MB. */
const level = 1

/** Makes one gzip member. */
export class GzipPieces {
  readonly #write: (bytes: Buffer) => void
  #window: Buffer | undefined
  #checksum = 0
  #size = 0

  /** @param write takes the file in order; a piece is its own */
  constructor(write: (bytes: Buffer) => void) {
    this.#write = write
    write(header)
  }

  /** Compresses a piece. Large ones, of 100 KB and more, cost least. */
  update(piece: Buffer): void {
    const dictionary = this.#window === undefined ? {} : {dictionary: this.#window}
    this.#write(deflateRawSync(piece, {level, finishFlush: constants.Z_SYNC_FLUSH, ...dictionary}))
    this.#checksum = crc32(piece, this.#checksum)
    this.#size += piece.length
    if (piece.length > 0) this.#window = Buffer.from(piece.subarray(-windowSize))
  }

  finish(): void {
    const trailer = Buffer.alloc(8)
    trailer.writeUInt32LE(this.#checksum, 0)
    trailer.writeUInt32LE(this.#size % 2 ** 32, 4)
    this.#write(Buffer.concat([lastBlock, trailer]))
  }
}
