import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {readdirSync} from 'node:fs'
import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import path from 'node:path'
import process from 'node:process'
import {setTimeout as sleep} from 'node:timers/promises'
import test from 'ava'
import {bin, spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {layerOf, scratch, writeScratch} from '../helpers/image.ts'
import {writeLongImage} from '../helpers/large-image.ts'

const several = fixture('docker-20.10-several.tar')

test('the executable prints its version, however it is asked', async (t) => {
  for (const word of ['--version', '-v', '-V', 'version']) {
    const {status, stdout} = await spawnImgtool([word])
    t.is(status, 0)
    t.regex(stdout.toString(), /^imgtool\/\d+\.\d+\.\d+ /)
  }
})

test('help lists the commands, and help of a command is there in two spellings', async (t) => {
  const {stdout} = await spawnImgtool(['--help'])
  for (const command of ['convert', 'history', 'inspect', 'list', 'ls', 'tree', 'unpack', 'verify'])
    t.regex(stdout.toString(), new RegExp(`\\n {2}${command} `))
  const asFlag = await spawnImgtool(['tree', '--help'])
  const asWord = await spawnImgtool(['help', 'tree'])
  t.is(asFlag.status, 0)
  t.deepEqual(asWord.stdout, asFlag.stdout)
})

test('a success is 0 and says nothing on standard error', async (t) => {
  const {status, stderr} = await spawnImgtool(['tree', several])
  t.is(status, 0)
  t.is(stderr, '')
})

test('what is in the home directory of somebody else is no matter', async (t) => {
  const home = await mkdtemp(path.join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rm(home, {recursive: true}))
  await mkdir(path.join(home, 'imgtool'))
  await writeFile(path.join(home, 'imgtool/package.json'), 'no JSON')
  const {status, stderr} = await spawnImgtool(['tree', several], {env: {XDG_DATA_HOME: home}})
  t.is(status, 0)
  t.is(stderr, '')
})

test('a failure is 1 and one line', async (t) => {
  const {status, stdout, stderr} = await spawnImgtool(['tree', '/nowhere/app.tar'])
  t.is(status, 1)
  t.is(stdout.length, 0)
  t.regex(stderr, /^Error: Cannot .*\/nowhere\/app\.tar.*\n$/)
})

const saved: Record<string, string> = {
  'inspect busybox': 'docker save busybox | imgtool inspect -',
  'tree library/busybox:1.36 --no-trunc': 'docker save library/busybox:1.36 | imgtool tree - --no-trunc',
  'unpack app /no/where': 'docker save app | imgtool unpack - /no/where',
}

for (const [line, command] of Object.entries(saved)) {
  test(`"${line}" is told how docker saves an image`, async (t) => {
    const {status, stderr} = await spawnImgtool(line.split(' '))
    t.is(status, 1)
    t.regex(stderr, /^Error: Cannot open ".*": no such file or directory\nHint: /)
    t.true(stderr.endsWith(` ${command}\n`))
  })
}

test('what another program has to decompress is piped to the command that was run', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rm(dir, {recursive: true}))
  // What bzip2 makes of nothing.
  await writeFile(path.join(dir, 'a b.bz2'), Buffer.from('425a683917724538509000000000', 'hex'))
  const hints = {
    'verify|--quiet|a b.bz2': "bzip2 -dc 'a b.bz2' | imgtool verify --quiet -",
    'convert|docker-archive:a b.bz2:app:1.0|new.tar':
      "bzip2 -dc 'a b.bz2' | imgtool convert docker-archive:-:app:1.0 new.tar",
    'tree|-': 'bzip2 -dc | imgtool tree -',
  }
  for (const [line, hint] of Object.entries(hints)) {
    const {stderr} = await spawnShell('cd "$DIR"; $IMGTOOL "$@" <"a b.bz2"', {env: {DIR: dir}, words: line.split('|')})
    t.true(stderr.includes(`\nHint: Decompress it first: ${hint}\n`), stderr)
  }
})

