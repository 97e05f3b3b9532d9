import {createHash} from 'node:crypto'
import {readFileSync} from 'node:fs'
import test, {type ExecutionContext} from 'ava'
import {imgtool, spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {dockerMembers, layerOf, replaced, tarOf, writeScratch} from '../helpers/image.ts'

const sound = fixture('docker-20.10-one.tar')

function damagedArchive(t: ExecutionContext): string {
  const members = dockerMembers([{names: ['app:1'], layers: [layerOf('file')]}])
  const layer = members.find(({name}) => name.endsWith('/layer.tar'))!.name
  return writeScratch(t, tarOf(replaced(members, layer, {body: layerOf('other')})))
}

test('verify exits with 0 for what is as it says, and says so', async (t) => {
  const {status, stdout, stderr} = await spawnImgtool(['verify', sound, fixture('docker-0.7.tar')])
  t.is(status, 0)
  t.is(stderr, '')
  const lines = stdout.toString().split('\n')
  t.is(lines[0], `${sound}: sound (docker-archive, 1 image, 6 layers, 82.35 kB)`)
  t.regex(lines[1]!, /docker-0\.7\.tar: sound, \d+ notes/)
})

test('verify exits with 3 when something is wrong', async (t) => {
  const damaged = damagedArchive(t)
  const {status, stdout, stderr} = await spawnImgtool(['verify', damaged])
  t.is(status, 3)
  t.is(stderr, '')
  t.regex(stdout.toString(), /: wrong in 1 way.*\n {2}error: .* does not have its diffID .*\n {4}expected: sha256:/)
  t.is((await spawnImgtool(['verify', sound, damaged])).status, 3)
})

test('verify exits with 1 when an archive cannot be read, and verifies the others', async (t) => {
  const damaged = damagedArchive(t)
  t.is((await spawnImgtool(['verify', '/nonexistent.tar'])).status, 1)
  const {status, stdout, stderr} = await spawnImgtool(['verify', '/nonexistent.tar', damaged, sound])
  t.is(status, 1)
  t.regex(stderr, /^Error: Cannot open "\/nonexistent.tar"/)
  t.regex(stdout.toString(), /wrong in 1 way[\s\S]*: sound/)
})

test('verify takes standard input', async (t) => {
  const {status, stdout} = await spawnShell('$IMGTOOL verify - < "$1"', {words: [sound]})
  t.is(status, 0)
  t.regex(stdout.toString(), /^standard input: sound/)
})

test('verify --quiet is silent about what is sound', async (t) => {
  t.is((await spawnImgtool(['verify', '--quiet', sound])).stdout.toString(), '')
  t.regex((await spawnImgtool(['verify', '--quiet', damagedArchive(t)])).stdout.toString(), /wrong in 1 way/)
})

test.serial('verify --json prints a document for each archive', async (t) => {
  const {stdout, stderr} = await imgtool('verify', sound, damagedArchive(t), '/nonexistent.tar', '--json')
  t.is(stderr, '')
  const {archives} = JSON.parse(stdout)
  t.deepEqual(
    archives.map(({status}: {status: string}) => status),
    ['sound', 'wrong', 'unreadable'],
  )
  t.like(archives[1].findings[0], {severity: 'error', code: 'DIFF_ID_MISMATCH', image: 'app:1', layer: 0})
  t.is(archives[2].error.code, 'SOURCE_NOT_FOUND')
})

test('verify --integrity compares the file itself', async (t) => {
  const digest = createHash('sha512').update(readFileSync(sound)).digest('base64')
  t.is((await spawnImgtool(['verify', sound, '--integrity', `sha512-${digest}`])).status, 0)
  t.is((await spawnImgtool(['verify', sound, '--integrity', `sha512-${digest.replace(/^../, 'AA')}`])).status, 3)
  t.is((await spawnImgtool(['verify', sound, '--integrity', 'md5-AAAA'])).status, 2)
  t.is((await spawnImgtool(['verify', sound, '--integrity', `sha256-${'a1'.repeat(32)}`])).status, 2)
  t.is((await spawnImgtool(['verify', sound, sound, '--integrity', `sha512-${digest}`])).status, 2)
})
