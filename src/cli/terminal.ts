/** What the terminal can show. */
import process from 'node:process'

/** Characters of a line of standard output; undefined when it is no terminal. */
export function columns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined
}

/**
 * Whether the locale's characters are those of UTF-8. No locale at all is taken for UTF-8: containers and CI set none.
 *
 * @see POSIX base definitions 8.2, the order of the variables
 */
export function isUTF8(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG
  return !locale || /utf-?8/i.test(locale)
}
