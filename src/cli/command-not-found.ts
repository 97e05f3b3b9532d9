/** Says which command was probably meant. */
import type {Hook} from '@oclif/core'
import {closest, distance} from 'fastest-levenshtein'
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'

const hook: Hook.CommandNotFound = async ({id, config}) => {
  // oclif takes all words for the name of the command, joined by colons.
  const [name = ''] = id.split(':')
  const commands = config.commands.filter((command) => !command.hidden && !command.id.includes(':'))
  const meant = suggest(
    name,
    commands.map((command) => command.id),
  )
  throw new ImgtoolError('REFERENCE_INVALID', `Unknown command "${printableText(name)}"`, {
    hint: meant === undefined ? 'Run: imgtool --help' : `Did you mean: imgtool ${meant}`,
  })
}

export default hook

/** The nearest name, when a slip of the fingers explains the difference. */
function suggest(name: string, names: readonly string[]): string | undefined {
  const nearest = closest(name, names)
  return distance(name, nearest) <= Math.max(1, Math.floor(nearest.length / 2)) ? nearest : undefined
}
