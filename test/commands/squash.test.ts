import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import test from 'ava'
import {traitsOf} from '../../src/compression/compressors.ts'
import {decompress} from '../../src/compression/decompress.ts'
import {detectCompression} from '../../src/compression/detect.ts'
import {imgtool, spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {readEntries} from '../helpers/entries.ts'
import {fixture} from '../helpers/fixtures.ts'
import {scratch} from '../helpers/layers.ts'

const web = fixture('docker-20.10-one.tar')

test('export writes nothing but the tar to standard output', async (t) => {
  const {status, stdout, stderr} = await spawnImgtool(['export', web, '-'])
  t.is(status, 0)
  t.true(readEntries(stdout).length > 20)
  t.regex(stderr, /^Exported \d+ entries, .* to -\n$/)
})

test('export writes a file, and says in a document what it holds', async (t) => {
  const path = join(scratch(t), 'rootfs.tar')
  const {stdout} = await spawnImgtool(['export', web, path, '--json'])
  t.like(JSON.parse(stdout.toString()), {file: path, warnings: []})
  t.true(existsSync(path))
  const again = await spawnImgtool(['export', web, path])
  t.is(again.status, 1)
  t.regex(again.stderr, /^Error: Cannot write .*: it exists.*\nHint: .*--force/)
})

test('export compresses as the name or the flag says', async (t) => {
  const {stdout: plain} = await spawnImgtool(['export', web, '-'])
  const folder = scratch(t)
  const choices = {
    'a.tar.gz': ['--level', '9', '--compressor', 'pako'],
    'b.tar.zst': [],
    'c.tar': ['--compression', 'gzip'],
    'd.tgz': ['--compression', 'none'],
  }
  const compressions = []
  for (const [name, flags] of Object.entries(choices)) {
    const {status, stdout, stderr} = await spawnImgtool(['export', web, name, ...flags, '--json'], {cwd: folder})
    t.is(status, 0, stderr)
    const bytes = readFileSync(join(folder, name))
    t.like(JSON.parse(stdout.toString()), {tarSize: plain.length, size: bytes.length})
    compressions.push(detectCompression(bytes))
    const pieces: Buffer[] = []
    for await (const piece of decompress(Readable.from([bytes]), detectCompression(bytes)))
      pieces.push(Buffer.from(piece))
    t.true(Buffer.concat(pieces).equals(plain), name)
  }
  t.deepEqual(compressions, ['gzip', 'zstd', 'gzip', 'none'])
})

test('export refuses what it would not do, and writes nothing', async (t) => {
  const folder = scratch(t)
  const refused = {
    'docker-archive:new.tar': 'a root file system has no format',
    'new.tar.xz': 'xz is not written',
    'new.tar --level 3': 'Cannot use --level without --compression gzip or zstd',
    'new.tar.zst --compressor zlib': 'Cannot use --compressor with --compression zstd',
    'new.tar.gz --level 99': 'no such level',
  }
  for (const [line, message] of Object.entries(refused)) {
    const {status, stderr} = await spawnImgtool(['export', web, ...line.split(' ')], {cwd: folder})
    t.is(status, 2, line)
    t.true(stderr.includes(message), stderr)
    t.notRegex(stderr, /archive .*one\.tar/)
  }
  t.deepEqual(readdirSync(folder), [])
})

test('an archive is written neither to a terminal nor among JSON', async (t) => {
  for (const words of [
    ['export', web, '-'],
    ['squash', web, 'oci-archive:-'],
  ]) {
    const {status, stdout} = await spawnImgtool([...words, '--json'])
    t.is(status, 2)
    t.is(JSON.parse(stdout.toString()).error.code, 'REFERENCE_INVALID')
  }
})

test('squash works in pipelines', async (t) => {
  const script = 'set -e; cat "$1" | $IMGTOOL squash --from 2 -t app:flat - docker-archive:- | $IMGTOOL list --json -'
  const {status, stdout, stderr} = await spawnShell(script, {words: [web]})
  t.is(status, 0, stderr)
  const {images} = JSON.parse(stdout.toString())
  t.deepEqual(images[0].names, ['app:flat'])
  t.regex(stderr, /^Squashed 4 layers to one of \d+ entries, \d+ whiteouts?, .*, in docker-archive:-$/m)
})

test('squash compresses as it is told, and says who did', async (t) => {
  const path = join(scratch(t), 'new')
  const words = ['--compression', 'gzip', '--compressor', 'pako', '--level', '1', '--threads', '1', '--json']
  const {status, stdout, stderr} = await spawnImgtool(['squash', web, `oci-archive:${path}`, ...words])
  t.is(status, 0, stderr)
  t.like(JSON.parse(stdout.toString()), {compressor: {compression: 'gzip', compressor: 'pako', level: 1}})
  const refused = await spawnImgtool(['squash', web, `oci-archive:${path}-2`, '--level', '1'])
  t.is(refused.status, 2)
  t.regex(refused.stderr, /^Error: Cannot use --level without --compression gzip or zstd\n/)
})

test('squash warns of platforms that it leaves out, unless one was chosen', async (t) => {
  const platforms = fixture('buildah-oci-platforms.tar')
  const path = join(scratch(t), 'new')
  const squash = (...words: string[]) => spawnImgtool(['squash', platforms, `oci-archive:${path}`, '-f', ...words])
  t.regex((await squash()).stderr, /^Warning: Only the image for linux\/\S+ is written, not linux\/.*--platform$/m)
  const {warnings} = JSON.parse((await squash('--json')).stdout.toString())
  t.like(warnings, [{code: 'PLATFORMS_LEFT_OUT', count: 1}])
  t.notRegex((await squash('--platform', 'linux/arm64')).stderr, /Warning/)
})

test('the help says which levels a compressor has', async (t) => {
  const {stdout} = await spawnImgtool(['squash', '--help'], {env: {COLUMNS: '300'}})
  for (const compressor of ['zlib', 'pako', 'libdeflate', 'isal', 'zstd'] as const) {
    const {least, most, usual} = traitsOf({compression: 'gzip', compressor, level: 1})
    t.true(stdout.toString().replace(/\s+/g, ' ').includes(`${compressor} ${least}-${most} (${usual})`), compressor)
  }
})

test.serial('squash says which layers there are', async (t) => {
  const {error, stderr} = await imgtool('squash', web, join(scratch(t), 'new.tar'), '--from', '6')
  t.is(error?.oclif?.exit, 1)
  t.regex(stderr, /^Error: Cannot find layer 6: the topmost is 5, the lowest 0/)
})
