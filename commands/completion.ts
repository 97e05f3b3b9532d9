import {Args, type Command} from '@oclif/core'
import {BaseCommand} from '../src/cli/base-command.ts'
import {
  type CompletedCommand,
  type CompletedFlag,
  formatCompletion,
  type Shell,
  shells,
} from '../src/view/completion.ts'

export default class Completion extends BaseCommand<typeof Completion> {
  static override readonly summary = 'Write the script that completes command lines of imgtool in a shell.'
  static override readonly args = {
    shell: Args.string({description: 'which shell', ignoreStdin: true, options: shells, required: true}),
  }
  static override readonly examples = [
    {
      description: 'In ~/.bashrc, or in ~/.zshrc after compinit',
      command: 'eval "$(<%= config.bin %> <%= command.id %> bash)"',
    },
    {
      description: 'Once, for fish',
      command: '<%= config.bin %> <%= command.id %> fish >~/.config/fish/completions/<%= config.bin %>.fish',
    },
  ]

  override async run(): Promise<{shell: string; script: string}> {
    const {bin, commands} = this.config
    const shell = this.args.shell as Shell
    const known = commands.filter(({hidden}) => !hidden).map(completed)
    const lines = formatCompletion(
      shell,
      bin,
      known.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    )
    this.logLines(lines)
    return {shell, script: lines.map((line) => `${line}\n`).join('')}
  }
}

function completed({id, summary = '', args, flags}: Command.Loadable): CompletedCommand {
  const shown = Object.values(flags).filter(({hidden}) => !hidden)
  return {
    name: id,
    summary,
    flags: [...shown.flatMap(completedFlags), {name: 'help', description: 'show what it does', takesValue: false}],
    choices: Object.values(args).flatMap(({options = []}) => options),
  }
}

function completedFlags(flag: Command.Flag.Cached): CompletedFlag[] {
  const {name, char, summary, description = ''} = flag
  const positive = {
    name,
    ...(char !== undefined && {char}),
    description: summary ?? description,
    takesValue: flag.type === 'option',
  }
  const isNegatable = flag.type === 'boolean' && flag.allowNo
  return isNegatable
    ? [positive, {name: `no-${name}`, description: `do not ${description}`, takesValue: false}]
    : [positive]
}
