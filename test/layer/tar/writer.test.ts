import {execFileSync} from 'node:child_process'
import {lstatSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import fc from 'fast-check'
import type {Entry} from '../../../src/layer/tar/entry.ts'
import type {SparsePiece} from '../../../src/layer/tar/sparse.ts'
import {encodeEntry, startZeros, TarWriter} from '../../../src/layer/tar/writer.ts'
import {endOfTar} from '../../../src/tar/blocks.ts'
import {readEntries} from '../../helpers/entries.ts'
import {entry, scratch} from '../../helpers/layers.ts'

interface Written {
  readonly entry: Entry
  /** Of a file, holes filled with zeros; bytes as latin1. */
  readonly content: string
}

/** A tar of entries, whose contents come in chunks of some bytes. */
function write(entries: readonly Written[], chunkSize = 1000, zeros = startZeros()): Buffer {
  const parts: Buffer[] = []
  const writer = new TarWriter((bytes) => parts.push(Buffer.from(bytes)), zeros)
  for (const {entry: one, content} of entries) {
    const bytes = Buffer.from(content, 'latin1')
    writer.entry(one)
    for (const {offset, length} of one.pieces ?? [{offset: 0, length: bytes.length}]) {
      for (let at = offset; at < offset + length; at += chunkSize) {
        writer.data(bytes.subarray(at, Math.min(at + chunkSize, offset + length)), at)
      }
    }
    writer.end()
  }
  return Buffer.concat([...parts, endOfTar])
}

const byteString = (minLength: number, maxLength: number) =>
  fc.uint8Array({minLength, maxLength}).map((bytes) => Buffer.from(bytes).toString('latin1'))
const withoutNUL = (minLength: number, maxLength: number) =>
  byteString(minLength, maxLength).map((text) => text.replaceAll('\0', 'o'))
const component = (maxLength: number) =>
  withoutNUL(1, maxLength)
    .map((text) => text.replaceAll('/', '|'))
    .filter((text) => text !== '.' && text !== '..')
const path = fc
  .oneof(
    fc.array(component(12), {minLength: 1, maxLength: 4}),
    fc.array(component(130), {minLength: 1, maxLength: 3}),
    fc.integer({min: 90, max: 110}).map((length) => ['n'.repeat(length)]),
    fc
      .tuple(fc.integer({min: 150, max: 160}), fc.integer({min: 95, max: 105}))
      .map(([a, b]) => ['p'.repeat(a), 'n'.repeat(b)]),
  )
  .map((names) => names.join('/'))
const id = fc.oneof(fc.nat(70_000), fc.constantFrom(2 ** 21 - 1, 2 ** 21, 2 ** 32 - 2))
const mtime = fc.record({
  seconds: fc.oneof(fc.nat(2_000_000_000), fc.constantFrom(-1, -2, 8 ** 11 - 1, 8 ** 11), fc.maxSafeInteger()),
  nanoseconds: fc.oneof(fc.constant(0), fc.constantFrom(1, 100_000_000, 999_999_999), fc.nat(999_999_999)),
})
const xattrs = fc
  .array(
    fc.tuple(
      withoutNUL(1, 20).map((name) => `user.${name.replaceAll('=', '-')}`),
      byteString(1, 40),
    ),
    {maxLength: 3},
  )
  .map((pairs) => new Map(pairs))
const plain = {size: 0, link: '', deviceMajor: 0, deviceMinor: 0}
const common = {mode: fc.nat(0o7777), uid: id, gid: id, mtime, xattrs}

const file = fc
  .record({path, ...common, content: byteString(0, 1500)})
  .map(({content, ...rest}): Written => ({entry: {...plain, ...rest, kind: 'file', size: content.length}, content}))
const withoutContent = fc
  .oneof(
    fc.record({kind: fc.constant('directory' as const), path: fc.oneof(path, fc.constant('')), ...common}),
    fc.record({kind: fc.constant('fifo' as const), path, ...common}),
    fc.record({kind: fc.constant('symlink' as const), path, link: withoutNUL(1, 150), ...common}),
    fc.record({kind: fc.constant('hardlink' as const), path, link: path, ...common}),
    fc.record({
      kind: fc.constantFrom('character' as const, 'block' as const),
      path,
      deviceMajor: fc.nat(0xfff),
      deviceMinor: fc.nat(0xfffff),
      ...common,
    }),
  )
  .map((what): Written => ({entry: {...plain, ...what}, content: ''}))

test('what is written is read again as it was', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(file, withoutContent), {maxLength: 5}),
      fc.integer({min: 1, max: 2000}),
      (entries, size) => {
        t.deepEqual(readEntries(write(entries, size)), entries)
      },
    ),
  )
})

