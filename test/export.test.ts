import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {ImgtoolError} from '../src/errors.ts'
import {exportImage} from '../src/export.ts'
import {defaultLimits} from '../src/limits.ts'
import {listFiles} from '../src/list-files.ts'
import {openSource, selectImage} from '../src/open.ts'
import {readEntries} from './helpers/entries.ts'
import {fixture} from './helpers/fixtures.ts'
import {scratch} from './helpers/layers.ts'
import {imageOfTars} from './helpers/memory-layers.ts'
import {file, tar} from './helpers/tar.ts'

async function exportFixture(t: ExecutionContext, name: string): Promise<Buffer> {
  const path = join(scratch(t), 'rootfs.tar')
  await using source = await openSource(fixture(name))
  const result = await exportImage(selectImage(source), path)
  const bytes = readFileSync(path)
  t.is(result.tarSize, bytes.length)
  return bytes
}

test('an exported tar has the files that ls lists, all as they are', async (t) => {
  await using source = await openSource(fixture('docker-20.10-one.tar'))
  const listed = [...(await listFiles(selectImage(source)))]
  const entries = readEntries(await exportFixture(t, 'docker-20.10-one.tar')).map(({entry}) => entry)
  const byPath = new Map(entries.map((entry) => [entry.path, entry]))
  t.is(byPath.size, entries.length)
  // A hard link is told by its target.
  const describe = (at: string) => {
    const entry = byPath.get(at)!
    const {kind, mode, uid, gid, mtime, size, link, xattrs} =
      entry.kind === 'hardlink' ? byPath.get(entry.link)! : entry
    return {kind, mode, uid, gid, mtime, size, link, xattrs}
  }
  const expected = listed.filter(({path}) => path !== '' || byPath.has(''))
  t.deepEqual([...byPath.keys()].toSorted(), expected.map(({path}) => path).toSorted())
  for (const {path, kind, mode, uid, gid, mtime, size, link = '', xattrs} of expected)
    t.deepEqual(describe(path), {kind, mode, uid, gid, mtime, size, link, xattrs}, path)
  const links = Map.groupBy(entries, ({kind, path, link}) => (kind === 'hardlink' ? link : path))
  for (const {path, links: count} of expected) if (links.has(path)) t.is(links.get(path)!.length, count, path)
})

test('every format of one image is exported to the same bytes', async (t) => {
  const first = await exportFixture(t, 'docker-20.10-one.tar')
  const others = ['docker-20.10-one.tar.zst', 'skopeo-oci-gzip.tar', 'skopeo-oci-zstd.tar', 'oci-zstd-frames.tar']
  for (const name of others) t.true(first.equals(await exportFixture(t, name)), name)
})

test('a file that exists stays, unless it is to be replaced', async (t) => {
  const path = join(scratch(t), 'rootfs.tar')
  writeFileSync(path, 'mine')
  const image = imageOfTars(tar(file('a')))
  await t.throwsAsync(exportImage(image, path), {code: 'TARGET_EXISTS'})
  t.is(readFileSync(path, 'utf8'), 'mine')
  await exportImage(image, path, {force: true})
  t.deepEqual(
    readEntries(readFileSync(path)).map(({entry}) => entry.path),
    ['a'],
  )
})

test('what cannot be exported whole leaves nothing', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'rootfs.tar')
  const image = imageOfTars(tar(file('a'), file('b')))
  const layers = image.layers.map((layer) => ({...layer, diffID: `sha256:${'0'.repeat(64)}` as const}))
  await t.throwsAsync(exportImage({...image, layers}, path), {code: 'DIGEST_MISMATCH', message: /layer 0/})
  await t.throwsAsync(exportImage(image, path, {limits: {...defaultLimits, entries: 1}}), {code: 'LIMIT_EXCEEDED'})
  const signal = AbortSignal.abort(new ImgtoolError('INTERRUPTED', 'Interrupted'))
  await t.throwsAsync(exportImage(image, path, {signal}), {code: 'INTERRUPTED'})
  await t.throwsAsync(exportImage(image, join(directory, 'missing/rootfs.tar')), {code: 'TARGET_INVALID'})
  t.deepEqual(readdirSync(directory), [])
})

test('progress grows to the whole, compressed layers counted twice', async (t) => {
  const path = join(scratch(t), 'rootfs.tar')
  for (const name of ['skopeo-oci-gzip.tar', 'skopeo-oci-plain.tar']) {
    const seen: number[] = []
    let total = 0
    await using source = await openSource(fixture(name))
    await exportImage(selectImage(source), path, {
      force: existsSync(path),
      onProgress: ({bytes, totalBytes}) => {
        seen.push(bytes)
        total = totalBytes
      },
    })
    t.is(seen.at(-1), total)
    t.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    )
  }
})
