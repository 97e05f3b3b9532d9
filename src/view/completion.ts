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

// What matches nothing is left to readline, which knows files.
function bashLines(program: string, commands: readonly CompletedCommand[]): string[] {
  const cases = commands.flatMap(({name, flags, choices}) => [
    `    ${name}:-*) words=${quote(flags.flatMap(spellings).join(' '))} ;;`,
    ...(choices.length > 0 ? [`    ${name}:*) ((COMP_CWORD > 2)) || words=${quote(choices.join(' '))} ;;`] : []),
  ])
  const values = commands.flatMap(({name, flags}) =>
    flags
      .filter((flag) => flag.values.length > 0)
      .map((flag) => {
        const patterns = spellings(flag).map((spelling) => `${name}:${spelling}`)
        return `    ${patterns.join('|')}) words=${quote(flag.values.join(' '))} ;;`
      }),
  )
  return [
    `_${program}() {`,
    `  local word=\${COMP_WORDS[COMP_CWORD]} words=`,
    `  case \${COMP_WORDS[1]}:$word in`,
    ...cases,
    '  esac',
    `  case \${COMP_WORDS[1]}:\${COMP_WORDS[COMP_CWORD - 1]} in`,
    ...values,
    '  esac',
    `  ((COMP_CWORD > 1)) || words=${quote(commands.map(({name}) => name).join(' '))}`,
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
      `    ${name})`,
      `      _arguments -s ${[...flags.flatMap(zshFlag), ...rest.map(quote)].join(' ')}`,
      '      ;;',
    ]
  })
  return [
    `_${program}() {`,
    '  if ((CURRENT == 2)); then',
    '    local -a commands=(',
    ...commands.map(({name, summary}) => `      ${quote(`${name}:${summary}`)}`),
    '    )',
    '    _describe command commands',
    '    return',
    '  fi',
    '  shift words',
    '  ((CURRENT--))',
    '  case $words[1] in',
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
  return commands.flatMap(({name, summary, flags, choices}) => {
    const within = `${start} -n ${quote(`__fish_seen_subcommand_from ${name}`)}`
    return [
      `${start} -n __fish_use_subcommand -f -a ${name} -d ${quoteFish(summary)}`,
      ...flags.map((flag) => `${within} ${fishFlag(flag)}`),
      ...(choices.length > 0 ? [fishChoices(start, name, choices)] : []),
    ]
  })
}

function fishChoices(start: string, name: string, choices: readonly string[]): string {
  const words = choices.join(' ')
  const isFirst = `__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${words}`
  return `${start} -n ${quote(isFirst)} -f -a ${quote(words)}`
}

function fishFlag({name, char, description, takesValue, values}: CompletedFlag): string {
  const short = char === undefined ? '' : `-s ${char} `
  const value = takesValue ? ` -x${values.length > 0 ? ` -a ${quote(values.join(' '))}` : ''}` : ''
  return `${short}-l ${name}${value} -d ${quoteFish(description)}`
}

function spellings({name, char}: CompletedFlag): string[] {
  return char === undefined ? [`--${name}`] : [`-${char}`, `--${name}`]
}

/** For a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** In fish a backslash means something between quotes, too. */
function quoteFish(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}
