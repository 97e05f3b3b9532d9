/** Who can compress, how well, and in what pieces. */
import {ImgtoolError} from '../errors.ts'

export type GzipCompressor = 'zlib' | 'pako' | 'libdeflate' | 'isal'

/** How to compress. */
export interface CompressionOptions {
  readonly compression: 'gzip' | 'zstd'
  /** As the compressor counts; undefined for its usual one. */
  readonly level?: number | undefined
  /**
   * Who compresses gzip. `auto` is the fastest of those whose output is no larger than that of skopeo.
   *
   * @default 'auto'
   */
  readonly compressor?: 'auto' | GzipCompressor | undefined
  /** Threads to compress with, which the output does not depend on; undefined for one a core; 6 at most. */
  readonly threads?: number | undefined
}

/** Who compresses, and how well: the same choice gives the same bytes wherever the compressor is of the same version. */
export interface Choice {
  readonly compression: 'gzip' | 'zstd'
  readonly compressor: GzipCompressor | 'zstd'
  readonly level: number
}

/** What is known of a compressor. */
interface Traits {
  /** The level that is taken when none is asked for. */
  readonly usual: number
  readonly least: number
  readonly most: number
  /** Input that is compressed at a time, bytes. */
  readonly blockSize: number
  /** Whether its blocks are gzip members or zstd frames; else they are parts of one deflate stream and refer to what was before. */
  readonly isWhole: boolean
}

/**
 * The usual levels for gzip are the fastest that make no larger layers than skopeo does, of three images with few, large and
 * many small files; the best of ISA-L is 2 to 7 % larger. Blocks of these sizes cost 0.1 % where they do without what was
 * before (libdeflate), and 1 % with the window of zstd; larger ones only take memory.
 */
const compressors: Readonly<Record<Choice['compressor'], Traits>> = {
  zlib: {usual: 4, least: 1, most: 9, blockSize: 1024 * 1024, isWhole: false},
  pako: {usual: 6, least: 1, most: 9, blockSize: 1024 * 1024, isWhole: false},
  libdeflate: {usual: 3, least: 1, most: 12, blockSize: 1024 * 1024, isWhole: true},
  isal: {usual: 3, least: 1, most: 3, blockSize: 1024 * 1024, isWhole: false},
  zstd: {usual: 3, least: 1, most: 19, blockSize: 4096 * 1024, isWhole: true},
}

export function traitsOf({compressor}: Choice): Traits {
  return compressors[compressor]
}

/**
 * Chooses who compresses.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID for a level that the compressor does not have; PLATFORM_UNSUPPORTED for a
 *   compressor that this system does not have
 */
export async function chooseCompressor({compression, level, compressor = 'auto'}: CompressionOptions): Promise<Choice> {
  const name = compression === 'zstd' ? 'zstd' : await chooseGzip(compressor)
  const {usual, least, most} = compressors[name]
  const chosen = level ?? usual
  if (!Number.isInteger(chosen) || chosen < least || chosen > most) {
    const [expected, actual] = [`${least} to ${most}`, `${chosen}`]
    const message = `Cannot compress with ${name}: no such level, expected ${expected}, got ${actual}`
    throw new ImgtoolError('REFERENCE_INVALID', message, {expected, actual})
  }
  return {compression, compressor: name, level: chosen}
}

async function chooseGzip(wanted: 'auto' | GzipCompressor): Promise<GzipCompressor> {
  if (wanted === 'zlib' || wanted === 'pako') return wanted
  const {hasLibrary} = await import('../os/deflate-libraries.ts')
  if (wanted === 'auto') return hasLibrary('libdeflate') ? 'libdeflate' : 'zlib'
  if (hasLibrary(wanted)) return wanted
  const hint = `Install it (Debian: ${wanted === 'isal' ? 'libisal2' : 'libdeflate0'}), or take another compressor.`
  throw new ImgtoolError('PLATFORM_UNSUPPORTED', `Cannot compress with ${wanted}: this system has no such library`, {
    hint,
  })
}
