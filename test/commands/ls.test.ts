import test from 'ava'
import {imgtool, spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {dockerMembers, tarOf, writeScratch} from '../helpers/image.ts'
import {file, tar} from '../helpers/tar.ts'

const web = fixture('docker-20.10-one.tar')

async function lines(...words: string[]): Promise<string[]> {
  const {error, stdout} = await imgtool('ls', ...words)
  if (error) throw error
  return stdout.trimEnd().split('\n')
}

test.serial('ls lists the merged root file system', async (t) => {
  const paths = await lines(web, '-q')
  for (const path of ['/', '/etc/os-release', '/srv/gone/back', '/srv/opaque/inner/new', '/srv/latin1-\\xe9']) {
    t.true(paths.includes(path), path)
  }
  t.false(paths.some((path) => path.includes('.wh.')))
})

test.serial('ls begins where it is told and goes as deep as it is told', async (t) => {
  t.deepEqual(await lines(web, '/srv/swap', '-q', '--depth', '0'), ['/srv/swap'])
  t.deepEqual(await lines(web, 'srv/opaque/', '-q', '-L', '1'), ['/srv/opaque', '/srv/opaque/inner'])
})

test.serial('ls takes -l and -R, which it does anyway', async (t) => {
  t.deepEqual(await lines(web, '/srv', '-l', '-R'), await lines(web, '/srv'))
  t.deepEqual(await lines(web, '/srv', '-lR'), await lines(web, '/srv'))
  t.notRegex((await imgtool('ls', '--help')).stdout, /-R|--long/)
})

test.serial('ls --layer lists what one layer holds, whiteouts included', async (t) => {
  const removed = await lines(web, '--layer', '2', '-q')
  t.true(removed.includes('/srv/data/.wh.f1'))
  const top = await lines(web, '--layer', '5')
  t.deepEqual(await lines(web, '--layer=-1'), top)
})

test.serial('ls --json prints a document a line', async (t) => {
  const documents = (await lines(web, '/bin', '--json')).map((line) => JSON.parse(line))
  t.deepEqual(
    documents.map(({path, type, mode}) => [path, type, mode]),
    [
      ['/bin', 'directory', '0755'],
      ['/bin/capable', 'file', '0644'],
      ['/bin/suid', 'file', '4755'],
    ],
  )
  t.deepEqual(Object.keys(documents[1].xattrs), ['security.capability'])
})

test('ls takes every path that it prints', async (t) => {
  const names = ['latin1-\xe9', 'a\\x41', 'line\n', 'soft\xc2\xad', 'plain']
  const members = dockerMembers([{names: ['app:1'], layers: [tar(...names.map((name) => file(name)))]}])
  const archive = writeScratch(t, tarOf(members))
  const {stdout} = await spawnImgtool(['ls', '-q', archive])
  const [root, ...printed] = stdout.toString().trimEnd().split('\n')
  t.is(root, '/')
  t.is(printed.length, names.length)
  for (const path of printed) {
    for (const words of [[], ['--layer', '0']])
      t.is((await spawnImgtool(['ls', '-q', archive, path, ...words])).stdout.toString(), `${path}\n`)
  }
})

test('ls lists more files than it writes at once', async (t) => {
  const names = Array.from({length: 2500}, (_, n) => `f${String(n).padStart(4, '0')}`)
  const layer = tarOf(names.map((name) => ({name, body: ''})))
  const archive = writeScratch(t, tarOf(dockerMembers([{names: ['app:1'], layers: [layer]}])))
  const {stdout} = await spawnImgtool(['ls', '-q', archive])
  t.deepEqual(stdout.toString().split('\n'), ['/', ...names.map((name) => `/${name}`), ''])
})

test('ls says how to type what is not UTF-8', async (t) => {
  const script = '$IMGTOOL ls "$ARCHIVE" "/srv/latin1-$(printf "\\\\351")"'
  const {status, stderr} = await spawnShell(script, {env: {ARCHIVE: web}})
  t.is(status, 1)
  t.regex(stderr, /^Error: Cannot find .*\nHint: Type bytes that are not UTF-8 as they are printed/)
})

test.serial('ls says what it cannot find', async (t) => {
  for (const words of [['/nothing'], ['--layer', '6'], ['--layer', '0', '/nothing']]) {
    const {error, stderr} = await imgtool('ls', web, ...words)
    t.is(error?.oclif?.exit, 1)
    t.regex(stderr, /^Error: Cannot find /)
  }
})
