/** The time that reproducible builds give everything they make. */
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'

/** Largest time that the header of a tar holds in octal digits. */
const maximum = 0o77777777777

/**
 * Reads `SOURCE_DATE_EPOCH`.
 *
 * @param text of the variable
 * @returns seconds since 1970, 0 where it is not set
 * @throws {ImgtoolError} REFERENCE_INVALID
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export function parseSourceDateEpoch(text: string | undefined): number {
  if (text === undefined || text === '') return 0
  const seconds = Number(text)
  if (/^\d+$/.test(text) && seconds <= maximum) return seconds
  throw new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot read SOURCE_DATE_EPOCH "${printableText(text)}": expected whole seconds since 1970, at most ${maximum}`,
    {hint: 'The header of a tar holds no larger time'},
  )
}
