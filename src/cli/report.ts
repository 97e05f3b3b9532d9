/**
 * What a failed command says: one line, a hint where there is one, and an exit code; or the same as a document.
 *
 * oclif's own rendering wraps lines and prints stacks, which suits neither people nor scripts.
 */
import {constants} from 'node:os'
import process from 'node:process'
import {describeSystemError} from '../archive/system-error.ts'
import {codeOfErrno, type ErrorCode, type ErrorDetails, ImgtoolError, isImgtoolError} from '../errors.ts'
import {printable, printableText, quotes} from '../text.ts'
import {explainUsage} from './usage-error.ts'

/**
 * 0 is success; 3 is for a check that says no, which is an answer and not an error. A run that a signal ended exits with
 * 128 and its number. @see POSIX sh, "Exit Status for Commands"
 */
export const exitCodes = {failed: 1, usage: 2, wrong: 3, unwritten: 74} as const

/** An error, as `--json` prints it. */
export type ErrorDocument = Readonly<Record<string, string | number>>

export interface Report {
  readonly exitCode: number
  /** Lines for standard error, each ended. */
  readonly text: string
  /** For standard output with `--json`. */
  readonly json: {readonly error: ErrorDocument}
}

/**
 * Says what went wrong.
 *
 * @param options.command makes errors of usage point to that command's help
 * @param options.debug adds the stack
 */
export function reportError(error: unknown, options: {command?: string; debug: boolean}): Report {
  const original = unwrap(error)
  const known = isImgtoolError(original) ? original : (explainSystem(original) ?? explainUsage(original))
  const lines = known === undefined ? bugLines(original) : errorLines(known, options.command)
  if (options.debug) lines.push(stack(original))
  return {
    exitCode: known === undefined ? exitCodes.failed : exitCode(known),
    text: lines.map((line) => `${line}\n`).join(''),
    json: {error: errorDocument(known, original)},
  }
}

/** Whether stacks are asked for; used where the command line could not be parsed. */
export function wantsDebug(words: readonly string[]): boolean {
  return words.includes('--debug') || Boolean(process.env.DEBUG) || isOn(process.env.IMGTOOL_DEBUG)
}

/** Whether errors are to be documents; used where the command line could not be parsed. */
export function wantsJSON(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return (end === -1 ? words : words.slice(0, end)).includes('--json') || isOn(process.env.IMGTOOL_JSON)
}

/** Whether a variable of the environment switches something on; as oclif reads those of flags. */
export function isOn(value: string | undefined): boolean {
  return /^(?:1|true|yes|y)$/i.test(value ?? '')
}

/** The first error, when closing things after it failed too. */
function unwrap(error: unknown): unknown {
  let first = error
  while (first instanceof SuppressedError) first = first.suppressed
  return first
}

/** What nobody expected, and yet is no bug: modules are loaded when they are needed, and files may go while they are read. */
function explainSystem(error: unknown): ImgtoolError | undefined {
  if (!(error instanceof Error)) return undefined
  const {code, path, syscall} = error as NodeJS.ErrnoException
  if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM') {
    return new ImgtoolError('SYSTEM_ERROR', `Cannot load the program: ${code}, the system gives no more`, {
      cause: error,
    })
  }
  if (code === undefined || path === undefined || syscall === undefined) return undefined
  const message = `Cannot ${syscall} "${printableText(path)}": ${describeSystemError(error)}`
  return new ImgtoolError(codeOfErrno(code), message, {cause: error})
}

function errorLines(error: ImgtoolError, command: string | undefined): string[] {
  const lines = [`Error: ${printableText(error.message)}${place(error)}`]
  if (error.details.hint !== undefined) lines.push(`Hint: ${printableText(error.details.hint)}`)
  if (error.code === 'REFERENCE_INVALID' && command !== undefined)
    lines.push(`See: imgtool ${command.replaceAll(':', ' ')} --help`)
  return lines
}

function bugLines(error: unknown): string[] {
  return [`Internal error: ${printableText(messageOf(error))}`]
}

/** Where it happened, as far as the message does not say so itself. */
function place(error: ImgtoolError): string {
  const {archive, layer, entry} = error.details
  const parts: string[] = []
  if (archive !== undefined && !quotes(error.message, printableText(archive)))
    parts.push(`archive ${printableText(archive)}`)
  if (layer !== undefined && !new RegExp(`\\blayer ${layer}\\b`).test(error.message)) parts.push(`layer ${layer}`)
  if (entry !== undefined && !quotes(error.message, printable(entry))) parts.push(`entry ${printable(entry)}`)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}

function exitCode(error: ImgtoolError): number {
  if (error.code === 'REFERENCE_INVALID') return exitCodes.usage
  if (error.code !== 'INTERRUPTED') return exitCodes.failed
  return 128 + (constants.signals[error.details.actual as NodeJS.Signals] ?? constants.signals.SIGINT)
}

function errorDocument(error: ImgtoolError | undefined, original: unknown): ErrorDocument {
  if (error === undefined) return {code: 'INTERNAL', message: messageOf(original)}
  const {hint, archive, layer, entry, expected, actual} = error.details
  const details: Pick<ErrorDetails, 'hint' | 'archive' | 'layer' | 'entry' | 'expected' | 'actual'> = {
    ...(hint !== undefined && {hint}),
    ...(archive !== undefined && {archive}),
    ...(layer !== undefined && {layer}),
    ...(entry !== undefined && {entry: printable(entry)}),
    ...(expected !== undefined && {expected}),
    ...(actual !== undefined && {actual}),
  }
  return {code: error.code satisfies ErrorCode, message: error.message, ...details}
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function stack(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\nCaused by: ${stack(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
