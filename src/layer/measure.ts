/** The size of a layer as docker counts it, without reading more than the headers where the layer is not compressed. */
import type {Blob} from '../archive/archive.ts'
import {decompress} from '../compression/decompress.ts'
import {detectCompression} from '../compression/detect.ts'
import {checkLimit, type Limits} from '../limits.ts'
import {skim} from './skim.ts'
import type {Entry} from './tar/entry.ts'
import {type EntrySink, TarParser} from './tar/parser.ts'

/** Bytes that may still be read; shared by the layers of one question. */
export interface ReadingBudget {
  left: number
}

/** Bytes read at a time: a small budget is spent on headers. */
const smallWindow = 4096
/** Decompressed bytes that cost a budget as much as one that is read, so that a bomb uses it up, too. */
const decompressedForOne = 64

/**
 * Sums the sizes of a layer's files; hard links, directories and links count nothing.
 *
 * @param budget ends the reading when it is used up
 * @returns undefined when the budget did not suffice
 * @throws {ImgtoolError} TAR_INVALID, COMPRESSION_INVALID, LIMIT_EXCEEDED
 * @see moby pkg/archive/diff.go, UnpackLayer, which sums the sizes of the headers
 */
export async function measureLayer(blob: Blob, limits: Limits, budget?: ReadingBudget): Promise<number | undefined> {
  const head = await blob.read(0, 64)
  const compression = detectCompression(head)
  const counter = new SizeCounter()
  const parser = new TarParser(counter, limits)
  if (compression === 'none') return (await walk(blob, parser, budget)) ? counter.size : undefined
  if (budget !== undefined && budget.left < blob.size) return undefined
  if (budget !== undefined) budget.left -= blob.size
  let bytes = 0
  for await (const chunk of decompress(blob.stream(), compression)) {
    bytes += chunk.length
    checkLimit(limits, 'bytes', bytes, 'decompressed bytes of a layer')
    if (budget !== undefined && !spend(budget, Math.ceil(chunk.length / decompressedForOne))) return undefined
    parser.write(chunk)
    if (parser.hasEnded) break
  }
  parser.finish()
  return counter.size
}

/** @returns false when the budget did not suffice */
async function walk(blob: Blob, parser: TarParser, budget: ReadingBudget | undefined): Promise<boolean> {
  if (budget === undefined) return skim(blob, parser)
  return skim(blob, parser, {window: smallWindow, onRead: (bytes) => spend(budget, bytes)})
}

function spend(budget: ReadingBudget, bytes: number): boolean {
  budget.left -= bytes
  return budget.left >= 0
}

class SizeCounter implements EntrySink {
  size = 0

  entry(entry: Entry): void {
    this.size += entry.size
  }

  data(): void {}

  end(): void {}
}
