/** Says which command was probably meant. */
import type {Hook} from '@oclif/core'
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'
import {suggest} from './suggest.ts'

const hook: Hook.CommandNotFound = async ({id, config}) => {
  // oclif takes all words for the name of the command, joined by colons.
  const [name = '', second = ''] = id.split(':')
  if (name.startsWith('-')) {
    throw new ImgtoolError('REFERENCE_INVALID', `Cannot find a command before "${printableText(name)}"`, {
      hint: `Flags come after the command: imgtool COMMAND ... ${name}`,
    })
  }
  const commands = config.commands.filter((command) => !command.hidden).map((command) => command.id.split(':'))
  const ofTopic = commands.flatMap(([first, second]) => (first === name && second !== undefined ? [second] : []))
  const isTopic = ofTopic.length > 0
  const [word, known] = isTopic ? [second, ofTopic] : [name, commands.map(([first = '']) => first)]
  const before = isTopic ? `${name} ` : ''
  const meant = suggest(word, [...new Set(known)])
  throw new ImgtoolError('REFERENCE_INVALID', `Unknown command "${printableText(before + word)}"`, {
    hint: meant === undefined ? `Run: imgtool ${before}--help` : `Did you mean: imgtool ${before}${meant}`,
  })
}

export default hook
