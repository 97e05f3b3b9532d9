/** Reads tars into lists, for comparison. */

import type {Entry} from '../../src/layer/tar/entry.ts'
import {type EntrySink, TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits, type Limits} from '../../src/limits.ts'

/** An entry with all its content; bytes as latin1, holes filled with zeros. */
export interface ReadEntry {
  readonly entry: Entry
  readonly content: string
}

/** Keeps entries, and insists on the order of calls that a sink is promised. */
export class Recorder implements EntrySink {
  readonly entries: ReadEntry[] = []
  #open: {readonly entry: Entry; readonly content: Buffer; written: number} | undefined

  entry(entry: Entry): void {
    if (this.#open !== undefined) throw new Error('an entry begins before the last one has ended')
    // Sizes may lie, and a sparse file may claim terabytes.
    this.#open = {entry, content: Buffer.alloc(Math.min(entry.size, 1 << 20)), written: 0}
  }

  data(chunk: Buffer, position: number): void {
    if (position < this.#open!.written) throw new Error('content goes back')
    chunk.copy(this.#open!.content, position)
    this.#open!.written = position + chunk.length
  }

  end(): void {
    const {entry, content} = this.#open!
    this.entries.push({entry, content: content.toString('latin1')})
    this.#open = undefined
  }
}

/** All entries of a tar that is fed in chunks of these sizes, repeated. */
export function readEntries(bytes: Buffer, sizes: readonly number[] = [bytes.length], limits: Partial<Limits> = {}) {
  const recorder = new Recorder()
  const parser = new TarParser(recorder, {...defaultLimits, ...limits})
  // One buffer, overwritten each time: the contract says that a chunk is valid until the call returns.
  const chunk = Buffer.alloc(Math.max(1, ...sizes))
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = bytes.copy(chunk, 0, at, at + sizes[turn % sizes.length]!)
    parser.write(chunk.subarray(0, size))
    chunk.fill(0xaa)
    at += size
  }
  parser.finish()
  return recorder.entries
}

/** The only entry of a tar. */
export function readEntry(bytes: Buffer, limits: Partial<Limits> = {}): Entry {
  const entries = readEntries(bytes, undefined, limits)
  if (entries.length !== 1) throw new Error(`${entries.length} entries instead of one`)
  return entries[0]!.entry
}
