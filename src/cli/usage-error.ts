/** oclif's errors about the command line, in one line, and in the words of this tool. */
import {stripVTControlCharacters} from 'node:util'
import {ImgtoolError} from '../errors.ts'
import {suggest} from './suggest.ts'

/** What some of oclif's errors carry beside a message. */
interface UsageError extends Error {
  readonly args?: readonly {readonly name?: string}[]
  /** Those that no command knows, as typed. */
  readonly flags?: readonly string[]
  /** What was parsed, with the flags that the command knows, by name. */
  readonly parse?: {readonly input?: {readonly flags?: Readonly<Record<string, {readonly hidden?: boolean}>>}}
}

/** @returns REFERENCE_INVALID, and undefined for an error that is not about the command line */
export function explainUsage(error: unknown): ImgtoolError | undefined {
  if (!(error instanceof Error && 'oclif' in error)) return undefined
  const {message, hint} = describe(error)
  return new ImgtoolError('REFERENCE_INVALID', message, {...(hint !== undefined && {hint}), cause: error})
}

function describe(error: UsageError): {message: string; hint?: string | undefined} {
  const {args, flags, message, parse} = error
  if (Array.isArray(flags)) return unknownFlags(flags, parse?.input?.flags ?? {})
  // oclif lists missing arguments as a table below its message.
  if (Array.isArray(args) && message.startsWith('Missing')) {
    return {message: `Missing argument: ${args.map(({name}) => name?.toUpperCase()).join(', ')}`}
  }
  const line = oneLine(message)
  const missing = [...line.matchAll(/Missing required flag ([\w-]+)/g)].map(([, name]) => `--${name}`)
  return {message: missing.length > 0 ? `Missing ${missing.join(' and ')}` : reword(line)}
}

function unknownFlags(
  words: readonly string[],
  known: Readonly<Record<string, {readonly hidden?: boolean}>>,
): {message: string; hint: string | undefined} {
  const shown = Object.entries(known).filter(([, {hidden}]) => !hidden)
  const names = shown.map(([name]) => `--${name}`)
  const meant = words.map((word) => (word.startsWith('--') ? suggest(word.replace(/=.*/s, ''), names) : undefined))
  const hint = meant.every((name) => name !== undefined) ? `Did you mean: ${meant.join(' ')}` : undefined
  return {message: `Unknown flag${words.length === 1 ? '' : 's'}: ${words.join(', ')}`, hint}
}

/** What oclif says, and how it is said here. */
const wordings: readonly (readonly [RegExp, string])[] = [
  [
    /^The following error occurred: --([\w-]+)=.* cannot also be provided when using --([\w-]+)$/,
    'Cannot use --$2 with --$1',
  ],
  [/^Parsing --([\w-]+) Expected an integer but received: (.*)$/, 'Cannot read --$1 "$2": expected a whole number'],
  [
    /^Parsing --([\w-]+) Expected an integer greater than or equal to (\d+) but received: (.*)$/,
    'Cannot read --$1 "$3": expected a whole number, at least $2',
  ],
  [/^Flag --([\w-]+) expects a value$/, 'Cannot read --$1: expected a value'],
  [/^Expected --([\w-]+)=(.*) to be one of: (.*)$/, 'Cannot read --$1 "$2": expected one of $3'],
  [/^Expected (.*) to be one of: (.*)$/, 'Cannot read "$1": expected one of $2'],
]

function reword(message: string): string {
  const [pattern, wording] = wordings.find(([each]) => each.test(message)) ?? []
  return pattern === undefined || wording === undefined ? message : message.replace(pattern, wording)
}

function oneLine(message: string): string {
  return stripVTControlCharacters(message).replace('See more help with --help', '').replace(/\s+/g, ' ').trim()
}
