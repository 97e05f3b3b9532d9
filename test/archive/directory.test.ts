import {execFileSync} from 'node:child_process'
import {mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {openArchive} from '../../src/archive/open.ts'
import {readImages} from '../../src/image/read-images.ts'
import {defaultLimits} from '../../src/limits.ts'
import {dockerMembers, ociMembers, scratch, writeMembers} from '../helpers/image.ts'
import {collect} from '../helpers/streams.ts'

const recipe = {names: ['app:1']}
const open = (directory: string) => openArchive(directory, defaultLimits)
const imagesIn = async (directory: string) => readImages(await open(directory), defaultLimits)

function layout(t: ExecutionContext): string {
  return writeMembers(scratch(t), ociMembers([recipe]))
}

test('reads a layout and an extracted save', async (t) => {
  t.deepEqual((await imagesIn(layout(t))).images[0]?.names, ['app:1'])
  const docker = writeMembers(scratch(t), dockerMembers([recipe]))
  t.deepEqual((await imagesIn(`${docker}/`)).images[0]?.names, ['app:1'])
})

test('lists in an order of its own, as deep as an image goes', async (t) => {
  const directory = scratch(t)
  writeMembers(directory, [{name: 'b'}, {name: 'a/b/c/d/e'}, {name: 'a.b'}])
  const archive = await open(directory)
  t.deepEqual([...archive.members.keys()], ['a', 'a.b', 'b', 'a/b', 'a/b/c'])
})

test('resolves symbolic links inside, and follows none', async (t) => {
  const directory = writeMembers(scratch(t), [
    {name: 'a/file', body: 'content'},
    {name: 'b/inside', type: '2', link: '../a/file'},
    {name: 'outside', type: '2', link: '/etc/passwd'},
    {name: 'above', type: '2', link: '../above'},
    {name: 'loop', type: '2', link: 'loop'},
    {name: 'dir', type: '2', link: 'a'},
  ])
  const archive = await open(directory)
  t.is((await collect(archive.blob('b/inside')!.stream())).toString(), 'content')
  for (const name of ['outside', 'above', 'loop', 'dir']) {
    t.throws(() => archive.blob(name), {code: 'ARCHIVE_INVALID'}, name)
  }
  t.is(archive.blob('dir/file'), undefined)
})

test('refuses a fifo in place of a document, and does not wait for a writer', async (t) => {
  const directory = layout(t)
  rmSync(join(directory, 'index.json'))
  execFileSync('mkfifo', [join(directory, 'index.json')])
  await t.throwsAsync(imagesIn(directory), {code: 'ARCHIVE_INVALID'})
})

const linuxTest = process.platform === 'linux' ? test : test.skip

linuxTest('says of a directory whose files come and go that it is no image', async (t) => {
  await t.throwsAsync(imagesIn('/proc'), {code: 'FORMAT_UNKNOWN'})
})

test('refuses a fifo, a link or a directory that took the place of a file since', async (t) => {
  for (const put of [
    (path: string) => execFileSync('mkfifo', [path]),
    (path: string) => symlinkSync('/etc/passwd', path),
    (path: string) => mkdirSync(path),
  ]) {
    const directory = layout(t)
    const archive = await open(directory)
    const path = join(directory, 'oci-layout')
    rmSync(path)
    put(path)
    const error = await t.throwsAsync(archive.blob('oci-layout')!.read(0, 10))
    t.true(['ARCHIVE_INVALID', 'SYSTEM_ERROR'].includes((error as {code?: string}).code ?? ''))
  }
})

test('says that a file has gone or has shrunk since', async (t) => {
  const directory = writeMembers(scratch(t), [
    {name: 'gone', body: 'x'},
    {name: 'shrunk', body: 'abc'},
  ])
  const archive = await open(directory)
  renameSync(join(directory, 'gone'), join(directory, 'other'))
  writeFileSync(join(directory, 'shrunk'), 'a')
  await t.throwsAsync(archive.blob('gone')!.read(0, 1), {code: 'SOURCE_NOT_FOUND'})
  await t.throwsAsync(collect(archive.blob('shrunk')!.stream()), {code: 'ARCHIVE_TRUNCATED'})
})

test('reads a directory that holds names that are no UTF-8', async (t) => {
  const directory = layout(t)
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe])]), 'x')
  const archive = await open(directory)
  t.is((await archive.blob('\xff\xfe')!.read(0, 9)).toString(), 'x')
  t.is((await imagesIn(directory)).images.length, 1)
})

test('refuses more files than the limit', async (t) => {
  const directory = layout(t)
  await t.throwsAsync(openArchive(directory, {...defaultLimits, members: 3}), {code: 'LIMIT_EXCEEDED'})
})
