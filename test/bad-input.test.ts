/** What goes wrong in daily use: each has its own code, one line, and leaves nothing behind. */
import {execFileSync, spawn} from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'
import {setTimeout as sleep} from 'node:timers/promises'
import {gzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import type {ErrorCode} from '../src/errors.ts'
import {bin, imgtool, type Run, spawnImgtool, spawnShell} from './helpers/cli.ts'
import {
  blobMember,
  configOf,
  dockerMembers,
  layerOf,
  manifestOf,
  ociMembers,
  type Recipe,
  replaced,
  scratch,
  tarOf,
  v1ID,
  v1Members,
  without,
  writeMembers,
} from './helpers/image.ts'
import {writeLongImage} from './helpers/large-image.ts'

const isRoot = process.getuid?.() === 0
const mountTest = canMount() ? test.serial : test.serial.skip

const app: Recipe = {names: ['app:1'], layers: [layerOf('base'), layerOf('top', 'x'.repeat(3_000_000))]}
const good = tarOf(dockerMembers([app]))

/** Whether small disks can be had: as root, unless in a container that forbids it. */
function canMount(): boolean {
  if (!isRoot) return false
  const directory = mkdtempSync(join(tmpdir(), 'imgtool-test-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory], {stdio: 'ignore'})
    execFileSync('umount', [directory])
    return true
  } catch {
    return false
  } finally {
    rmdirSync(directory)
  }
}

/** A small disk that goes with the test. */
function mountTmpfs(t: ExecutionContext, directory: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
  t.teardown(() => execFileSync('umount', [directory]))
}

/** A folder with an archive, where a target is to appear: `work/target`. */
interface Bench {
  readonly root: string
  readonly work: string
  readonly archive: string
  readonly target: string
}

function bench(t: ExecutionContext, archive: Buffer = good): Bench {
  const root = scratch(t)
  chmodSync(root, 0o755)
  const work = join(root, 'work')
  mkdirSync(work)
  writeFileSync(join(root, 'app.tar'), archive)
  return {root, work, archive: join(root, 'app.tar'), target: join(work, 'target')}
}

/** What a failed run with `--json` says; nothing else may be said. */
function errorOf(
  t: ExecutionContext,
  run: Pick<Run, 'stderr'> & {readonly stdout: Buffer | string; readonly status: unknown},
  status = 1,
) {
  t.is(run.stderr, '')
  t.is(run.status, status, run.stdout.toString())
  const {error} = JSON.parse(run.stdout.toString()) as {error: {code: ErrorCode; message: string; hint?: string}}
  t.false(error.message.includes('\n'))
  return error
}

/** Unpacks in vain, in this process: with this code, and leaves the folder as it was. */
async function fails(t: ExecutionContext, {work, target}: Bench, reference: string, code: ErrorCode, into = target) {
  const before = pathsIn(work)
  const {stdout, stderr, error: exit} = await imgtool('unpack', '--json', reference, into)
  const error = errorOf(t, {stdout, stderr, status: exit?.oclif?.exit})
  t.is(error.code, code)
  t.deepEqual(pathsIn(work), before)
  return error
}

/** Node's own recursion follows links. */
function pathsIn(directory: string): string[] {
  return execFileSync('find', [directory]).toString().split('\n').toSorted()
}

const v1 = [{id: 'a'}, {id: 'b', parent: 'a'}]
const top = dockerMembers([app])[2]!.name

for (const [what, code, bytes] of [
  ['a truncated archive', 'ARCHIVE_TRUNCATED', good.subarray(0, good.length / 2)],
  ['a truncated compressed archive', 'COMPRESSION_INVALID', gzipSync(good).subarray(0, 3000)],
  ['an archive that is damaged', 'ARCHIVE_INVALID', Buffer.concat([good.subarray(0, 512), Buffer.alloc(4096, 7)])],
  ['something else than an archive', 'FORMAT_UNKNOWN', Buffer.from('hello')],
  ['a missing layer', 'BLOB_MISSING', tarOf(without(dockerMembers([app]), top))],
  ['a missing layer of a layout', 'BLOB_MISSING', tarOf(without(ociMembers([app]), blobMember(layerOf('base')).name))],
  ['a missing config', 'BLOB_MISSING', tarOf(without(dockerMembers([app]), dockerMembers([app])[0]!.name))],
  [
    'a wrong digest of a layer',
    'DIGEST_MISMATCH',
    tarOf(replaced(dockerMembers([app]), top, {body: layerOf('other')})),
  ],
  [
    'a wrong digest of a manifest',
    'DIGEST_MISMATCH',
    tarOf(replaced(ociMembers([app]), blobMember(manifestOf(app)).name, {body: manifestOf(app).replace('2', '3')})),
  ],
  [
    'a wrong size of a config',
    'SIZE_MISMATCH',
    tarOf(replaced(ociMembers([app]), blobMember(configOf(app)).name, {body: '{}'})),
  ],
  ['a layer that is no tar', 'TAR_INVALID', tarOf(dockerMembers([{layers: [layerOf('a'), Buffer.alloc(4096, 7)]}]))],
  [
    'a layer that is cut',
    'TAR_TRUNCATED',
    tarOf(dockerMembers([{layers: [layerOf('a', 'x'.repeat(600)).subarray(0, 800)]}])),
  ],
  ['a cycle of parents', 'PARENT_CYCLE', tarOf(v1Members([{id: 'a', parent: 'b'}, v1[1]!]))],
  ['a missing parent', 'PARENT_MISSING', tarOf(v1Members(v1.slice(1)))],
  ['a document that is no JSON', 'DOCUMENT_INVALID', tarOf([{name: 'manifest.json', body: '[{'}])],
] as const) {
  test.serial(`${what} is refused, and nothing is left`, async (t) => {
    const there = bench(t, bytes)
    await fails(t, there, there.archive, code)
  })
}

test('people are told in one line, and in another what helps', async (t) => {
  const there = bench(t)
  const {archive, work, target} = there
  for (const [words, message] of [
    [[`${archive}:none`, target], `Error: Cannot find image "none" in "${archive}"\nHint: It holds ${archive}:app:1\n`],
    [[join(work, 'none'), target], `Error: Cannot open "${join(work, 'none')}": no such file or directory\n`],
  ] as const) {
    const {status, stdout, stderr} = await spawnImgtool(['unpack', ...words])
    t.is(stderr, message)
    t.is(stdout.length, 0)
    t.is(status, 1)
  }
})

test.serial('an unknown reference is refused with those that are known', async (t) => {
  const there = bench(t)
  for (const selector of ['none:1', '@7', 'f'.repeat(64)]) {
    const error = await fails(t, there, `${there.archive}:${selector}`, 'IMAGE_NOT_FOUND')
    t.is(error.hint, `It holds ${there.archive}:app:1`)
  }
})

test.serial('an archive that does not exist is refused', async (t) => {
  const there = bench(t)
  await fails(t, there, join(there.root, 'none.tar'), 'SOURCE_NOT_FOUND')
})

test.serial('several images without a choice are refused', async (t) => {
  const there = bench(t, tarOf(v1Members([{id: 'a'}, {id: 'b'}], {app: {1: 'a', 2: 'b'}})))
  await fails(t, there, there.archive, 'IMAGE_AMBIGUOUS')
  await fails(t, there, `${there.archive}:${v1ID('c')}`, 'IMAGE_NOT_FOUND')
})

test.serial('a target that is not empty is refused and kept', async (t) => {
  const there = bench(t)
  writeMembers(there.target, [{name: 'file', body: 'mine'}])
  await fails(t, there, there.archive, 'TARGET_EXISTS')
})

test.serial('a target that is a file is refused and kept', async (t) => {
  const there = bench(t)
  writeFileSync(there.target, 'mine')
  await fails(t, there, there.archive, 'TARGET_INVALID')
})

test.serial('a target that is a link is refused, wherever it leads', async (t) => {
  const there = bench(t)
  mkdirSync(join(there.root, 'elsewhere'))
  for (const link of [join(there.root, 'elsewhere'), join(there.root, 'none'), 'target', '/']) {
    symlinkSync(link, there.target)
    await fails(t, there, there.archive, 'TARGET_INVALID')
    rmSync(there.target)
  }
  t.deepEqual(readdirSync(join(there.root, 'elsewhere')), [])
})

test.serial('a target in a folder that does not exist is refused', async (t) => {
  const there = bench(t)
  await fails(t, there, there.archive, 'TARGET_INVALID', join(there.work, 'none', 'target'))
})

test.serial('a target below a file is refused', async (t) => {
  const there = bench(t)
  await fails(t, there, there.archive, 'TARGET_INVALID', join(there.archive, 'target'))
})

/** Runs as somebody without privileges: as nobody where this is root. */
function asUser(t: ExecutionContext, words: readonly string[]) {
  const drop = isRoot ? 'setpriv --reuid 65534 --regid 65534 --clear-groups ' : ''
  const env = {NODE_COMPILE_CACHE: join(userDirectory(t), 'cache'), HOME: userDirectory(t)}
  return spawnShell(`exec ${drop}$IMGTOOL ${words.map((word) => `'${word}'`).join(' ')}`, {env})
}

function userDirectory(t: ExecutionContext): string {
  const directory = scratch(t)
  chmodSync(directory, 0o777)
  return directory
}

test('a folder that may not be written is refused', async (t) => {
  const there = bench(t)
  chmodSync(there.work, 0o555)
  const error = errorOf(t, await asUser(t, ['unpack', '--json', there.archive, there.target]))
  chmodSync(there.work, 0o755)
  t.is(error.code, 'PERMISSION_DENIED')
  t.deepEqual(readdirSync(there.work), [])
})

test('an archive that may not be read is refused', async (t) => {
  const there = bench(t)
  chmodSync(there.archive, 0)
  t.is(errorOf(t, await asUser(t, ['list', '--json', there.archive])).code, 'PERMISSION_DENIED')
})

test('a layout with a file that may not be read is refused', async (t) => {
  const there = bench(t)
  const layout = writeMembers(join(there.root, 'layout'), ociMembers([app]))
  const layer = blobMember(layerOf('base')).name
  for (const [name, command] of [
    ['index.json', ['list', layout]],
    [layer, ['unpack', layout, join(userDirectory(t), 'target')]],
  ] as const) {
    chmodSync(join(layout, name), 0)
    const error = errorOf(t, await asUser(t, [...command, '--json']))
    chmodSync(join(layout, name), 0o644)
    t.is(error.code, 'PERMISSION_DENIED')
    t.true(error.message.includes(name))
  }
})

test('a directory that may not be read is named where it is one of a layout, and does not matter elsewhere', async (t) => {
  const there = bench(t)
  const layout = writeMembers(join(there.root, 'layout'), ociMembers([app]))
  const other = writeMembers(join(there.root, 'other'), [{name: 'blobs/sha256/x'}])
  const list = async (path: string) => {
    chmodSync(join(path, 'blobs'), 0)
    const error = errorOf(t, await asUser(t, ['list', path, '--json']))
    chmodSync(join(path, 'blobs'), 0o755)
    return error
  }
  t.like(await list(layout), {code: 'PERMISSION_DENIED', entry: 'blobs'})
  t.is((await list(other)).code, 'FORMAT_UNKNOWN')
})

mountTest('a full disk is refused, and has its space back', async (t) => {
  const there = bench(t)
  mountTmpfs(t, there.work, 'size=1m')
  await fails(t, there, there.archive, 'NO_SPACE')
})

mountTest('a disk without inodes is refused', async (t) => {
  const layer = tarOf(Array.from({length: 100}, (_, n) => ({name: `f${n}`, body: 'x'})))
  const there = bench(t, tarOf(dockerMembers([{layers: [layer]}])))
  mountTmpfs(t, there.work, 'nr_inodes=50')
  await fails(t, there, there.archive, 'NO_SPACE')
})

mountTest('a full temporary directory is refused with what to do about it', async (t) => {
  const there = bench(t, gzipSync(good))
  const small = mkdtempSync(join(there.root, 'tmp-'))
  mountTmpfs(t, small, 'size=1m')
  const env = {TMPDIR: small}
  const error = errorOf(t, await spawnImgtool(['unpack', '--json', there.archive, there.target], {env}))
  t.is(error.code, 'NO_SPACE')
  t.true(error.message.includes(small))
  t.regex(error.hint ?? '', /TMPDIR/)
  t.deepEqual(readdirSync(small), [])
})

mountTest('a read-only file system is refused', async (t) => {
  const there = bench(t)
  mountTmpfs(t, there.work, 'ro')
  await fails(t, there, there.archive, 'PERMISSION_DENIED')
})

test('a file beyond the limit of file sizes is refused', async (t) => {
  const there = bench(t)
  const run = await spawnShell(`bash -c 'ulimit -f 1000; exec $IMGTOOL unpack --json "$ARCHIVE" "$TARGET"'`, {
    env: {ARCHIVE: there.archive, TARGET: there.target},
  })
  t.is(errorOf(t, run).code, 'NO_SPACE')
  t.deepEqual(readdirSync(there.work), [])
})

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal} ends a run with ${status}, and nothing is left`, async (t) => {
    const there = bench(t)
    writeLongImage(there.archive, layerOf('file'))
    const child = spawn(process.execPath, [bin, 'unpack', '--json', there.archive, there.target])
    const {promise, resolve} = Promise.withResolvers<number | null>()
    let stdout = ''
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    child.on('close', resolve)
    // The work has begun when something appears beside the target.
    while (readdirSync(there.work).length === 0 && child.exitCode === null) await sleep(5)
    child.kill(signal)
    child.kill(signal)
    t.is(await promise, status)
    t.is(JSON.parse(stdout).error.code, 'INTERRUPTED')
    t.deepEqual(readdirSync(there.work), [])
    t.false(existsSync(there.target))
  })
}

/** The first descriptor that Node leaves to a program. */
const firstFree = Number(execFileSync(process.execPath, ['-e', 'console.log(fs.openSync("/dev/null"))']))

for (const threads of ['--threads=2', '--threads=1']) {
  test(`with few descriptors a run ends well or leaves nothing, ${threads}`, async (t) => {
    const layer = tarOf(Array.from({length: 40}, (_, n) => ({name: `d${n}/e/f/g`, body: 'x'})))
    const there = bench(t, tarOf(dockerMembers([{layers: [layer]}])))
    const endings: (number | null)[] = []
    for (const room of [4, 5, 11, 15, 44]) {
      const limit = firstFree + room
      const script = `bash -c 'ulimit -n ${limit}; exec $IMGTOOL unpack ${threads} "$ARCHIVE" "$TARGET"'`
      const env = {ARCHIVE: there.archive, TARGET: there.target}
      const {status} = await spawnShell(script, {env})
      endings.push(status)
      t.deepEqual(readdirSync(there.work), status === 0 ? ['target'] : [], `${limit} descriptors`)
      rmSync(there.target, {recursive: true, force: true})
    }
    t.is(endings[0], 1)
    t.is(endings.at(-1), 0)
  })
}
