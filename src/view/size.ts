/** Sizes for people. */
import prettyBytes from 'pretty-bytes'

/**
 * A size as docker prints it: decimal units, four significant digits.
 *
 * @param exact without it the size is marked as an estimate
 * @see docker/go-units HumanSize
 */
export function formatSize(size: number, exact = true): string {
  const digitsBeforePoint = Math.floor(Math.log10(Math.max(size, 1))) % 3
  const text = prettyBytes(size, {locale: 'en', maximumFractionDigits: 3 - digitsBeforePoint})
  return exact ? text : `~${text}`
}