test('what looks like a file is not taken for the name of an image', async (t) => {
  for (const path of ['./busybox', '/busybox', 'app.tar', 'dir/app.tar.gz:app', 'App', 'oci:layout'])
    t.notRegex((await spawnImgtool(['inspect', path])).stderr, /Hint/)
})

const misuses: Record<string, string[]> = {
  'no argument': ['tree'],
  'an unknown flag': ['tree', several, '--nope'],
  'a malformed reference': ['tree', `${several}:@x`],
  'a transport of others': ['inspect', 'docker://busybox'],
  'a malformed limit': ['list', several, '--limit', 'layers=many'],
  'a malformed platform': ['list', several, '--platform', 'linux'],
  'flags that exclude each other': ['inspect', several, '--raw', '--config'],
}

for (const [what, words] of Object.entries(misuses)) {
  test(`${what} is 2, and points to the help`, async (t) => {
    const {status, stderr} = await spawnImgtool(words)
    t.is(status, 2)
    const lines = stderr.trimEnd().split('\n')
    t.regex(lines[0] ?? '', /^Error: \S/)
    t.is(lines.at(-1), `See: imgtool ${words[0]} --help`)
    t.true(lines.length <= 3)
  })
}

test('an unknown command is 2, with the one that was meant', async (t) => {
  const {status, stderr} = await spawnImgtool(['tre', several])
  t.is(status, 2)
  t.is(stderr, 'Error: Unknown command "tre"\nHint: Did you mean: imgtool tree\n')
  t.regex((await spawnImgtool(['frobnicate'])).stderr, /Hint: Run: imgtool --help/)
  const {stderr: ofTopic} = await spawnImgtool(['store', 'chekc', several])
  t.is(ofTopic, 'Error: Unknown command "store chekc"\nHint: Did you mean: imgtool store check\n')
})

test('with --json a failure is a document on standard output, with the same code', async (t) => {
  const failed = await spawnImgtool(['inspect', several, '--json'])
  t.is(failed.status, 1)
  t.is(failed.stderr, '')
  t.like(JSON.parse(failed.stdout.toString()).error, {code: 'IMAGE_AMBIGUOUS', archive: several})
  const misused = await spawnImgtool(['tree', '--json'])
  t.is(misused.status, 2)
  t.is(JSON.parse(misused.stdout.toString()).error.code, 'REFERENCE_INVALID')
})

test('with --json every failure is a document, also where no command was found', async (t) => {
  for (const words of [
    ['nope', '--json'],
    ['--json', 'list', several],
    ['list', several, '--nope', '--json'],
  ]) {
    const {status, stdout, stderr} = await spawnImgtool(words)
    t.is(status, 2)
    t.is(stderr, '')
    t.is(JSON.parse(stdout.toString()).error.code, 'REFERENCE_INVALID')
  }
  t.is((await spawnImgtool(['nope', '--', '--json'])).stdout.length, 0)
})

const wordings: Record<string, string> = {
  'tree x --platfrom linux/arm64': 'Unknown flag: --platfrom\nHint: Did you mean: --platform',
  'list x -Z --xyz': 'Unknown flags: -Z, --xyz',
  'inspect x --raw --config': 'Cannot use --config with --raw',
  'ls x --layer abc': 'Cannot read --layer "abc": expected a whole number',
  'ls x --depth -2': 'Cannot read --depth "-2": expected a whole number, at least 0',
  'ls x --layer': 'Cannot read --layer: expected a value',
  'convert x y --compression lz4': 'Cannot read --compression "lz4": expected one of keep, none, gzip, zstd',
  'completion tcsh': 'Cannot read "tcsh": expected one of bash, zsh, fish',
}

for (const [line, message] of Object.entries(wordings)) {
  test(`says in its own words what is wrong with "${line}"`, async (t) => {
    const words = line.split(' ')
    t.is((await spawnImgtool(words)).stderr, `Error: ${message}\nSee: imgtool ${words[0]} --help\n`)
  })
}

