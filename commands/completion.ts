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
    const shown = commands.filter(({hidden}) => !hidden)
    // Every command is a topic of its own, too.
    const ofTopics = topics.flatMap(({name, description = ''}) => {
      const members = shown.filter(({id}) => id.startsWith(`${name}:`)).map(completed)
      return members.length === 0 ? [] : [completedTopic(name, description, members), ...members]
    })
    const known = [...shown.filter(({id}) => !id.includes(':')).map(completed), ...ofTopics]
    const all = [...known, ...completedHelp(known)]
    const lines = formatCompletion(
      shell,
      bin,
      all.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    )
    this.logLines(lines)
    return {shell, script: lines.map((line) => `${line}\n`).join('')}
  }
}

const helpFlag: CompletedFlag = {name: 'help', description: 'show what it does', takesValue: false, values: []}

function completed({id, summary = '', args, flags}: Command.Loadable): CompletedCommand {
  const shown = Object.values(flags).filter(({hidden}) => !hidden)
  return {
    name: id.replaceAll(':', ' '),
    summary,
    flags: [...shown.flatMap(completedFlags), helpFlag],
    choices: Object.values(args).flatMap(({options = []}) => options),
  }
}

function completedTopic(name: string, summary: string, members: readonly CompletedCommand[]): CompletedCommand {
  return {name, summary, flags: [helpFlag], choices: members.map((member) => member.name.slice(name.length + 1))}
}

/** `help tree`, which is `tree --help`, and `help store check`. */
function completedHelp(known: readonly CompletedCommand[]): CompletedCommand[] {
  const [members, others] = [
    known.filter(({name}) => name.includes(' ')),
    known.filter(({name}) => !name.includes(' ')),
  ]
  const topics = others.filter(({name}) => members.some((member) => member.name.startsWith(`${name} `)))
  const help = {name: 'help', summary: 'Show what a command does.', flags: [], choices: others.map(({name}) => name)}
  return [help, ...topics.map(({name, choices}) => ({name: `help ${name}`, summary: '', flags: [], choices}))]
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
