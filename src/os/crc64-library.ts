/** The CRC-64 of a library that the system may have: with carry-less products, it is as fast as memory. */
import koffi from 'koffi'

/** Continues a sum with some bytes. @param sum 0 to begin with */
export type SumBytes = (sum: bigint, bytes: Uint8Array) => bigint

/** The CRC-64 of ISO 3309 of Intel's ISA-L; undefined where there is none. @see https://github.com/intel/isa-l include/crc64.h */
export function loadCrc64(): SumBytes | undefined {
  loaded ??= {sumBytes: load()}
  return loaded.sumBytes
}

/** Undefined before it was looked for: every layer asks for it. */
let loaded: {readonly sumBytes: SumBytes | undefined} | undefined

function load(): SumBytes | undefined {
  try {
    const sum = koffi.load('libisal.so.2').func('uint64_t crc64_iso_refl(uint64_t, const void *, uint64_t)')
    // A number where it is small enough to be one.
    return (before, bytes) => BigInt(sum(before, bytes, bytes.length))
  } catch {
    return undefined
  }
}
