/** The value of `--limit`, from text. */
import {ImgtoolError} from '../errors.ts'
import {defaultLimits, type Limits} from '../limits.ts'
import {printableText} from '../text.ts'

/**
 * Reads `NAME=N` words over the defaults; a later one wins.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID for an unknown name or anything but a whole number
 */
export function parseLimits(words: readonly string[]): Limits {
  const changed = new Map<string, number>()
  for (const word of words) {
    const [, name = '', digits = ''] = /^(\w+)=(\d+)$/.exec(word) ?? []
    if (!Object.hasOwn(defaultLimits, name) || !Number.isSafeInteger(Number(digits))) throw invalidLimit(word)
    changed.set(name, Number(digits))
  }
  return {...defaultLimits, ...Object.fromEntries(changed)}
}

function invalidLimit(word: string): ImgtoolError {
  const names = Object.keys(defaultLimits).join(', ')
  return new ImgtoolError('REFERENCE_INVALID', `Cannot read limit "${printableText(word)}": expected NAME=N`, {
    hint: `The limits are ${names}`,
  })
}
