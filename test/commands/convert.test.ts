import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {openSource} from '../../src/open.ts'
import {imgtool, spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {scratch, writeScratch} from '../helpers/image.ts'

const old = fixture('docker-1.9.tar.gz')
const several = fixture('docker-20.10-several.tar')

/** Runs a script where standard output and standard error are one terminal. */
const onTerminal = ['/usr/bin/script', '/bin/script'].find((path) => existsSync(path))
const terminalTest = onTerminal === undefined ? test.skip : test

test.serial('convert says what it wrote on standard error, and all of it with --json', async (t) => {
  const target = join(scratch(t), 'new.tar')
  const {status, stdout, stderr} = await spawnImgtool(['convert', old, `oci-archive:${target}`])
  t.is(status, 0)
  t.is(stdout.length, 0)
  t.is(stderr, `Wrote 1 image, 7 layers, 78.33 kB to oci-archive:${target}\n`)
  const json = await imgtool('convert', old, `oci-archive:${target}`, '--force', '--compression', 'gzip', '--json')
  const document = JSON.parse(json.stdout)
  t.like(document, {format: 'oci-archive', compressor: {compression: 'gzip'}, warnings: []})
  t.like(document.images, [{names: ['shop/web:1.9'], platform: {os: 'linux', architecture: 'amd64'}}])
  t.is(document.layers.length, 7)
  for (const layer of document.layers) t.like(layer, {compression: 'gzip', isKept: false})
})

test('convert reads standard input and writes nothing but the archive to standard output', async (t) => {
  const {status, stdout, stderr} = await spawnImgtool(['convert', '-', 'docker-archive:-'], {input: readFileSync(old)})
  t.is(status, 0, stderr)
  await using source = await openSource(writeScratch(t, stdout))
  t.deepEqual(source.set.images[0]!.names, ['shop/web:1.9'])
})

test('convert writes the same bytes whatever the time zone and the umask, from a file, a directory and a pipe', async (t) => {
  const folder = scratch(t)
  const script = `
    mkdir all && tar -C all -xf ${several} && mkdir reversed && (cd all && ls -r | xargs cp -a -t ../reversed)
    for format in oci-archive docker-archive docker-1.10 docker-v1; do
      for compression in $(case $format in docker-*) echo keep;; *) echo keep gzip zstd;; esac); do
        name=$format-$compression
        TZ=UTC $IMGTOOL convert --compression $compression ${several} $format:a-$name
        (umask 077; TZ=Asia/Tokyo $IMGTOOL convert --compression $compression reversed $format:b-$name)
        (umask 000; cat ${several} | TZ=America/Lima $IMGTOOL convert --compression $compression - $format:c-$name)
        (sleep 1; cmp a-$name b-$name && cmp a-$name c-$name) || exit 1
      done
    done`
  const {status, stderr} = await spawnShell(script, {cwd: folder})
  t.is(status, 0, stderr)
  t.is(readdirSync(folder).length, 3 * 6 + 2)
})

test('convert gives members the time of SOURCE_DATE_EPOCH', async (t) => {
  const convert = (epoch: string) => spawnImgtool(['convert', old, 'oci-archive:-'], {env: {SOURCE_DATE_EPOCH: epoch}})
  const {stdout} = await convert('1234567890')
  t.is(Number.parseInt(stdout.toString('latin1', 136, 147), 8), 1_234_567_890)
  t.deepEqual((await convert('')).stdout, (await convert('0')).stdout)
  const {status, stderr} = await convert('yesterday')
  t.is(status, 2)
  t.regex(stderr, /^Error: Cannot read SOURCE_DATE_EPOCH "yesterday".* at most 8589934591\n/)
  t.is((await convert('8589934591')).status, 0)
  t.is((await convert('8589934592')).status, 2)
})

const refused: Readonly<Record<string, readonly string[]>> = {
  'Cannot print JSON where the archive goes': [old, 'oci-archive:-', '--json'],
  'Cannot use --level without --compression gzip or zstd': [old, 'oci-archive:new', '--level', '3'],
  'Cannot use --level with --compression keep': [old, 'oci:new', '--level', '3', '--compression', 'keep'],
  'Cannot use --compressor with --compression none': [old, 'oci:new', '--compressor', 'zlib', '--compression', 'none'],
  'Cannot use --compressor with --compression zstd': [old, 'oci:new', '--compressor', 'zlib', '--compression', 'zstd'],
  'it does not say the format': [old, 'new'],
  'no such level': [old, 'oci-archive:new', '--compression', 'gzip', '--level', '99'],
  'expected one of keep, none': [old, 'docker-v1:new', '--compression', 'gzip'],
}

for (const [message, words] of Object.entries(refused)) {
  test(`convert refuses: ${message}`, async (t) => {
    const folder = scratch(t)
    const {status, stdout, stderr} = await spawnImgtool(['convert', ...words], {cwd: folder})
    t.is(status, 2)
    t.true(`${stdout}${stderr}`.includes(message), `${stdout}${stderr}`)
    t.deepEqual(readdirSync(folder), [])
  })
}

terminalTest('convert writes no archive to a terminal', async (t) => {
  const {stdout} = await spawnShell(`script -qec "$IMGTOOL convert ${old} oci-archive:-" /dev/null`)
  t.regex(stdout.toString(), /^Error: Cannot write an archive to a terminal\r\nHint: /)
})

test('convert selects by name and platform, and gives other names', async (t) => {
  const folder = scratch(t)
  const platforms = fixture('buildah-oci-platforms.tar')
  const words = ['convert', '--platform', 'linux/arm64', '-t', 'app', '-t', 'app:2', platforms, 'docker-archive:new:x']
  const {status, stderr} = await spawnImgtool(words, {cwd: folder})
  t.is(status, 0, stderr)
  await using source = await openSource(join(folder, 'new'))
  t.deepEqual(
    source.set.images.map(({names, platform}) => [names, platform.architecture]),
    [[['x:latest', 'app:latest', 'app:2'], 'arm64']],
  )
  const one = await spawnImgtool(['convert', `${several}:shop/db:2`, 'two.tar'], {cwd: folder})
  t.is(one.status, 0, one.stderr)
  await using chosen = await openSource(join(folder, 'two.tar'))
  t.deepEqual(
    chosen.set.images.map(({names}) => names),
    [['shop/db:2']],
  )
})

test('convert warns of a config that does not say the operating system', async (t) => {
  const folder = scratch(t)
  const {status, stderr} = await spawnImgtool(['convert', fixture('docker-0.7.tar'), 'oci:new'], {cwd: folder})
  t.is(status, 0)
  t.regex(stderr, /^Warning: The config does not say an operating system/m)
  const better = await spawnImgtool(['convert', fixture('docker-0.7.tar'), 'oci:two', '--drop-empty-layers'], {
    cwd: folder,
  })
  t.notRegex(better.stderr, /Warning/)
  for (const [destination, isRead] of [
    ['docker-1.10:old.tar', false],
    ['docker-v1:older.tar', false],
    ['docker-archive:hybrid.tar', true],
  ] as const) {
    const other = await spawnImgtool(['convert', fixture('docker-0.7.tar'), destination], {cwd: folder})
    t.is(other.status, 0)
    t.is(other.stderr.includes('readers of OCI'), isRead, destination)
  }
})

test('convert leaves a file alone that is there', async (t) => {
  const target = writeScratch(t, 'old', 'new.tar')
  const {status, stderr} = await spawnImgtool(['convert', old, target])
  t.is(status, 1)
  t.regex(stderr, /^Error: Cannot write ".*new\.tar": it exists\nHint: .*--force/)
  t.is(readFileSync(target, 'utf8'), 'old')
  writeFileSync(target, 'older')
  t.is((await spawnImgtool(['convert', '-f', old, target])).status, 0)
  t.not(readFileSync(target, 'utf8'), 'older')
})
