import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {ImgtoolError} from '../src/errors.ts'
import {defaultLimits} from '../src/limits.ts'
import {type ListedFile, listFiles} from '../src/list-files.ts'
import {openSource, selectImage} from '../src/open.ts'
import {toText} from '../src/text.ts'
import {type Progress, unpackImage} from '../src/unpack.ts'
import {isRoot, scratch} from './helpers/layers.ts'
import {imageOfTars} from './helpers/memory-layers.ts'
import {directory, file, hardlink, symlink, tar} from './helpers/tar.ts'

const fixture = (name: string) => path.join(import.meta.dirname, '../fixtures', name)

test('a mount point is refused with what fills it', async (t) => {
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const error = await t.throwsAsync(unpackImage(selectImage(source), '/proc'), {code: 'TARGET_INVALID'})
  const hint = "imgtool export IMAGE - | tar -x --xattrs --xattrs-include='*' -C '/proc'"
  t.like(error, {details: {hint: `Give a directory inside it, or fill it: ${hint}`}})
})

test('an image unpacks to what ls lists of it', async (t) => {
  const target = path.join(scratch(t), 'rootfs')
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const image = selectImage(source)
  const result = await unpackImage(image, target)
  t.is(result.layers, 6)
  t.deepEqual(
    result.diffIDs,
    image.layers.map(({diffID}) => diffID!),
  )
  const isKept = ({kind}: ListedFile) => isRoot || (kind !== 'character' && kind !== 'block')
  const listed = [...(await listFiles(image))].filter(isKept).map((file) => toText(file.path))
  // Node's recursive listing goes through links to directories.
  const found = execFileSync('find', [target, '-printf', '%P\\n']).toString().split('\n').slice(0, -1)
  t.deepEqual(found.sort(), listed.sort())
})

test('every format of one image gives the same files', async (t) => {
  const names = [
    'docker-20.10-one.tar',
    'docker-20.10-one.tar.zst',
    'skopeo-docker-archive.tar',
    'skopeo-oci-gzip.tar',
    'skopeo-oci-plain.tar',
    'skopeo-oci-zstd.tar',
    'oci-zstd-frames.tar',
    'podman-oci-archive.tar',
  ]
  const trees = await Promise.all(
    names.map(async (name) => {
      await using source = await openSource(fixture(name))
      const files = [...(await listFiles(selectImage(source)))]
      return files.map(({path: file, kind, mode, size, links}) => [file, kind, mode, size, links].join())
    }),
  )
  t.true(trees[0]!.length > 20)
  for (const [n, tree] of trees.entries()) t.deepEqual(tree, trees[0], names[n])
})

test('a dry run reads everything and writes nothing', async (t) => {
  const parent = scratch(t)
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const result = await unpackImage(selectImage(source), path.join(parent, 'rootfs'), {dryRun: true})
  t.true(result.entries > 20)
  t.is(result.state, 'absent')
  t.deepEqual(fs.readdirSync(parent), [])
})

test('a dry run refuses what a run would refuse', async (t) => {
  const target = scratch(t)
  fs.writeFileSync(path.join(target, 'mine'), '')
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  await t.throwsAsync(unpackImage(selectImage(source), target, {dryRun: true}), {code: 'TARGET_EXISTS'})
})

test('a dry run refuses what only shows in the tree, as a run does', async (t) => {
  const parent = scratch(t)
  const cases = [
    [hardlink('a', 'missing')],
    [directory('d'), hardlink('a', 'd')],
    [symlink('a', 'b'), symlink('b', 'a'), file('a/f')],
    [file('f'), file('f/below')],
    [file('f'), hardlink('f', 'f')],
    [symlink('.', 'elsewhere')],
  ]
  for (const members of cases) {
    const image = imageOfTars(tar(file('before')), tar(...members))
    const run = (dryRun: boolean) => unpackImage(image, path.join(parent, 'rootfs'), {dryRun})
    const real = await t.throwsAsync(run(false), {instanceOf: ImgtoolError})
    const dry = await t.throwsAsync(run(true), {instanceOf: ImgtoolError})
    t.deepEqual([dry.code, dry.details.layer], [real.code, 1])
  }
  t.deepEqual(fs.readdirSync(parent), [])
})

test('progress grows to the whole', async (t) => {
  const seen: Progress[] = []
  await using source = await openSource(fixture('skopeo-oci-gzip.tar'))
  await unpackImage(selectImage(source), path.join(scratch(t), 'rootfs'), {
    onProgress: (progress) => seen.push(progress),
  })
  t.is(seen.at(-1)!.bytes, seen.at(-1)!.totalBytes)
  t.deepEqual(
    seen,
    seen.toSorted((a, b) => a.bytes - b.bytes),
  )
})

test('an aborted run leaves nothing', async (t) => {
  const parent = scratch(t)
  const controller = new AbortController()
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const run = unpackImage(selectImage(source), path.join(parent, 'rootfs'), {
    onProgress: () => controller.abort(new ImgtoolError('INTERRUPTED', 'Interrupted')),
    signal: controller.signal,
  })
  await t.throwsAsync(run, {code: 'INTERRUPTED'})
  t.deepEqual(fs.readdirSync(parent), [])
})

test('a limit that is reached leaves nothing, and is named', async (t) => {
  const parent = scratch(t)
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const run = unpackImage(selectImage(source), path.join(parent, 'rootfs'), {limits: {...defaultLimits, entries: 10}})
  await t.throwsAsync(run, {code: 'LIMIT_EXCEEDED', message: /"entries"/})
  t.deepEqual(fs.readdirSync(parent), [])
})

test('directories that only paths name count as entries', async (t) => {
  const parent = scratch(t)
  const image = imageOfTars(tar(file('a/b/c/f')), tar(file('a/b/d/e/f')))
  const target = path.join(parent, 'rootfs')
  const limited = (entries: number) => ({limits: {...defaultLimits, entries}})
  const failure = {code: 'LIMIT_EXCEEDED', message: /"entries"/}
  await t.throwsAsync(unpackImage(image, target, limited(6)), failure)
  await t.throwsAsync(listFiles(image, limited(6)), failure)
  t.deepEqual(fs.readdirSync(parent), [])
  t.is([...(await listFiles(image, limited(7)))].length, 8)
  t.is((await unpackImage(image, target, limited(7))).entries, 2)
})
