import {mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {gzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {spawnImgtool, spawnShell} from '../helpers/cli.ts'
import {dockerMembers, layerOf, scratch, tarOf, writeScratch} from '../helpers/image.ts'

const names = ['app:1', 'other:1']
const bytes = tarOf(dockerMembers(names.map((name) => ({names: [name], layers: [layerOf(name)]}))))

/** Runs a script where `$1` is an archive and nothing may be left in TMPDIR. */
async function shell(t: ExecutionContext, script: string, archive = writeScratch(t, gzipSync(bytes))) {
  const tmp = join(scratch(t), 'tmp')
  mkdirSync(tmp)
  const run = await spawnShell(script, {env: {TMPDIR: tmp, ARCHIVE: archive}})
  t.deepEqual(readdirSync(tmp), [])
  return run
}

for (const [what, script] of [
  ['standard input that is a pipe', 'cat "$ARCHIVE" | $IMGTOOL list -'],
  ['standard input that is a file', '$IMGTOOL list - < "$ARCHIVE"'],
  ['/dev/stdin that is a pipe', 'cat "$ARCHIVE" | $IMGTOOL list /dev/stdin'],
  ['/dev/stdin that is a file', '$IMGTOOL list /dev/stdin < "$ARCHIVE"'],
  ['a slow pipe', '(head -c 100 "$ARCHIVE"; sleep 0.2; tail -c +101 "$ARCHIVE") | $IMGTOOL list -'],
  ['a process substitution', `bash -c '$IMGTOOL list <(cat "$ARCHIVE")'`],
  ['a process substitution of the plain tar', `bash -c '$IMGTOOL list <(gzip -dc "$ARCHIVE")'`],
] as const) {
  test(`reads an archive from ${what}`, async (t) => {
    const {status, stdout, stderr} = await shell(t, script)
    t.is(stderr, '')
    t.is(status, 0)
    for (const name of names) t.true(stdout.includes(name))
  })
}

test('selects an image of an archive from a pipe', async (t) => {
  const {status, stdout} = await shell(t, 'cat "$ARCHIVE" | $IMGTOOL list -:other:1 --quiet')
  t.is(status, 0)
  t.is(stdout.toString().trim().split('\n').length, 1)
})

test('lists references to standard input that work', async (t) => {
  const {status, stderr} = await shell(t, 'cat "$ARCHIVE" | $IMGTOOL inspect -')
  t.is(status, 1)
  t.regex(stderr, /\nHint: Name one: -:app:1, -:other:1\n$/)
})

for (const [what, script, code] of [
  ['an empty pipe', 'true | $IMGTOOL list - --json', 'FORMAT_UNKNOWN'],
  ['a pipe that ends too early', 'head -c 200 "$ARCHIVE" | $IMGTOOL list - --json', 'COMPRESSION_INVALID'],
  [
    'a plain tar that ends too early',
    'gzip -dc "$ARCHIVE" | head -c 700 | $IMGTOOL list - --json',
    'ARCHIVE_TRUNCATED',
  ],
  ['text', 'echo hello | $IMGTOOL list - --json', 'FORMAT_UNKNOWN'],
  ['closed standard input', '$IMGTOOL list - --json <&-', undefined],
  ['standard input that is a directory', '$IMGTOOL list - --json < /', undefined],
] as const) {
  test(`refuses ${what}`, async (t) => {
    const {status, stdout} = await shell(t, script)
    const {error} = JSON.parse(stdout.toString())
    t.is(status, 1)
    if (code === undefined) t.not(error.code, 'INTERNAL')
    else t.is(error.code, code)
    t.is(error.archive, 'standard input')
  })
}

test('ends quietly when nobody reads the rest of its output', async (t) => {
  const {status, stderr} = await shell(t, '($IMGTOOL list "$ARCHIVE"; echo $? >&2) | head -c 1')
  t.is(status, 0)
  t.regex(stderr, /^0\n$/)
})

test('does not wait for the end of a pipe that it cannot use', async (t) => {
  const {status, stdout} = await shell(t, '(sleep 0.1; cat "$ARCHIVE") | TMPDIR="$TMPDIR/none" $IMGTOOL list - --json')
  t.is(status, 1)
  t.is(JSON.parse(stdout.toString()).error.code, 'SYSTEM_ERROR')
})

test('reads standard input once only', async (t) => {
  const {status} = await spawnImgtool(['list', '-', '-'], {input: bytes})
  t.is(status, 1)
})
