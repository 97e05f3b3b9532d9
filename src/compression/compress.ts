/** Compresses by streaming: bounded memory, and nothing in the output but what the input and the options say. */
import {constants, createGzip, createZstdCompress} from 'node:zlib'
import {ImgtoolError} from '../errors.ts'
import {engineOptions, runEngine} from './codec.ts'

/** How to compress. */
export interface CompressionOptions {
  readonly compression: 'gzip' | 'zstd'
  /** As the compressor counts; undefined for its usual one. */
  readonly level?: number | undefined
  /** Who compresses gzip. @default 'auto' */
  readonly compressor?: 'auto' | GzipCompressor | undefined
  /** Threads to compress with, which the output does not depend on; undefined for one a core. */
  readonly threads?: number | undefined
}

export type GzipCompressor = 'zlib' | 'pako' | 'libdeflate' | 'isal'

/** Who compresses, and how well: the same choice gives the same bytes. */
export interface Choice {
  readonly compression: 'gzip' | 'zstd'
  readonly compressor: GzipCompressor | 'zstd'
  readonly level: number
}

/** Compresses one stream after the other, with threads that last as long as it does. Dispose of it. */
export interface Compressor extends AsyncDisposable {
  readonly choice: Choice
  /**
   * @param source its chunks need to be valid until the next one is asked for; its errors pass through unchanged
   * @returns chunks of any size; whoever stops early calls `return()`, which closes the source
   */
  compress(source: AsyncIterable<Buffer>): AsyncIterable<Buffer>
}

/**
 * Chooses who compresses.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID for a level that the compressor does not have; PLATFORM_UNSUPPORTED for a
 *   compressor that this system does not have
 */
export async function chooseCompressor({compression, level, compressor = 'auto'}: CompressionOptions): Promise<Choice> {
  const name = compression === 'zstd' ? 'zstd' : compressor === 'auto' ? 'zlib' : compressor
  const {usual, least, most} = levels[name]
  const chosen = level ?? usual
  if (!Number.isInteger(chosen) || chosen < least || chosen > most) {
    const [expected, actual] = [`${least} to ${most}`, `${chosen}`]
    const message = `Cannot compress with ${name}: no such level, expected ${expected}, got ${actual}`
    throw new ImgtoolError('REFERENCE_INVALID', message, {expected, actual})
  }
  return {compression, compressor: name, level: chosen}
}

/** @throws {ImgtoolError} as {@link chooseCompressor} */
export async function startCompressor(options: CompressionOptions): Promise<Compressor> {
  const choice = await chooseCompressor(options)
  const {compression, level} = choice
  return {
    choice,
    compress(source) {
      const params = {[constants.ZSTD_c_compressionLevel]: level}
      const engine =
        compression === 'gzip' ? createGzip({...engineOptions, level}) : createZstdCompress({...engineOptions, params})
      return runEngine(source, engine)
    },
    async [Symbol.asyncDispose]() {},
  }
}

/**
 * Compresses one stream; for several, {@link startCompressor} starts threads only once.
 *
 * @throws {ImgtoolError} as {@link chooseCompressor}, while reading
 */
export async function* compress(source: AsyncIterable<Buffer>, options: CompressionOptions): AsyncGenerator<Buffer> {
  await using compressor = await startCompressor(options)
  yield* compressor.compress(source)
}

/** The levels of each compressor. */
const levels: Readonly<Record<Choice['compressor'], {usual: number; least: number; most: number}>> = {
  zlib: {usual: 6, least: 1, most: 9},
  pako: {usual: 6, least: 1, most: 9},
  libdeflate: {usual: 2, least: 1, most: 12},
  isal: {usual: 3, least: 0, most: 3},
  zstd: {usual: 3, least: 1, most: 19},
}
