import {execFileSync} from 'node:child_process'
import {readdirSync} from 'node:fs'
import {open, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import process from 'node:process'
import {gzipSync, zstdCompressSync} from 'node:zlib'
import test from 'ava'
import {openArchive} from '../../src/archive/open.ts'
import {defaultLimits} from '../../src/limits.ts'
import {fixture} from '../helpers/fixtures.ts'
import {openBytes, scratch, tarOf, writeScratch} from '../helpers/image.ts'

const bytes = tarOf([
  {name: 'a', body: 'content'},
  {name: 'b', body: Buffer.alloc(100_000, 1)},
])
const cut = (whole: Buffer) => whole.subarray(0, whole.length / 2)

test('reads a plain tar and says that it is one', async (t) => {
  const archive = await openBytes(t, bytes)
  t.is(archive.kind, 'tar')
  t.is(archive.compression, undefined)
  t.is((await archive.blob('a')!.read(0, 100)).toString(), 'content')
})

const zstd = zstdCompressSync
const skippable = Buffer.from('502a4d18040000000badcafe', 'hex')
const compressed: readonly (readonly [string, string, Buffer])[] = [
  ['gzip', 'gzip', gzipSync(bytes)],
  ['gzip of two members', 'gzip', Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))])],
  ['zstd', 'zstd', zstd(bytes)],
  [
    'zstd of several frames, one of them to be skipped',
    'zstd',
    Buffer.concat([zstd(bytes.subarray(0, 700)), skippable, zstd(bytes.subarray(700))]),
  ],
]

for (const [what, compression, content] of compressed) {
  test(`reads a tar inside ${what}`, async (t) => {
    const archive = await openBytes(t, content)
    t.is(archive.compression, compression)
    t.is((await archive.blob('a')!.read(0, 100)).toString(), 'content')
  })

  test(`refuses a tar inside ${what} that is cut or damaged`, async (t) => {
    await t.throwsAsync(openBytes(t, cut(content)), {code: 'COMPRESSION_INVALID'})
    const damaged = Buffer.from(content)
    damaged.fill(0x55, content.length - 30, content.length - 5)
    await t.throwsAsync(openBytes(t, damaged), {code: 'COMPRESSION_INVALID'})
  })
}

test('reads a tar inside xz', async (t) => {
  const archive = await openArchive(fixture('docker-20.10-shell.tar.xz'), defaultLimits)
  t.teardown(() => archive.close())
  t.is(archive.compression, 'xz')
  t.not(archive.blob('manifest.json'), undefined)
})

test('reads no more of a compressed archive than the limit', async (t) => {
  const tarLike = Buffer.alloc(5_000_000)
  tarLike.write('ustar', 257)
  const opened = openBytes(t, gzipSync(tarLike), {bytes: 1_000_000})
  await t.throwsAsync(opened, {code: 'LIMIT_EXCEEDED', message: /"bytes"/})
})

test('refuses bzip2 with the command that helps', async (t) => {
  const path = writeScratch(t, Buffer.from('425a683931415926535900000000', 'hex'), "it's.bz2")
  const error = await t.throwsAsync(openArchive(path, defaultLimits), {code: 'COMPRESSION_UNSUPPORTED'})
  const quoted = `'${path.replace("'", "'\\''")}'`
  t.like(error, {details: {hint: `Decompress it first: bzip2 -dc ${quoted}`}})
})

const head = (text: string) => Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(600, 0x20)])
const looks: readonly (readonly [string, Buffer, RegExp])[] = [
  ['an empty file', Buffer.alloc(0), /: it is empty$/],
  ['an empty file inside gzip', gzipSync(''), /: it is empty inside gzip$/],
  ['a zip file', head('PK\x03\x04'), /: it looks like a zip file, not like a saved image$/],
  ['a cpio archive', head('070701'), /: it looks like a cpio archive/],
  ['a program', head('\x7fELF'), /: it looks like a program/],
  ['a squashfs file system', head('hsqs'), /: it looks like a squashfs file system/],
  ['a Debian package', head('!<arch>\n'), /: it looks like an ar archive or Debian package/],
  ['a disk image', head('QFI\xfb'), /: it looks like a qcow2 disk image/],
  ['a JSON document', Buffer.from('{"schemaVersion": 2}'), /: it looks like a JSON document/],
  ['a JSON document inside zstd', zstd(Buffer.from('[]')), /: it looks like a JSON document inside zstd/],
  ['a short text', Buffer.from('hello'), /: it is not a tar$/],
  ['a long text', head('hello'), /: it is not a tar$/],
  ['a long text inside gzip', gzipSync(head('hello')), /: it is not a tar inside gzip$/],
  ['a gzip inside a gzip', gzipSync(gzipSync(bytes)), /: it is gzip inside gzip$/],
  ['a zstd inside a gzip', gzipSync(zstd(bytes)), /: it is zstd inside gzip$/],
]

