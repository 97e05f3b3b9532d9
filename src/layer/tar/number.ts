/** Numbers of a tar: octal or base-256 in headers, decimal in PAX records. Nothing else is a number, whatever JavaScript says. */
import {ImgtoolError} from '../../errors.ts'

/**
 * A numeric header field.
 *
 * @returns a safe integer; 0 for a field of blanks
 * @throws {ImgtoolError} TAR_INVALID for other characters, and for what JavaScript cannot count exactly
 * @see POSIX pax, ustar: octal digits ended by blank or NUL, old tars pad in front with blanks; GNU tar: base-256 when the
 *   first bit is set
 */
export function headerNumber(block: Buffer, offset: number, length: number, field: string): number {
  const first = block[offset]!
  if (first >= 0x80) return base256(block, offset, length, field)
  let value = 0
  let at = offset
  const end = offset + length
  while (at < end && isBlank(block[at]!)) at++
  for (; at < end; at++) {
    const digit = block[at]! - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; at < end; at++) if (!isBlank(block[at]!)) throw invalid(field)
  return value
}

/**
 * A decimal PAX value.
 *
 * @throws {ImgtoolError} TAR_INVALID for signs, fractions, other digits than ASCII's, and beyond 2^53-1
 */
export function paxNumber(text: string, field: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw invalid(field)
  return value
}

/** A point in time: whole seconds since 1970, rounded down, and nanoseconds from there. */
export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

/**
 * A PAX time such as `-1.5`.
 *
 * @throws {ImgtoolError} TAR_INVALID for anything but a decimal within 2^53 seconds of 1970
 */
export function paxTime(text: string, field: string): Time {
  const [, sign, whole, fraction = ''] = /^(-?)([0-9]{1,16})(?:\.([0-9]*))?$/.exec(text) ?? []
  if (whole === undefined || !Number.isSafeInteger(Number(whole))) throw invalid(field)
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign !== '-') return {seconds: Number(whole), nanoseconds}
  return nanoseconds === 0
    ? {seconds: 0 - Number(whole), nanoseconds}
    : {seconds: -Number(whole) - 1, nanoseconds: 1_000_000_000 - nanoseconds}
}

function base256(block: Buffer, offset: number, length: number, field: string): number {
  const negative = (block[offset]! & 0x40) !== 0
  let value = BigInt(block[offset]! & 0x7f)
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at]!)
  if (negative) value -= 1n << BigInt(8 * length - 1)
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw invalid(field)
  return number
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0
}

function invalid(field: string): ImgtoolError {
  return new ImgtoolError('TAR_INVALID', `The ${field} of an entry is not a number that can be used`)
}
