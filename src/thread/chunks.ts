/** Buffers that threads share: each is filled, handed to whoever works on it, and used again when all of them are done. */

/** Somebody who works on chunks later than they are handed over. */
export interface Fence {
  /** How many orders were given up to now; all that use a chunk are among them when it is released. */
  mark(): number
  /** Waits until so many orders are done. */
  wait(mark: number): void
}

/** Where buffers come from. */
export interface ChunkSource {
  /** A buffer whose content is of old. */
  take(): Buffer
  /** The buffer may be used again, when all orders given until now are done. */
  release(chunk: Buffer): void
}

interface Slot {
  readonly buffer: Buffer
  state: 'free' | 'taken' | 'released'
  /** Of each fence, for a released one. */
  marks: readonly number[]
}

/** Bytes of a chunk: enough that system calls do not count, few enough that what was read is still in the cache when it is used. */
const chunkSize = 512 * 1024

export class Chunks implements ChunkSource {
  /** All chunks, as other threads see them. */
  readonly memory: SharedArrayBuffer
  readonly #slots: Slot[]
  readonly #fences: Fence[] = []

  /** @param count of chunks; at most so many may be taken at a time */
  constructor(count: number) {
    this.memory = new SharedArrayBuffer(count * chunkSize)
    this.#slots = Array.from({length: count}, (_, index) => ({
      buffer: Buffer.from(this.memory, index * chunkSize, chunkSize),
      state: 'free',
      marks: [],
    }))
  }

  /** From now on chunks are only used again when this one, too, is done with them. */
  addFence(fence: Fence): void {
    this.#fences.push(fence)
  }

  take(): Buffer {
    const slot = this.#slots.find(({state}) => state !== 'taken')
    if (slot === undefined) throw new Error('all chunks are taken')
    if (slot.state === 'released') for (const [index, mark] of slot.marks.entries()) this.#fences[index]!.wait(mark)
    slot.state = 'taken'
    return slot.buffer
  }

  release(chunk: Buffer): void {
    const index = this.#slots.findIndex(({buffer}) => buffer.byteOffset === chunk.byteOffset)
    const [slot] = this.#slots.splice(index, 1)
    slot!.state = 'released'
    slot!.marks = this.#fences.map((fence) => fence.mark())
    // Whoever was released last is taken last.
    this.#slots.push(slot!)
  }

  /** Whether bytes lie in the shared memory. */
  holds(bytes: Buffer): boolean {
    return bytes.buffer === (this.memory as ArrayBufferLike)
  }

  /** Hands bytes over in shared memory: as they are when they lie there already, else as copies. */
  share(bytes: Buffer, use: (shared: Buffer) => void): void {
    if (this.holds(bytes)) use(bytes)
    else for (const copy of this.copies(bytes)) use(copy)
  }

  /** Copies of bytes in shared memory, piece by piece; each is released when the next one is asked for. */
  *copies(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length; ) {
      const chunk = this.take()
      try {
        const copied = bytes.copy(chunk, 0, at)
        at += copied
        yield chunk.subarray(0, copied)
      } finally {
        this.release(chunk)
      }
    }
  }
}
