/** Small pieces of text that several views share. */
import {shortID} from '../digest.ts'
import {printableText} from '../text.ts'

/** An id as docker prints it: twelve digits, or the whole of it. */
export function formatID(id: string, full = false): string {
  return printableText(full ? id : shortID(id))
}

/**
 * What a step did, on one line; without the shell that docker put in front of steps that only changed the config.
 *
 * @param full leaves the step as it is stored
 */
export function formatStep(createdBy = '', full = false): string {
  if (full) return printableText(createdBy)
  return printableText(
    createdBy
      .replace(/^\/bin\/sh -c #\(nop\)\s+/, '')
      .replace(/\s+/g, ' ')
      .trim(),
  )
}

/** A date of a document in UTC, to the second; as it is when it is no date, `-` when there is none. */
export function formatDate(date: string | undefined): string {
  if (date === undefined) return '-'
  const time = Date.parse(date)
  return Number.isNaN(time) ? printableText(date) : `${new Date(time).toISOString().slice(0, -5)}Z`
}

/** `1 layer`, `2 layers`. */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/**
 * Cuts a line to a width.
 *
 * @param columns characters; undefined cuts nothing
 */
export function cut(line: string, columns: number | undefined, ellipsis = '…'): string {
  if (columns === undefined || line.length <= columns) return line
  const characters = Array.from(line)
  if (characters.length <= columns) return line
  return characters.slice(0, Math.max(columns - ellipsis.length, 0)).join('') + ellipsis
}
