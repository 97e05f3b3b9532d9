/** Scripts that complete command lines in shells. Most arguments of imgtool are files, which shells complete best themselves. */

export interface CompletedFlag {
  /** Without dashes. */
  readonly name: string
  /** The short spelling, without its dash. */
  readonly char?: string
  readonly description: string
  readonly takesValue: boolean
  /** What the value can be; none where it can be anything. */
  readonly values: readonly string[]
}

export interface CompletedCommand {
  /** One word, or two with a blank between, where the first one is a topic: a command whose choices are the second words. */
  readonly name: string
  readonly summary: string
  readonly flags: readonly CompletedFlag[]
  /** What the first argument can be; none where it is a file. */
  readonly choices: readonly string[]
}

const writers = {bash: bashLines, zsh: zshLines, fish: fishLines}

export type Shell = keyof typeof writers

export const shells = Object.keys(writers) as readonly Shell[]

/**
 * Writes the completion script of a program.
 *
 * @param program its name, which has to be a word of a shell
 * @returns lines
 */
export function formatCompletion(shell: Shell, program: string, commands: readonly CompletedCommand[]): string[] {
  return writers[shell](program, commands)
}

/** The first words of commands that have two. */
function topicsOf(commands: readonly CompletedCommand[]): string[] {
  return [...new Set(commands.flatMap(({name}) => (name.includes(' ') ? [name.replace(/ .*/, '')] : [])))]
}

function isOneWord({name}: CompletedCommand): boolean {
  return !name.includes(' ')
}

// What matches nothing is left to readline, which knows files. It takes `--flag=value` for three words.
function bashLines(program: string, commands: readonly CompletedCommand[]): string[] {
  const cases = commands.flatMap(({name, flags, choices}) => [
    ...(flags.length > 0 ? [`    ${quoteWords(name)}:-*) words=${quote(flags.flatMap(spellings).join(' '))} ;;`] : []),
    ...(choices.length > 0
      ? [`    ${quoteWords(name)}:*) ((COMP_CWORD > at)) || words=${quote(choices.join(' '))} ;;`]
      : []),
  ])
  const values = commands.flatMap(({name, flags}) =>
    flags
      .filter((flag) => flag.values.length > 0)
      .map((flag) => {
        const patterns = spellings(flag).map((spelling) => `${quoteWords(name)}:${spelling}`)
        return `    ${patterns.join('|')}) words=${quote(flag.values.join(' '))} ;;`
      }),
  )
  const topics = topicsOf(commands)
  const first = commands.filter(isOneWord).map(({name}) => name)
  return [
    `_${program}() {`,
    `  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}`,
    `  local command=\${COMP_WORDS[1]} at=2 words=`,
    '  if [[ $word == = ]]; then word=',
    `  elif [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD - 2]}`,
    '  fi',
    ...(topics.length > 0
      ? [
          '  case $command in',
          `    ${topics.join('|')}) ((COMP_CWORD == 2)) || { command+=" \${COMP_WORDS[2]}"; at=3; } ;;`,
          '  esac',
        ]
      : []),
    '  case $command:$word in',
    ...cases,
    '  esac',
    '  case $command:$before in',
    ...values,
    '  esac',
    `  ((COMP_CWORD > 1)) || words=${quote(first.join(' '))}`,
    '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
    '}',
    `complete -o default -F _${program} ${program}`,
  ]
}

/** @see zshcompsys(1), _arguments */
function zshLines(program: string, commands: readonly CompletedCommand[]): string[] {
  const cases = commands.flatMap(({name, flags, choices}) => {
    const rest = [...(choices.length > 0 ? [`1:word:(${choices.join(' ')})`] : []), '*:file:_files']
    return [
      `    ${quoteWords(name)})`,
      `      _arguments -s ${[...flags.flatMap(zshFlag), ...rest.map(quote)].join(' ')}`,
      '      ;;',
    ]
  })
  const topics = topicsOf(commands)
  return [
    `_${program}() {`,
    '  if ((CURRENT == 2)); then',
    '    local -a commands=(',
    ...commands.filter(isOneWord).map(({name, summary}) => `      ${quote(`${name}:${summary}`)}`),
    '    )',
    '    _describe command commands',
    '    return',
    '  fi',
    '  shift words',
    '  ((CURRENT--))',
    '  local command=$words[1]',
    ...(topics.length > 0
      ? [
          '  case $command in',
          `    ${topics.join('|')})`,
          '      if ((CURRENT > 2)); then',
          '        command+=" $words[2]"',
          '        shift words',
          '        ((CURRENT--))',
          '      fi',
          '      ;;',
          '  esac',
        ]
      : []),
    '  case $command in',
    ...cases,
    '  esac',
    '}',
    `compdef _${program} ${program}`,
  ]
}

/** One specification a spelling. A flag may stand in a line again: some are lists. */
function zshFlag({name, char, description, takesValue, values}: CompletedFlag): string[] {
  const told = `[${description.replace(/[[\]:\\]/g, '\\$&')}]`
  const value = takesValue ? `:value:${values.length > 0 ? `(${values.join(' ')})` : ' '}` : ''
  const long = quote(`*--${name}${takesValue ? '=' : ''}${told}${value}`)
  return char === undefined ? [long] : [quote(`*-${char}${told}${value}`), long]
}

function fishLines(program: string, commands: readonly CompletedCommand[]): string[] {
  const start = `complete -c ${program}`
  const isAt = `__${program}_is`
  return [
    `function ${isAt}`,
    '  set -l words (commandline -opc)',
    '  set -e words[1]',
    '  set -l count (count $argv)',
    '  test "$words[1..$count]" = "$argv"',
    'end',
    ...commands.flatMap((command) => {
      const {name, summary, flags, choices} = command
      const isTopic = commands.some((other) => other.name.startsWith(`${name} `))
      const isFirst = `${isAt} ${name}; and not __fish_seen_subcommand_from ${choices.join(' ')}`
      const within = `${start} -n ${quote(isTopic ? isFirst : `${isAt} ${name}`)}`
      return [
        ...(isOneWord(command) ? [`${start} -n __fish_use_subcommand -f -a ${name} -d ${quoteFish(summary)}`] : []),
        ...flags.map((flag) => `${within} ${fishFlag(flag)}`),
        ...(choices.length > 0 ? [`${start} -n ${quote(isFirst)} -f -a ${quote(choices.join(' '))}`] : []),
      ]
    }),
  ]
}

function fishFlag({name, char, description, takesValue, values}: CompletedFlag): string {
  const short = char === undefined ? '' : `-s ${char} `
  const value = takesValue ? ` -x${values.length > 0 ? ` -a ${quote(values.join(' '))}` : ''}` : ''
  return `${short}-l ${name}${value} -d ${quoteFish(description)}`
}

function spellings({name, char}: CompletedFlag): string[] {
  return char === undefined ? [`--${name}`] : [`-${char}`, `--${name}`]
}

/** The name of a command; one word stays as it is. */
function quoteWords(name: string): string {
  return name.includes(' ') ? quote(name) : name
}

/** For a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** In fish a backslash means something between quotes, too. */
function quoteFish(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}
