/** Does without what is damaged of a store: whoever reads one may have a damaged disk. */
import {type ErrorCode, ImgtoolError} from '../errors.ts'

/** What is wrong with this machine, and not with the store. */
export const machineCodes: readonly ErrorCode[] = ['PERMISSION_DENIED', 'SYSTEM_ERROR']

/**
 * Reads something that may be damaged.
 *
 * @param onDamage is told why there is nothing
 * @param ours codes of errors that are no damage, and are thrown
 */
export function tolerate<Result>(
  use: () => Result,
  onDamage: (error: ImgtoolError) => void = () => {},
  ours: readonly ErrorCode[] = machineCodes,
): Result | undefined {
  try {
    return use()
  } catch (error) {
    if (!(error instanceof ImgtoolError) || ours.includes(error.code)) throw error
    onDamage(error)
    return undefined
  }
}