for (const [what, content, message] of looks) {
  test(`says that it was given ${what}`, async (t) => {
    await t.throwsAsync(openBytes(t, content), {code: 'FORMAT_UNKNOWN', message})
  })
}

test('takes a tar from before POSIX, which has a checksum only', async (t) => {
  const old = tarOf([{name: 'a', body: 'content'}])
  const sum = old.subarray(0, 512).reduce((total, byte, at) => total + (at < 148 || at > 155 ? byte : 0x20), 0)
  const magic = old.subarray(257, 265).reduce((total, byte) => total + byte, 0)
  old.fill(0, 257, 265)
  old.write(`${(sum - magic).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  t.is((await (await openBytes(t, old)).blob('a')!.read(0, 100)).toString(), 'content')
})

test('names what does not exist', async (t) => {
  const missing = join(scratch(t), 'none.tar')
  const error = await t.throwsAsync(openArchive(missing, defaultLimits), {code: 'SOURCE_NOT_FOUND'})
  t.is(error?.message, `Cannot open "${missing}": no such file or directory`)
  const below = join(writeScratch(t, bytes), 'x.tar')
  await t.throwsAsync(openArchive(below, defaultLimits), {code: 'SOURCE_NOT_FOUND'})
})

test('gives errors the name of the archive', async (t) => {
  const path = writeScratch(t, 'hello')
  t.like(await t.throwsAsync(openArchive(path, defaultLimits)), {details: {archive: path}})
})

test('reads a fifo', async (t) => {
  const fifo = join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const [archive] = await Promise.all([openArchive(fifo, defaultLimits), writeFile(fifo, gzipSync(bytes))])
  t.teardown(() => archive.close())
  t.is((await archive.blob('a')!.read(0, 100)).toString(), 'content')
})

// The temporary directory and the open files are those of the whole process.
test.serial('leaves no temporary file and no open file behind', async (t) => {
  const directory = scratch(t)
  const path = writeScratch(t, gzipSync(bytes))
  const damaged = writeScratch(t, cut(gzipSync(bytes)))
  await withTmpdir(directory, async () => {
    const before = readdirSync('/proc/self/fd').length
    const archive = await openArchive(path, defaultLimits)
    t.deepEqual(readdirSync(directory), [])
    await archive.close()
    await t.throwsAsync(openArchive(damaged, defaultLimits))
    t.deepEqual(readdirSync(directory), [])
    t.is(readdirSync('/proc/self/fd').length, before)
  })
})

test.serial('says that the temporary directory is not there, and whose fault that is not', async (t) => {
  const path = writeScratch(t, gzipSync(bytes))
  const file = writeScratch(t, '')
  for (const directory of [join(scratch(t), 'none'), file, join(file, 'x')]) {
    await withTmpdir(directory, async () => {
      const error = await t.throwsAsync(openArchive(path, defaultLimits), {code: 'SYSTEM_ERROR'})
      t.true(error?.message.startsWith(`Cannot spool the archive in "${directory}": EN`))
      t.like(error, {details: {hint: 'Set TMPDIR to a directory with room for the uncompressed archive'}})
    })
  }
})

test.serial('closes a pipe when there is no temporary directory', async (t) => {
  const fifo = join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  await withTmpdir(join(scratch(t), 'none'), async () => {
    const before = readdirSync('/proc/self/fd').length
    const [, writer] = await Promise.all([
      t.throwsAsync(openArchive(fifo, defaultLimits), {code: 'SYSTEM_ERROR'}),
      open(fifo, 'w'),
    ])
    await writer.close()
    t.is(readdirSync('/proc/self/fd').length, before)
  })
})

async function withTmpdir(directory: string, work: () => Promise<void>): Promise<void> {
  const before = process.env.TMPDIR
  process.env.TMPDIR = directory
  try {
    await work()
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
}