test('a flag before the command is told its place', async (t) => {
  const {status, stderr} = await spawnImgtool(['--quiet', 'list', several])
  t.is(status, 2)
  t.is(
    stderr,
    'Error: Cannot find a command before "--quiet"\nHint: Flags come after the command: imgtool COMMAND ... --quiet\n',
  )
})

test('stacks are shown with --debug only', async (t) => {
  const words = ['tree', '/nowhere/app.tar']
  t.notRegex((await spawnImgtool(words)).stderr, / at /)
  t.regex((await spawnImgtool([...words, '--debug'])).stderr, /\n {4}at /)
  t.regex((await spawnImgtool(words, {env: {IMGTOOL_DEBUG: '1'}})).stderr, /\n {4}at /)
})

test('flags have defaults in the environment', async (t) => {
  const json = await spawnImgtool(['list', several], {env: {IMGTOOL_JSON: '1'}})
  t.is(JSON.parse(json.stdout.toString()).images.length, 4)
  const limited = await spawnImgtool(['list', several], {env: {IMGTOOL_LIMIT: 'layers=1,members=9999'}})
  t.regex(limited.stderr, /limit "layers"/i)
})

test('what changes a run is not taken from the environment', async (t) => {
  for (const [command, names] of [
    ['unpack', ['FORCE', 'DRY_RUN']],
    ['ls', ['DEPTH', 'LAYER']],
  ] as const) {
    const {stdout} = await spawnImgtool([command, '--help'])
    for (const name of names) t.false(stdout.toString().includes(`IMGTOOL_${name}`))
  }
})

test('output that nobody reads to the end is no error', async (t) => {
  const {stdout, stderr} = await spawnShell('$IMGTOOL ls "$ARCHIVE" | head -1; $IMGTOOL tree "$ARCHIVE" | true', {
    env: {ARCHIVE: fixture('docker-20.10-one.tar')},
  })
  t.is(stdout.toString().trimEnd().split('\n').length, 1)
  t.is(stderr, '')
  const status = await spawnShell('{ $IMGTOOL tree "$ARCHIVE" --json; echo $? >&2; } | true', {env: {ARCHIVE: several}})
  t.is(status.stderr, '0\n')
})

const hasFullDevice = process.platform === 'linux'
const linuxTest = hasFullDevice ? test : test.skip

linuxTest('output that cannot be written is 74, and says so', async (t) => {
  const {stdout, stderr} = await spawnShell('$IMGTOOL tree -q "$ARCHIVE" >/dev/full; echo $?', {
    env: {ARCHIVE: several},
  })
  t.is(stdout.toString(), '74\n')
  t.is(stderr, 'Error: Cannot write to standard output: ENOSPC\n')
})

test('it is a failure when nobody reads an archive to its end, or a verdict', async (t) => {
  const commands = ['export "$ARCHIVE:@0" -', 'convert "$ARCHIVE" oci-archive:-', 'verify "$ARCHIVE" "$ARCHIVE"']
  for (const command of commands) {
    const script = `{ $IMGTOOL ${command}; echo $? >&2; } | true; $IMGTOOL ${command} >/dev/null 2>&1; echo $?`
    const {stdout, stderr} = await spawnShell(script, {env: {ARCHIVE: several}})
    t.is(stdout.toString(), '0\n', command)
    t.regex(stderr, /^74\n/m, command)
  }
})

test('nothing is coloured in pipes, nor where NO_COLOR forbids it', async (t) => {
  for (const env of [{}, {NO_COLOR: '1', FORCE_COLOR: '', TERM: 'xterm-256color'}]) {
    for (const words of [['--help'], ['tree', several], ['tree', '/nowhere']]) {
      const {stdout, stderr} = await spawnImgtool(words, {env})
      t.false(`${stdout}${stderr}`.includes('\u001b'))
    }
  }
})

