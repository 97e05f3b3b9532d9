/** What to type instead when an archive could not be opened, with the command that was run. */
import {ImgtoolError} from '../errors.ts'
import type {Reference} from '../reference.ts'

/** @see distribution/reference, the grammar of names; a path that says it is one, or what it holds, is not meant */
const imageName =
  /^(?!(?:oci|oci-archive|docker-archive|docker-1\.10|docker-v1|docker-root):|.*\.(?:tar|tgz|gz|xz|zst|bz2)(?::|$))[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?$/

/**
 * Adds to an error of opening what helps: how to have an image saved, where its name was typed as every docker command takes
 * it; and where to pipe what another program has to decompress.
 *
 * @param text the reference as typed
 * @param words the command line: the command, then its arguments
 */
export function hintAtOpening(error: unknown, text: string, {path}: Reference, words: readonly string[]): unknown {
  if (!(error instanceof ImgtoolError)) return error
  const {code, message, details} = error
  if (code === 'SOURCE_NOT_FOUND' && details.hint === undefined && imageName.test(text)) {
    const hint = `If it is an image of docker: docker save ${text} | imgtool ${replaced(words, text, '-')}`
    return new ImgtoolError(code, message, {...details, hint})
  }
  if (code === 'COMPRESSION_UNSUPPORTED' && details.hint !== undefined) {
    const hint = `${details.hint} | imgtool ${replaced(
      words,
      text,
      text.replace(path, () => '-'),
    )}`
    return new ImgtoolError(code, message, {...details, hint})
  }
  return error
}

function replaced(words: readonly string[], old: string, by: string): string {
  return words.map((word) => quote(word === old ? by : word)).join(' ')
}

function quote(word: string): string {
  return /^[\w./:@=+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
