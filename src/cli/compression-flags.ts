/** How the commands that write archives are told to compress. */
import {Flags} from '@oclif/core'
import {type Choice, traitsOf} from '../compression/compressors.ts'
import {ImgtoolError} from '../errors.ts'
import {threadsFlag} from './shared-options.ts'

const gzipCompressors = ['zlib', 'pako', 'libdeflate', 'isal'] as const

/** Who compresses, how well, and with how many threads. */
export const compressorFlags = {
  compressor: Flags.option({
    description:
      'who compresses gzip: auto is libdeflate where the system has it, else zlib; pako gives the same bytes everywhere',
    options: ['auto', ...gzipCompressors] as const,
  })(),
  level: Flags.integer({description: `how well to compress: ${describeLevels()}`, helpValue: 'N'}),
  threads: threadsFlag,
}

export const layerCompressions = ['keep', 'none', 'gzip', 'zstd'] as const

function describeLevels(): string {
  const levels = [...gzipCompressors, 'zstd' as const].map((compressor) => {
    const choice: Choice = {compression: compressor === 'zstd' ? 'zstd' : 'gzip', compressor, level: 1}
    const {least, most, usual} = traitsOf(choice)
    return `${compressor} ${least}-${most} (${usual})`
  })
  return `${levels.join(', ')}  [default: as in brackets]`
}

interface CompressorChoice {
  readonly compressor?: string | undefined
  readonly level?: number | undefined
}

/**
 * Refuses flags that would mean nothing.
 *
 * @param compression that was asked for, if any was
 * @throws {ImgtoolError} REFERENCE_INVALID
 */
export function checkCompressor(compression: string | undefined, {compressor, level}: CompressorChoice): void {
  const flag = compressor !== undefined ? 'compressor' : level !== undefined ? 'level' : undefined
  if (flag === undefined || compression === 'gzip' || (compression === 'zstd' && flag === 'level')) return
  const wanted = flag === 'level' ? '--compression gzip or zstd' : '--compression gzip'
  const given = compression === undefined ? `without ${wanted}` : `with --compression ${compression}`
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot use --${flag} ${given}`, {
    ...(compression !== undefined && {hint: `It needs ${wanted}`}),
  })
}
