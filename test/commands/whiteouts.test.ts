import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {readEntries} from '../helpers/entries.ts'
import {scratch} from '../helpers/layers.ts'
import {directory, file, tar} from '../helpers/tar.ts'

const layer = tar(file('.wh.gone'), directory('d/'), file('d/new', 'new'))
const paths = (bytes: Buffer) => readEntries(bytes).map(({entry}) => entry.path)

test('whiteouts goes from standard input to standard output', async (t) => {
  const {status, stdout, stderr} = await spawnImgtool(['whiteouts', '--from', 'tar', '--to', 'tar', '-', '-'], {
    input: layer,
  })
  t.is(status, 0, stderr)
  t.deepEqual(paths(stdout), ['.wh.gone', 'd', 'd/new'])
  t.is(stderr, 'Wrote 2 entries, 3 B, 1 whiteout to -\n')
})

test('whiteouts writes a directory and compressed tars, and says so in a document', async (t) => {
  const cwd = scratch(t)
  const words = ['whiteouts', '--from', 'tar', '--to', 'aufs', '-', 'branch', '--json']
  const {stdout} = await spawnImgtool(words, {cwd, input: layer})
  t.deepEqual(JSON.parse(stdout.toString()), {target: 'branch', entries: 2, bytes: 3, whiteouts: 1, warnings: []})
  t.deepEqual(readdirSync(join(cwd, 'branch')).toSorted(), ['.wh.gone', 'd'])
  const back = ['whiteouts', '--from', 'aufs', '--to', 'tar', 'branch', 'layer.tar.gz', '--level', '9']
  t.is((await spawnImgtool(back, {cwd})).status, 0)
  t.is(readFileSync(join(cwd, 'layer.tar.gz')).readUInt16BE(0), 0x1f8b)
  const again = await spawnImgtool(back, {cwd})
  t.is(again.status, 1)
  t.regex(again.stderr, /it exists\nHint: .*--force/)
  mkdirSync(join(cwd, 'lower'))
  writeFileSync(join(cwd, 'lower/other'), '')
  const lower = ['whiteouts', '--from', 'aufs', '--to', 'tar', '--lower', 'lower', 'branch', '-']
  t.deepEqual(paths((await spawnImgtool(lower, {cwd})).stdout).slice(-2), ['d', 'd/new'])
})

test('whiteouts refuses what would mean nothing', async (t) => {
  const cwd = scratch(t)
  const refused = {
    '--from tar --to aufs --force - x': 'Cannot use --force: it is for use with --to tar only',
    '--from tar --to tar --level 3 - x.tar': 'Cannot use --level with --compression none',
    '--from tar --to tar --lower . - x.tar':
      'Cannot use lower layers here: they are directories, and both sides are tars',
    '--from aufs --to inplace --lower . . x': 'Cannot use lower layers here: what lies below is the target itself',
    '--from tar --to overlay - -': 'Cannot write a directory to standard output\nHint: Give --to tar, or ./-',
    '--from tar --to inplace - -': 'Cannot write a directory to standard output',
    '--from aufs --to tar - x.tar': 'Cannot read a directory from standard input\nHint: Give --from tar, or ./-',
    '--from tar --to inplace - typo':
      'Cannot carry the layer out on "typo": it is not there\nHint: Give what lies below the layer; for nothing: mkdir \'typo\'',
    '--from aufs --to tar --lower - . x.tar': 'Cannot read a directory from standard input\nHint: Give ./-',
    '--from tar --to tar --json - -': 'Cannot print JSON where the archive goes',
  }
  for (const [words, message] of Object.entries(refused)) {
    const {status, stdout, stderr} = await spawnImgtool(['whiteouts', ...words.split(' ')], {cwd, input: layer})
    t.not(status, 0)
    t.true((stdout.toString() + stderr).includes(message), stdout + stderr)
  }
  t.deepEqual(readdirSync(cwd), [])
})
