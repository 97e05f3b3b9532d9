import {readdirSync, readFileSync} from 'node:fs'
import {open} from 'node:fs/promises'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {Header} from 'tar/header'
import {DirectoryWriter} from '../../src/archive/directory-writer.ts'
import {openArchive} from '../../src/archive/open.ts'
import {encodeHeader} from '../../src/archive/tar-header.ts'
import {TarStreamWriter} from '../../src/archive/tar-stream-writer.ts'
import {TarFileWriter} from '../../src/archive/tar-writer.ts'
import type {ArchiveWriter} from '../../src/archive/writer.ts'
import {defaultLimits} from '../../src/limits.ts'
import {scratch} from '../helpers/image.ts'

/** Longer than a header's field, as the blobs of sha512 are. */
const longName = `blobs/sha512/${'5'.repeat(128)}`

/** Everything that a writer can do. */
async function fill(archive: ArchiveWriter): Promise<void> {
  await archive.directory('d')
  await archive.directory('blobs')
  await archive.directory('blobs/sha512')
  await archive.write('d/small', Buffer.from('small'))
  const known = await archive.start({name: longName, size: 600})
  await known.write(Buffer.alloc(599, 'k'))
  await known.write(Buffer.from('!'))
  await known.place(longName)
  const discarded = await archive.start()
  await discarded.write(Buffer.alloc(2000, 'x'))
  await discarded.discard()
  const late = await archive.start()
  await late.write(Buffer.alloc(513, 'l'))
  t513(late.size)
  await archive.write('between', Buffer.alloc(512, 'b'))
  await archive.link('link', 'd/small')
  await late.place('d/late')
  await archive.write('last', Buffer.from('1'))
  await archive.finish()
}

function t513(size: number): void {
  if (size !== 513) throw new Error(`${size} bytes`)
}

const expected = {
  'd/small': 'small',
  [longName]: `${'k'.repeat(599)}!`,
  'd/late': 'l'.repeat(513),
  between: 'b'.repeat(512),
  link: 'small',
  last: '1',
}

async function expectMembers(t: ExecutionContext, path: string): Promise<void> {
  await using archive = await openArchive(path, defaultLimits)
  const files = [...archive.members.values()].filter(({kind}) => kind !== 'directory').map(({name}) => name)
  t.deepEqual(files.toSorted(), Object.keys(expected).toSorted())
  for (const [name, content] of Object.entries(expected)) {
    const blob = archive.blob(name)!
    t.is((await blob.read(0, blob.size)).toString(), content, name)
  }
}

async function writeTar(path: string, mtime: number): Promise<Buffer> {
  const handle = await open(path, 'wx+')
  await fill(new TarFileWriter(handle, mtime))
  await handle.close()
  return readFileSync(path)
}

test('a tar in a file has every member, whenever it got its name', async (t) => {
  const path = join(scratch(t), 'a.tar')
  const bytes = await writeTar(path, 0)
  t.is(bytes.length % 512, 0)
  t.true(bytes.subarray(-1024).every((byte) => byte === 0))
  await expectMembers(t, path)
})

test('a tar down a pipe has the same members', async (t) => {
  const directory = scratch(t)
  const chunks: Buffer[] = []
  const archive = new TarStreamWriter(async (bytes) => void chunks.push(Buffer.from(bytes)), 0)
  await fill(archive)
  const path = join(directory, 'a.tar')
  const handle = await open(path, 'wx')
  await handle.writeFile(Buffer.concat(chunks))
  await handle.close()
  await expectMembers(t, path)
  await archive.abort()
})

test('a directory has the same members, and nothing else', async (t) => {
  const directory = scratch(t)
  const archive = new DirectoryWriter(directory)
  await fill(archive)
  await expectMembers(t, directory)
  await archive.abort()
  t.deepEqual(readdirSync(directory).toSorted(), ['between', 'blobs', 'd', 'last', 'link'])
})

test('a directory that is given up has what it had before', async (t) => {
  const directory = scratch(t)
  const before = new DirectoryWriter(directory)
  await before.write('kept', Buffer.from('old'))
  await before.finish()
  const archive = new DirectoryWriter(directory)
  await archive.write('kept', Buffer.from('new'))
  await archive.write('added', Buffer.from('new'))
  const open = await archive.start()
  await open.write(Buffer.from('new'))
  await archive.abort()
  t.deepEqual(readdirSync(directory), ['kept'])
})

test('files of a killed run are removed, and those of others are not', async (t) => {
  const directory = scratch(t)
  const killed = new DirectoryWriter(directory)
  t.teardown(() => killed.abort())
  await killed.start()
  await killed.write('kept', Buffer.from('1'))
  await killed.write('.imgtool-notes', Buffer.from('1'))
  t.is(readdirSync(directory).length, 3)
  await new DirectoryWriter(directory).removeLeftovers()
  t.deepEqual(readdirSync(directory).toSorted(), ['.imgtool-notes', 'kept'])
})

test('a header says nothing of who writes it', (t) => {
  const header = new Header(encodeHeader({name: 'a', kind: 'file', size: 5}, 1234))
  t.like(header, {
    path: 'a',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 5,
    type: 'File',
    uname: '',
    gname: '',
    cksumValid: true,
  })
  t.is(header.mtime?.getTime(), 1_234_000)
})

test('a member may have more than 8 GiB', (t) => {
  for (const size of [2 ** 33 - 1, 2 ** 33, 2 ** 40]) {
    const block = encodeHeader({name: 'a', kind: 'file', size}, 0)
    t.is(block.length, 512)
    t.is(new Header(block).size, size)
  }
})

test('a pipe is not told another size than was said', async (t) => {
  const archive = new TarStreamWriter(async () => {}, 0)
  const member = await archive.start({name: 'a', size: 2})
  await member.write(Buffer.from('1'))
  await t.throwsAsync(member.place('a'), {message: /has 1 bytes, its header says 2/})
})