const holes = fc.array(fc.tuple(fc.nat(100_000), fc.integer({min: 1, max: 3000})), {maxLength: 8})

/** A file with these holes and runs of data, and a hole at its end. */
function sparse(runs: readonly (readonly [hole: number, data: number])[], tail: number): Written {
  const pieces: SparsePiece[] = []
  let content = ''
  for (const [hole, length] of runs) {
    pieces.push({offset: content.length + hole, length})
    content += '\0'.repeat(hole) + 'x'.repeat(length)
  }
  content += '\0'.repeat(tail)
  return {entry: entry({path: 'd/sparse', size: content.length, pieces}), content}
}

test('a file with few holes is written with its zeros', (t) => {
  fc.assert(
    fc.property(holes, fc.nat(1000), (runs, tail) => {
      const {entry: one, content} = sparse(runs, tail)
      const {pieces: _, ...whole} = one
      t.deepEqual(readEntries(write([{entry: one, content}])), [{entry: whole, content}])
    }),
  )
})

test('holes are written as zeros as long as there may be more of these', (t) => {
  const zeros = {left: 5 << 20}
  const {entry: one, content} = sparse([[2 << 20, 1]], 0)
  const bytes = write(
    [1, 2, 3].map(() => ({entry: one, content})),
    1000,
    zeros,
  )
  const {pieces: _, ...whole} = one
  const [first, second, third] = readEntries(bytes)
  for (const {entry: read} of [first!, second!]) t.deepEqual(read, whole)
  t.truthy(third!.entry.pieces)
  t.is(zeros.left, 1 << 20)
  t.is(first!.content, content.slice(0, 1 << 20))
})

test('a file with large holes keeps them where there may be no more zeros', (t) => {
  fc.assert(
    fc.property(holes, fc.constantFrom(0, 5000), (runs, tail) => {
      const large = sparse([[1 << 20, 1], ...runs], tail)
      const bytes = write([large], 1000, {left: 0})
      t.true(bytes.length < 100_000)
      const [read] = readEntries(bytes)
      const {pieces = [], ...facts} = read!.entry
      t.deepEqual({...facts, pieces: large.entry.pieces}, large.entry)
      t.is(read!.content, large.content.slice(0, 1 << 20))
      // Whatever readers think of blocks.
      for (const {offset, length} of pieces.slice(0, -1)) t.deepEqual([offset % 512, length % 512], [0, 0])
    }),
    {numRuns: 20},
  )
})

test('sizes beyond what a field can say are records', (t) => {
  const size = 8 ** 11
  const head = encodeEntry(entry({path: 'huge', size}))
  t.is(head.length, 3 * 512)
  t.true(head.includes('19 size=8589934592\n'))
  t.is(encodeEntry(entry({path: 'large', size: size - 1, mtime: {seconds: 1, nanoseconds: 0}})).length, 512)
})

test('an ordinary entry is one header of ustar, always the same', (t) => {
  const one = entry({path: `${'d'.repeat(155)}/${'f'.repeat(100)}`, mtime: {seconds: 1, nanoseconds: 0}})
  const head = encodeEntry(one)
  t.is(head.length, 512)
  t.is(head.toString('latin1', 257, 265), 'ustar\x0000')
  t.deepEqual(encodeEntry({...one}), head)
})

