/** What to do when the user typed the name of an image where a file was wanted, as every docker command takes it. */
import {ImgtoolError} from '../errors.ts'

/** @see distribution/reference, the grammar of names; a path that says it is one, or what it holds, is not meant */
const imageName =
  /^(?!(?:oci|oci-archive|docker-archive|docker-1\.10|docker-v1):|.*\.(?:tar|tgz|gz|xz|zst|bz2)(?::|$))[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?$/

/**
 * Adds to an error that there is no such file how to have the image saved.
 *
 * @param text the reference as typed
 * @param words the command line: the command, then its arguments
 */
export function hintAtDaemon(error: unknown, text: string, words: readonly string[]): unknown {
  const isMissing = error instanceof ImgtoolError && error.code === 'SOURCE_NOT_FOUND'
  if (!isMissing || error.details.hint !== undefined || !imageName.test(text)) return error
  const line = words.map((word) => (word === text ? '-' : quote(word))).join(' ')
  const hint = `If it is an image of docker: docker save ${text} | imgtool ${line}`
  return new ImgtoolError(error.code, error.message, {...error.details, hint})
}

function quote(word: string): string {
  return /^[\w./:@=+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
