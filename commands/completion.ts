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
    const {bin, commands, topics} = this.config
    const shell = this.args.shell as Shell
    // Every command is a topic of its own, too.
    const ofTopics = topics
      .filter(({name}) => commands.some(({id}) => id.startsWith(`${name}:`)))
      .map(({name, description = ''}) => completedTopic(name, description, commands))
    const alone = commands.filter(({hidden, id}) => !hidden && !id.includes(':'))
    const known = [...alone.map(completed), ...ofTopics]
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
    flags: [
      ...shown.flatMap(completedFlags),
      {name: 'help', description: 'show what it does', takesValue: false, values: []},
    ],
    choices: Object.values(args).flatMap(({options = []}) => options),
  }
}

/** A topic is to a shell as a command whose first argument is one of its commands, and has the flags of them all. */
function completedTopic(topic: string, summary: string, commands: readonly Command.Loadable[]): CompletedCommand {
  const members = commands.filter(({hidden, id}) => !hidden && id.startsWith(`${topic}:`))
  const flags = new Map(members.flatMap((member) => completed(member).flags).map((flag) => [flag.name, flag]))
  return {name: topic, summary, flags: [...flags.values()], choices: members.map(({id}) => id.slice(topic.length + 1))}
}

function completedFlags(flag: Command.Flag.Cached): CompletedFlag[] {
  const {name, char, summary, description = ''} = flag
  const positive = {
    name,
    ...(char !== undefined && {char}),
    description: summary ?? description,
    takesValue: flag.type === 'option',
    values: (flag.type === 'option' && flag.options) || [],
  }
  const isNegatable = flag.type === 'boolean' && flag.allowNo
  return isNegatable
    ? [positive, {name: `no-${name}`, description: `do not ${description}`, takesValue: false, values: []}]
    : [positive]
}
