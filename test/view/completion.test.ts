import {spawnSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {type CompletedCommand, formatCompletion, type Shell, shells} from '../../src/view/completion.ts'
import {scratch} from '../helpers/layers.ts'

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
  t.true(lines.includes("    shell:*) ((COMP_CWORD > 2)) || words='bash zsh' ;;"))
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
})

test('fish is told what flags do, whatever their descriptions hold', (t) => {
  const lines = formatCompletion('fish', 'tool', commands)
  t.deepEqual(lines, [
    `complete -c tool -n __fish_use_subcommand -f -a draw -d 'Draw the user\\'s $HOME: \`all\` of it.'`,
    `complete -c tool -n '__fish_seen_subcommand_from draw' -s q -l quiet -d '[env: X] don\\'t say \\\\n'`,
    `complete -c tool -n '__fish_seen_subcommand_from draw' -l depth -x -d 'levels'`,
    `complete -c tool -n '__fish_seen_subcommand_from draw' -s f -l form -x -a 'dot text' -d 'how'`,
    `complete -c tool -n __fish_use_subcommand -f -a shell -d 'Say it.'`,
    `complete -c tool -n '__fish_seen_subcommand_from shell; and not __fish_seen_subcommand_from bash zsh' -f -a 'bash zsh'`,
  ])
})
