/** Scripts that complete command lines in shells. Every argument of imgtool is a file, which shells complete best themselves. */

export interface CompletedFlag {
  /** Without dashes. */
  readonly name: string
  /** The short spelling, without its dash. */
  readonly char?: string
  readonly description: string
  readonly takesValue: boolean
}

export interface CompletedCommand {
  readonly name: string
  readonly summary: string
  readonly flags: readonly CompletedFlag[]
  /** What an argument can be; none where it is a file. */
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
    ...(choices.length > 0 ? [`    ${name}:*) words=${quote(choices.join(' '))} ;;`] : []),
  ])
  return [
    `_${program}() {`,
    `  local word=\${COMP_WORDS[COMP_CWORD]} words=`,
    `  case \${COMP_WORDS[1]}:$word in`,
    ...cases,
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
    const rest = choices.length > 0 ? `1:word:(${choices.join(' ')})` : '*:file:_files'
    return [`    ${name})`, `      _arguments -s ${[...flags.flatMap(zshFlag), quote(rest)].join(' ')}`, '      ;;']
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
function zshFlag({name, char, description, takesValue}: CompletedFlag): string[] {
  const told = `[${description.replace(/[[\]:\\]/g, '\\$&')}]`
  const value = takesValue ? ':value: ' : ''
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
      ...(choices.length > 0 ? [`${within} -f -a ${quote(choices.join(' '))}`] : []),
    ]
  })
}

function fishFlag({name, char, description, takesValue}: CompletedFlag): string {
  const short = char === undefined ? '' : `-s ${char} `
  return `${short}-l ${name}${takesValue ? ' -x' : ''} -d ${quoteFish(description)}`
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
