/** Says which command was probably meant. */
import type {Hook} from '@oclif/core'
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'
import {suggest} from './suggest.ts'

const hook: Hook.CommandNotFound = async ({id, config}) => {
  // oclif takes all words for the name of the command, joined by colons.
  const [name = ''] = id.split(':')
  if (name.startsWith('-')) {
    throw new ImgtoolError('REFERENCE_INVALID', `Cannot find a command before "${printableText(name)}"`, {
      hint: `Flags come after the command: imgtool COMMAND ... ${name}`,
    })
  }
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