test('an archive comes by standard input, named images too', async (t) => {
  const {stdout} = await spawnShell('$IMGTOOL list -q --no-trunc -:shop/db:1 <"$ARCHIVE"', {env: {ARCHIVE: several}})
  const {stdout: direct} = await spawnImgtool(['list', '-q', '--no-trunc', `${several}:shop/db:1`])
  t.deepEqual(stdout, direct)
  t.is((await spawnShell('$IMGTOOL list -:@0 <"$ARCHIVE"', {env: {ARCHIVE: several}})).status, 0)
})

const terminalTest =
  spawnSync('script', ['--version']).error === undefined && process.platform === 'linux' ? test : test.skip

terminalTest('no archive is awaited from a terminal', async (t) => {
  for (const command of ['list -', 'tree docker-archive:-:app', 'verify -', 'whiteouts --from tar --to aufs - x']) {
    const {stdout} = await spawnShell(`script -qec "$IMGTOOL ${command}; echo \\$?" /dev/null`)
    t.regex(
      stdout.toString(),
      /^Error: Cannot read an archive from a terminal\r\nHint: Pipe it.*\r\nSee: .*\r\n2\r\n$/s,
      command,
    )
  }
})

terminalTest('steps are cut to the width of the terminal', async (t) => {
  const script = `stty columns 90; $IMGTOOL tree ${fixture('docker-20.10-one.tar')}`
  const {stdout} = await spawnShell('script -qec "$SCRIPT" /dev/null', {env: {SCRIPT: script, LC_ALL: 'C.UTF-8'}})
  const cut = stdout
    .toString()
    .split('\r\n')
    .filter((line) => line.includes('…'))
  t.true(cut.length > 2)
  for (const line of cut) t.is(line.length, 90)
})

test('a missing argument is not taken from standard input', async (t) => {
  const {status, stderr} = await spawnImgtool(['tree'], {input: Buffer.from('app.tar')})
  t.is(status, 2)
  t.regex(stderr, /^Error: Missing argument: ARCHIVES\n/)
})

test('missing flags are named as they are typed, and so are commands', async (t) => {
  const {stderr} = await spawnImgtool(['whiteouts', 'a', 'b'])
  t.is(stderr, 'Error: Missing --from and --to\nSee: imgtool whiteouts --help\n')
  t.regex((await spawnImgtool(['store', 'remove'])).stderr, /\nSee: imgtool store remove --help\n$/)
})

test('without UTF-8 the tree is ASCII', async (t) => {
  const {stdout} = await spawnImgtool(['tree', fixture('docker-0.7.tar')], {env: {LC_ALL: 'C'}})
  t.regex(stdout.toString(), /^\+-511136ea3c5a Virtual Size: 0 B\n {2}\+-/)
})

/** What bash offers for the last of the words, after it has read the script. */
async function offers(...words: string[]): Promise<string[]> {
  const harness = `eval "$($IMGTOOL completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imgtool; printf '%s\\n' "\${COMPREPLY[@]}"`
  const {stdout} = await spawnShell('exec bash -c "$HARNESS" bash "$@"', {env: {HARNESS: harness}, words})
  return stdout.toString().split('\n').filter(Boolean)
}

