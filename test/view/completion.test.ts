import {spawnSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {type CompletedCommand, formatCompletion, type Shell, shells} from '../../src/view/completion.ts'
import {scratch} from '../helpers/layers.ts'

const help = {name: 'help', description: 'say it', takesValue: false, values: []}

const commands: CompletedCommand[] = [
  {
    name: 'draw',
    summary: "Draw the user's $HOME: `all` of it.",
    flags: [
      {name: 'quiet', char: 'q', description: "[env: X] don't say \\n", takesValue: false, values: []},
      {name: 'depth', description: 'levels', takesValue: true, values: []},
      {name: 'form', char: 'f', description: 'how', takesValue: true, values: ['dot', 'text']},
    ],
    choices: [],
  },
  {name: 'shell', summary: 'Say it.', flags: [], choices: ['bash', 'zsh']},
  {name: 'shop', summary: 'Keep it.', flags: [help], choices: ['draw', 'sell']},
  {name: 'shop draw', summary: 'Other.', flags: [help], choices: []},
  {
    name: 'shop sell',
    summary: 'Sell.',
    flags: [{name: 'price', char: 'p', description: 'much', takesValue: true, values: ['low', 'high']}],
    choices: [],
  },
]

const script = (shell: Shell) => formatCompletion(shell, 'tool', commands).join('\n')

const isInstalled = (shell: Shell) => spawnSync(shell, ['--version']).error === undefined

for (const shell of shells) {
  const shellTest = isInstalled(shell) ? test : test.skip
  shellTest(`the script for ${shell} is one`, (t) => {
    const file = path.join(scratch(t), 'script')
    fs.writeFileSync(file, script(shell))
    t.is(spawnSync(shell, ['-n', file]).status, 0)
  })
}

test('bash knows the words of each command', (t) => {
  const lines = formatCompletion('bash', 'tool', commands)
  t.true(lines.includes("    draw:-*) words='-q --quiet --depth -f --form' ;;"))
  t.true(lines.includes("    draw:-f|draw:--form) words='dot text' ;;"))
  t.true(lines.includes("    shell:*) ((COMP_CWORD > at)) || words='bash zsh' ;;"))
  t.true(lines.includes("    'shop sell':-p|'shop sell':--price) words='low high' ;;"))
  t.is(lines.at(-1), 'complete -o default -F _tool tool')
})

test('zsh is told what flags do, whatever their descriptions hold', (t) => {
  const text = script('zsh')
  t.true(text.includes(`'draw:Draw the user'\\''s $HOME: \`all\` of it.'`))
  t.true(text.includes(`'*-q[\\[env\\: X\\] don'\\''t say \\\\n]'`))
  t.true(
    text.includes(
      `'*--depth=[levels]:value: ' '*-f[how]:value:(dot text)' '*--form=[how]:value:(dot text)' '*:file:_files'`,
    ),
  )
  t.true(text.includes(`'1:word:(bash zsh)' '*:file:_files'`))
  t.true(text.includes(`    shop)\n      if ((CURRENT > 2)); then\n        command+=" $words[2]"\n`))
  t.true(text.includes(`    'shop sell')\n      _arguments -s '*-p[much]:value:(low high)'`))
})

test('fish is told what flags do, whatever their descriptions hold', (t) => {
  const lines = formatCompletion('fish', 'tool', commands)
  t.is(lines[0], 'function __tool_is')
  t.deepEqual(lines.slice(lines.indexOf('end') + 1, lines.indexOf('end') + 7), [
    `complete -c tool -n __fish_use_subcommand -f -a draw -d 'Draw the user\\'s $HOME: \`all\` of it.'`,
    `complete -c tool -n '__tool_is draw' -s q -l quiet -d '[env: X] don\\'t say \\\\n'`,
    `complete -c tool -n '__tool_is draw' -l depth -x -d 'levels'`,
    `complete -c tool -n '__tool_is draw' -s f -l form -x -a 'dot text' -d 'how'`,
    `complete -c tool -n __fish_use_subcommand -f -a shell -d 'Say it.'`,
    `complete -c tool -n '__tool_is shell; and not __fish_seen_subcommand_from bash zsh' -f -a 'bash zsh'`,
  ])
})

/** What a shell offers for a line whose cursor is at its end. */
const offers: Partial<Record<Shell, (line: string) => string>> = {
  bash: (line) =>
    `${script('bash')}\nCOMP_WORDS=(${line} ${line.endsWith(' ') ? "''" : ''}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _tool; printf '%s\\n' "\${COMPREPLY[@]}"`,
  fish: (line) => `${script('fish')}\ncomplete -C '${line}' | string split -f 1 \\t`,
}

const lines: Readonly<Record<string, readonly string[]>> = {
  'tool ': ['draw', 'shell', 'shop'],
  'tool shop ': ['draw', 'sell'],
  'tool shop --': ['--help'],
  'tool shop draw --': ['--help'],
  'tool shop sell --': ['--price'],
  'tool shop sell --price l': ['low'],
  'tool draw --': ['--depth', '--form', '--quiet'],
  'tool draw shop --d': ['--depth'],
}

for (const [shell, ask] of Object.entries(offers)) {
  const shellTest = isInstalled(shell as Shell) ? test : test.skip
  shellTest(`${shell} offers each command its own`, (t) => {
    for (const [line, wanted] of Object.entries(lines)) {
      const {stdout} = spawnSync(shell, ['-c', ask(line)], {encoding: 'utf8'})
      t.deepEqual(stdout.split('\n').filter(Boolean).toSorted(), wanted, line)
    }
  })
}
