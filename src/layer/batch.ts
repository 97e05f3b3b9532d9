/** Puts bytes together that are made in small pieces. */

/** Bytes that are handed on at a time. */
const batchSize = 256 * 1024
/** Bytes from where on a piece is handed on as it is. */
const largePiece = 32 * 1024

/** Gathers small pieces, so that they cost one system call together. */
export class Batch {
  readonly #buffer = Buffer.allocUnsafeSlow(batchSize)
  #length = 0;

  *addAll(pieces: Iterable<Buffer>): Generator<Buffer> {
    for (const piece of pieces) yield* this.add(piece)
  }

  *add(piece: Buffer): Generator<Buffer> {
    if (piece.length > batchSize - this.#length || piece.length >= largePiece) yield* this.flush()
    if (piece.length >= largePiece) yield piece
    else this.#length += piece.copy(this.#buffer, this.#length)
  }

  *flush(): Generator<Buffer> {
    if (this.#length > 0) yield this.#buffer.subarray(0, this.#length)
    this.#length = 0
  }
}