/** What three other readers must understand, with names of every length and kind. */
const sample: readonly Written[] = [
  {entry: entry({path: '', kind: 'directory', uid: 0, gid: 0}), content: ''},
  {entry: entry({path: 'd', kind: 'directory', mode: 0o1777}), content: ''},
  {entry: entry({path: 'd/plain', size: 5, mode: 0o4755}), content: 'plain'},
  {entry: entry({path: `d/${'l'.repeat(99)}`, size: 1}), content: '1'},
  {entry: entry({path: `${'p'.repeat(150)}/${'s'.repeat(90)}`, size: 1}), content: '2'},
  {entry: entry({path: `${'q'.repeat(200)}/${'s'.repeat(200)}`, size: 1}), content: '3'},
  {entry: entry({path: 'd/old', size: 1, mtime: {seconds: -2, nanoseconds: 500_000_000}}), content: '4'},
  {entry: entry({path: 'd/owned', uid: 3_000_000, gid: 4_294_967_294}), content: ''},
  {entry: entry({path: 'd/link', kind: 'symlink', link: 't'.repeat(150)}), content: ''},
  {entry: entry({path: 'd/hard', kind: 'hardlink', link: 'd/plain'}), content: ''},
  {entry: entry({path: 'd/fifo', kind: 'fifo'}), content: ''},
  {entry: entry({path: 'd/null', kind: 'character', deviceMajor: 1, deviceMinor: 3}), content: ''},
  {entry: entry({path: 'd/attributes', xattrs: new Map([['user.x', 'a=b\0\xff']])}), content: ''},
  sparse(
    [
      [1 << 20, 10],
      [2 << 20, 600],
    ],
    3 << 20,
  ),
]
const names = sample.map(({entry: {path: at, kind}}) => (kind === 'directory' ? `${at || '.'}/` : at))

function isThere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], {stdio: 'ignore'})
    return true
  } catch {
    return false
  }
}

const withProgram = (program: string) => (isThere(program) ? test : test.skip)

function writeSample(t: ExecutionContext, entries = sample): string {
  const archive = join(scratch(t), 'sample.tar')
  writeFileSync(archive, write(entries, 1000, {left: 0}))
  return archive
}

const lines = (program: string, ...words: string[]) =>
  execFileSync(program, words, {encoding: 'latin1', env: {...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC'}})
    .split('\n')
    .slice(0, -1)

/** Into a file: to standard output GNU tar writes no hole. */
function extractSparse(program: string, archive: string): string {
  execFileSync(program, ['-xf', archive, '-C', dirname(archive), 'd/sparse'], {stdio: 'ignore'})
  return readFileSync(join(dirname(archive), 'd/sparse'), 'latin1')
}

withProgram('tar')('GNU tar reads it', (t) => {
  const archive = writeSample(t)
  t.deepEqual(lines('tar', '-tf', archive, '--quoting-style=literal'), names)
  const listed = lines('tar', '-tvf', archive, '--full-time', '--numeric-owner')
  // It shows times before 1970 a second late, and sets them right.
  execFileSync('tar', ['-xf', archive, '-C', dirname(archive), 'd/old'], {stdio: 'ignore'})
  t.is(lstatSync(join(dirname(archive), 'd/old')).mtimeMs, -1500)
  t.regex(listed[7]!, /3000000\/4294967294/)
  t.is(extractSparse('tar', archive), sample.at(-1)!.content)
})

withProgram('bsdtar')('bsdtar reads it', (t) => {
  const archive = writeSample(t)
  t.deepEqual(lines('bsdtar', '-tf', archive), names)
  t.is(extractSparse('bsdtar', archive), sample.at(-1)!.content)
})

withProgram('python3')('Python reads it', (t) => {
  const program = `
import sys, tarfile
for member in tarfile.open(sys.argv[1]):
    print(member.name, member.size, member.uid, member.gid, member.mtime, member.linkname)
`
  const expected = sample.map(
    ({
      entry: {
        path: at,
        size,
        uid,
        gid,
        mtime: {seconds, nanoseconds},
        link,
      },
    }) => [at || '.', size, uid, gid, seconds + nanoseconds / 1e9, link].join(' '),
  )
  t.deepEqual(lines('python3', '-c', program, writeSample(t)), expected)
})

withProgram('tar')('names that are not UTF-8 stay what they are, however long', (t) => {
  const odd = ['\xff\xfe', `long-${'\xe9'.repeat(200)}`]
  const archive = writeSample(
    t,
    odd.map((at) => ({entry: entry({path: at}), content: ''})),
  )
  t.deepEqual(lines('tar', '-tf', archive, '--quoting-style=literal'), odd)
})