test('bash completes commands and flags, and leaves arguments to its completion of files', async (t) => {
  t.deepEqual(await offers('imgtool', 'l'), ['list', 'ls'])
  t.deepEqual(await offers('imgtool', 'tree', '--d'), ['--debug', '--dot'])
  t.deepEqual(await offers('imgtool', 'unpack', 'app.tar', '--no'), ['--no-progress'])
  t.deepEqual(await offers('imgtool', 'completion', ''), ['bash', 'zsh', 'fish'])
  t.deepEqual(await offers('imgtool', 'store', 'ch'), ['check'])
  t.deepEqual(await offers('imgtool', 'store', 'status', ''), [])
  for (const flag of ['-d', '--driver'])
    t.deepEqual(await offers('imgtool', 'unpack', flag, 'o'), ['overlay', 'overlay2'])
  t.deepEqual(await offers('imgtool', 'whiteouts', '--from', 't'), ['tar'])
  t.deepEqual(await offers('imgtool', 'store', '--'), ['--help'])
  t.deepEqual(await offers('imgtool', 'store', 'check', '--re'), ['--repair'])
  t.deepEqual(await offers('imgtool', 'store', 'check', '--no'), [])
  t.deepEqual(await offers('imgtool', 'store', 'list', '--no'), ['--no-trunc'])
  // Readline takes a flag and its value apart.
  t.deepEqual(await offers('imgtool', 'store', 'check', '--driver', '=', 'o'), ['overlay', 'overlay2'])
  t.deepEqual(await offers('imgtool', 'whiteouts', '--from', '='), ['aufs', 'overlay', 'tar'])
  t.deepEqual(await offers('imgtool', 'help', 'st'), ['store'])
  t.deepEqual(await offers('imgtool', 'help', 'store', 'c'), ['check'])
  for (const word of ['', 'app', './l']) t.deepEqual(await offers('imgtool', 'inspect', word), [])
  const registered = await spawnShell('bash -c \'eval "$($IMGTOOL completion bash)"; complete -p imgtool\'')
  t.is(registered.stdout.toString(), 'complete -o default -F _imgtool imgtool\n')
})

test('completion is written as a document, too, and only for known shells', async (t) => {
  const {stdout} = await spawnImgtool(['completion', 'zsh', '--json'])
  const script = await spawnImgtool(['completion', 'zsh'])
  t.is(JSON.parse(stdout.toString()).script, script.stdout.toString())
  t.is((await spawnImgtool(['completion', 'tcsh'])).status, 2)
})

/** Makes Node say that it is an old one; the Node that is started instead is not told so. */
async function withOldNode(t: {teardown(fn: () => unknown): void}): Promise<string[]> {
  const dir = await mkdtemp(path.join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rm(dir, {recursive: true}))
  const preload = path.join(dir, 'old.cjs')
  await writeFile(preload, "Object.defineProperty(process, 'versions', {value: {...process.versions, node: '20.1.0'}})")
  return ['--require', preload, bin]
}

test('an old Node starts the one that the checkout brings', async (t) => {
  const child = spawn(process.execPath, [...(await withOldNode(t)), 'tree', '/nowhere'])
  const stderr: Buffer[] = []
  child.stderr.on('data', (chunk) => stderr.push(chunk))
  const [status] = await once(child, 'close')
  t.is(status, 1)
  t.regex(Buffer.concat(stderr).toString(), /^Error: Cannot .*\/nowhere/)
})

test('an old Node with no other says what is needed', async (t) => {
  const env = {...process.env, IMGTOOL_REEXEC: '1'}
  const child = spawn(process.execPath, [...(await withOldNode(t)), 'tree', '/nowhere'], {env})
  const stderr: Buffer[] = []
  child.stderr.on('data', (chunk) => stderr.push(chunk))
  const [status] = await once(child, 'close')
  t.is(status, 1)
  t.regex(Buffer.concat(stderr).toString(), /^Error: imgtool needs Node\.js 24\.15 or newer, this is .*\n$/)
})

test('a signal reaches the Node that was started instead', async (t) => {
  const image = writeScratch(t, '')
  writeLongImage(image, layerOf('file'))
  const work = scratch(t)
  const child = spawn(process.execPath, [...(await withOldNode(t)), 'unpack', image, path.join(work, 'root')])
  while (readdirSync(work).length === 0 && child.exitCode === null) await sleep(5)
  child.kill('SIGINT')
  // Were it not passed on, this process would end by it, and the other one by the end of this.
  t.deepEqual(await once(child, 'close'), [130, null])
  t.deepEqual(readdirSync(work), [])
})
