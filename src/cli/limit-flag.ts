/** The value of `--limit`, from text. */
import {ImgtoolError} from '../errors.ts'
import {defaultLimits, type Limits} from '../limits.ts'
import {printableText} from '../text.ts'

/** @see GNU coreutils manual, 2.3 Block size: a letter alone is binary */
const units: Readonly<Record<string, number>> = {'': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40}

/**
 * Reads `NAME=N` words over the defaults; a later one wins. N may have a unit: `64MiB`, `64M`.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID for an unknown name or anything but a whole number
 */
export function parseLimits(words: readonly string[]): Limits {
  const changed = new Map<string, number>()
  for (const word of words) {
    const [, name = '', value = ''] = /^(\w+)=(.*)$/s.exec(word) ?? []
    if (name === '') throw invalidLimit(`Cannot read limit "${printableText(word)}": expected NAME=N`)
    if (!Object.hasOwn(defaultLimits, name)) throw invalidLimit(`Unknown limit "${name}"`)
    changed.set(name, parseNumber(name, value))
  }
  return {...defaultLimits, ...Object.fromEntries(changed)}
}

function parseNumber(name: string, value: string): number {
  const [, digits, unit = ''] = /^(\d+)(?:([kKMGT])(?:iB)?)?$/.exec(value) ?? []
  const number = Number(digits) * units[unit.toUpperCase()]!
  if (Number.isSafeInteger(number)) return number
  const got = printableText(value)
  throw new ImgtoolError('REFERENCE_INVALID', `Cannot read limit "${name}": expected a whole number, got "${got}"`, {
    hint: 'Units are KiB, MiB, GiB and TiB: --limit bytes=1GiB',
  })
}

function invalidLimit(message: string): ImgtoolError {
  return new ImgtoolError('REFERENCE_INVALID', message, {
    hint: `The limits are ${Object.keys(defaultLimits).join(', ')}`,
  })
}
