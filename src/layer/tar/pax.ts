/** PAX extended headers on raw bytes: values may hold NUL, newlines and what is not UTF-8. */
import {ImgtoolError} from '../../errors.ts'
import type {ByteString} from '../../text.ts'

/** One `length key=value` record. */
export type PaxRecord = readonly [key: ByteString, value: ByteString]

/** Digits of a record's length; more than any limit on extension headers needs. */
const maximumLengthDigits = 10

/**
 * Parses the body of an extended header.
 *
 * @returns records in order; a key may repeat
 * @throws {ImgtoolError} TAR_INVALID for every record that is not exactly as long as it says
 * @see POSIX pax, "pax Extended Header"
 */
export function parsePax(body: Buffer): PaxRecord[] {
  const records: PaxRecord[] = []
  for (let at = 0; at < body.length; ) {
    const blank = body.indexOf(0x20, at)
    const digits = body.toString(
      'latin1',
      at,
      blank === -1 ? at + maximumLengthDigits : Math.min(blank, at + maximumLengthDigits + 1),
    )
    const length = /^[1-9][0-9]*$/.test(digits) && blank !== -1 ? Number(digits) : Number.NaN
    const end = at + length
    const equals = body.indexOf(0x3d, blank)
    // No key may be empty: it begins right behind the blank.
    if (!(end <= body.length) || equals <= blank + 1 || equals >= end || body[end - 1] !== 0x0a) {
      throw new ImgtoolError(
        'TAR_INVALID',
        `Cannot read the tar: a PAX record is malformed (at byte ${at} of its header)`,
      )
    }
    records.push([body.toString('latin1', blank + 1, equals), body.toString('latin1', equals + 1, end - 1)])
    at = end
  }
  return records
}
