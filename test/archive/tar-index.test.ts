import test, {type ExecutionContext} from 'ava'
import {type Member, openBytes, paxOf, tarOf} from '../helpers/image.ts'
import {collect} from '../helpers/streams.ts'
import {file, gnuMagic, tar as madeTar, type SparseForm, sparseFile, sparseForms} from '../helpers/tar.ts'

/** Names of all members, and the content of the one in question. */
async function contentOf(t: ExecutionContext, members: readonly Member[] | Buffer, name: string) {
  const archive = await openBytes(t, members)
  const blob = archive.blob(name)
  return blob === undefined ? undefined : (await collect(blob.stream())).toString()
}

const sparseTar = (form: SparseForm) => madeTar(sparseFile(form, 'a', 2000, [{offset: 512, data: 'x'}]))

const long = `${'d'.repeat(120)}/${'f'.repeat(120)}`

test('finds members of every size at their place', async (t) => {
  const sizes = [0, 1, 511, 512, 513, 5000, 3_000_000]
  const members = sizes.map((size) => ({name: `m${size}`, body: Buffer.alloc(size, size % 251)}))
  const archive = await openBytes(t, members)
  t.deepEqual(
    [...archive.members.keys()],
    members.map(({name}) => name),
  )
  for (const {name, body} of members) {
    const blob = archive.blob(name)!
    t.is(blob.size, body.length)
    t.true((await collect(blob.stream())).equals(body))
    t.true((await blob.read(1, 600)).equals(body.subarray(1, 601)))
    t.is((await blob.read(body.length, 10)).length, 0)
  }
})

test('takes ./, doubled and trailing slashes off names', async (t) => {
  const archive = await openBytes(t, [
    {name: './manifest.json'},
    {name: './a//b/./c'},
    {name: 'd/', type: '5'},
    {name: '/e'},
    {name: './', type: '5'},
  ])
  t.deepEqual([...archive.members.keys()], ['manifest.json', 'a/b/c', 'd', 'e'])
  t.not(archive.blob('././manifest.json'), undefined)
})

test('reads a directory of old tars, whose type is that of a file', async (t) => {
  const archive = await openBytes(t, [
    {name: 'a/', type: '\0'},
    {name: 'b', type: '\0', body: 'x'},
  ])
  t.is(archive.members.get('a')?.kind, 'directory')
  t.is(archive.members.get('b')?.kind, 'file')
})

test('reads long names of GNU', async (t) => {
  const members = [{name: '././@LongLink', type: 'L', body: `${long}\0`}, {name: 'short', body: 'x'}, {name: 'next'}]
  t.is(await contentOf(t, members, long), 'x')
  t.is(await contentOf(t, members, 'short'), undefined)
  t.is(await contentOf(t, members, 'next'), '')
})

test('reads long link targets of GNU', async (t) => {
  const members = [
    {name: '././@LongLink', type: 'L', body: long},
    {name: 'short', body: 'x'},
    {name: '././@LongLink', type: 'K', body: long},
    {name: 'link', type: '1', link: 'short'},
  ]
  t.is(await contentOf(t, members, 'link'), 'x')
})

test('reads names, targets and sizes of PAX', async (t) => {
  const name = `${long}/ü`
  const members = [
    paxOf({path: name, size: '3', mtime: '1.5', comment: 'c'}),
    {name: 'short', body: 'abc', size: 0},
    paxOf({linkpath: name}),
    {name: 'link', type: '2', link: 'short'},
  ]
  const archive = await openBytes(t, members)
  const stored = Buffer.from(name).toString('latin1')
  t.is((await archive.blob(stored)!.read(0, 9)).toString(), 'abc')
  t.is((await archive.blob('link')!.read(0, 9)).toString(), 'abc')
})

test('takes what looks like a PAX record inside a value for a part of it', async (t) => {
  const members = [paxOf({comment: 'x\n17 path=smuggled\n', path: 'real'}), {name: 'header', body: 'x'}]
  const archive = await openBytes(t, members)
  t.deepEqual([...archive.members.keys()], ['real'])
})

test('takes a name with a line break', async (t) => {
  t.is(await contentOf(t, [paxOf({path: 'a\nb'}), {name: 'header', body: 'x'}], 'a\nb'), 'x')
})

test('keeps names that are no UTF-8 apart', async (t) => {
  const name = (byte: number) => Buffer.concat([Buffer.from('10 path='), Buffer.from([byte, 0x0a])])
  const archive = await openBytes(t, [
    {name: 'x', type: 'x', body: name(0xe9)},
    {name: 'a'},
    {name: 'x', type: 'x', body: name(0xe8)},
    {name: 'a'},
  ])
  t.deepEqual([...archive.members.keys()], ['\xe9', '\xe8'])
  t.not(archive.blob('\xe9'), undefined)
})

test('leaves the extension header to the next member only', async (t) => {
  const archive = await openBytes(t, [paxOf({path: 'a', size: '1'}), {name: 'x', body: '1'}, {name: 'b', body: '22'}])
  t.deepEqual([...archive.members.keys()], ['a', 'b'])
  t.is(archive.blob('b')?.size, 2)
})

test('applies the size of a PAX header to no other extension header', async (t) => {
  const members = [paxOf({size: '5'}), {name: 'x', type: 'L', body: 'name\0'}, {name: 'short', body: 'hello', size: 0}]
  t.is(await contentOf(t, members, 'name'), 'hello')
})

test('applies the size of a PAX header to a member of a type that nobody knows', async (t) => {
  const inner = tarOf([{name: 'hidden'}], 0)
  const members = [
    paxOf({size: `${inner.length}`}),
    {name: 'a', type: 'A', body: inner, size: 0},
    {name: 'b', body: 'x'},
  ]
  t.is(await contentOf(t, members, 'b'), 'x')
  t.is(await contentOf(t, members, 'hidden'), undefined)
})

test('ignores what a global PAX header says of names and sizes', async (t) => {
  const members = [
    paxOf({comment: 'commit', path: 'other', size: '7'}, 'g'),
    {name: 'a', body: 'x'},
    {name: 'b', body: 'yy'},
  ]
  t.is(await contentOf(t, members, 'a'), 'x')
  t.is(await contentOf(t, members, 'b'), 'yy')
})

test('reads a size in base 256', async (t) => {
  const size = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(10), Buffer.from([3])]).toString('latin1')
  t.is(await contentOf(t, [{name: 'a', body: 'abc', size}], 'a'), 'abc')
})

test('reads no content behind a link or a directory, whatever its size says', async (t) => {
  const members = [
    {name: 'a', body: 'x'},
    {name: 'l', type: '2', link: 'a', size: 512},
    {name: 'h', type: '1', link: 'a', size: 512},
    {name: 'd', type: '5', size: 512},
    {name: 'b', body: 'y'},
  ]
  const archive = await openBytes(t, members)
  t.deepEqual([...archive.members.keys()], ['a', 'l', 'h', 'd', 'b'])
})

test('takes a tar without zero blocks, with one, with many, and with anything behind two', async (t) => {
  for (const end of [0, 1, 2, 20]) t.is(await contentOf(t, tarOf([{name: 'a', body: 'x'}], end), 'a'), 'x')
  const garbage = Buffer.concat([tarOf([{name: 'a', body: 'x'}]), Buffer.from('garbage')])
  t.is(await contentOf(t, garbage, 'a'), 'x')
})

test('takes a last member without its padding', async (t) => {
  const bytes = tarOf([{name: 'a', body: 'x'}], 0).subarray(0, 513)
  t.is(await contentOf(t, bytes, 'a'), 'x')
})

const refused: readonly (readonly [string, readonly Member[] | Buffer])[] = [
  ['members behind a single zero block', Buffer.concat([tarOf([{name: 'a'}], 1), tarOf([{name: 'b'}])])],
  ['garbage where a header should be', Buffer.concat([tarOf([{name: 'a'}], 0), Buffer.alloc(1024, 0x41)])],
  ['a size that is no number', [{name: 'a', size: 'many'}]],
  ['a size with something behind it', [{name: 'a', size: '00000000001x'}]],
  ['a negative size', [{name: 'a', size: Buffer.alloc(12, 0xff).toString('latin1')}]],
  ['a size beyond all numbers', [{name: 'a', size: Buffer.from(`80${'ff'.repeat(11)}`, 'hex').toString('latin1')}]],
  ['a PAX record that is shorter than it says', [{name: 'x', type: 'x', body: '99 path=a\n'}, {name: 'a'}]],
  ['a PAX record without a line break', [{name: 'x', type: 'x', body: '9 path=ab'}, {name: 'a'}]],
  ['a PAX record without a length', [{name: 'x', type: 'x', body: 'path=a\n'}, {name: 'a'}]],
  ['a PAX record without a key', [{name: 'x', type: 'x', body: '5 =a\n'}, {name: 'a'}]],
  ['a PAX record of length 0', [{name: 'x', type: 'x', body: '0 a=b\n'}, {name: 'a'}]],
  ['a PAX path with a NUL', [paxOf({path: 'a\0b'}), {name: 'a'}]],
  ['a PAX size that is no number', [paxOf({size: '1e3'}), {name: 'a'}]],
  ['a negative PAX size', [paxOf({size: '-1'}), {name: 'a'}]],
  ['two long names for one member', [paxOf({path: 'a'}), {name: 'l', type: 'L', body: 'b'}, {name: 'c'}]],
  ['two PAX headers with a path', [paxOf({path: 'a'}), paxOf({path: 'b'}), {name: 'c'}]],
  ['two PAX headers of which each says something else', [paxOf({path: 'a'}), paxOf({linkpath: 'b'}), {name: 'c'}]],
  ['a global header behind a PAX header', [paxOf({path: 'a'}), paxOf({comment: 'c'}, 'g'), {name: 'b'}]],
  ['a global header behind a long name', [{name: 'l', type: 'L', body: 'a'}, paxOf({comment: 'c'}, 'g'), {name: 'b'}]],
  [
    'a global header behind a long target',
    [{name: 'l', type: 'K', body: 'a'}, paxOf({comment: 'c'}, 'g'), {name: 'b'}],
  ],
  ['a long name that is empty', [{name: 'l', type: 'L', body: '\0'}, {name: 'a'}]],
  ['a long name of old GNU', [{name: 'l', type: 'N', body: 'a\0'}, {name: 'b'}]],
  ['a PAX header of old Solaris', [{...paxOf({path: 'a'}), type: 'X'}, {name: 'b'}]],
  ...sparseForms.map((form) => [`a sparse file of the form ${form}`, sparseTar(form)] as const),
  ['a size that begins with a NUL', [{name: 'a', size: '\x0000000000001', body: 'x'}]],
  ['a file whose name ends in a slash', [{name: 'a/', body: 'x'}]],
  ['a prefix in a header of no version', madeTar(file('a', 'x', {magic: 'ustar\0  ', prefix: 'b'}))],
  ['a prefix in a header of GNU', madeTar(file('a', 'x', {magic: gnuMagic, prefix: 'b'}))],
]

for (const [what, members] of refused) {
  test(`refuses ${what}`, async (t) => {
    await t.throwsAsync(openBytes(t, members), {code: 'ARCHIVE_INVALID'})
  })
}

test('takes a prefix, and the times that GNU has in its place', async (t) => {
  const incremental = {magic: gnuMagic, patches: {345: '00000000001\x0000000000002\0'}}
  const archive = await openBytes(t, madeTar(file('a', 'x', {prefix: 'b'}), file('c', 'y', incremental)))
  t.deepEqual([...archive.members.keys()], ['b/a', 'c'])
})

test('says which member is a sparse file, and what to do', async (t) => {
  const error = await t.throwsAsync(openBytes(t, sparseTar('1.0')), {code: 'ARCHIVE_INVALID'})
  t.like(error, {details: {entry: 'a', hint: 'Pack the archive again without --sparse'}})
})

test('refuses a wrong checksum in the first header and in a later one', async (t) => {
  for (const at of [10, 1024 + 10]) {
    const bytes = tarOf([{name: 'a', body: 'x'}, {name: 'b'}])
    bytes.writeUInt8(0x42, at)
    await t.throwsAsync(openBytes(t, bytes), {code: 'ARCHIVE_INVALID'})
  }
})

test('sees where a tar is cut, wherever that is', async (t) => {
  const members = [
    {name: 'a', body: Buffer.alloc(1500)},
    paxOf({path: long, comment: 'c'.repeat(600)}),
    {name: 'b', body: 'x'.repeat(100)},
  ]
  const bytes = tarOf(members, 0)
  const ends = [2048, bytes.length] // behind whole members
  for (let size = 1; size < bytes.length; size += 37) {
    const padding = (size > 512 + 1500 && size < 2048) || size >= bytes.length - 512 + 100
    const open = openBytes(t, bytes.subarray(0, size))
    if (padding || ends.includes(size)) await t.notThrowsAsync(open)
    // Less than the magic of a header is not known for a tar at all.
    else await t.throwsAsync(open, {code: size < 262 ? 'FORMAT_UNKNOWN' : 'ARCHIVE_TRUNCATED'}, `${size} bytes`)
  }
  for (let size = 512; size < bytes.length; size += 512) {
    const open = openBytes(t, bytes.subarray(0, size))
    if (ends.includes(size)) await t.notThrowsAsync(open)
    else await t.throwsAsync(open, {code: 'ARCHIVE_TRUNCATED'}, `${size} bytes`)
  }
})

test('refuses more members than the limit, and extension headers longer than theirs', async (t) => {
  const many = Array.from({length: 5}, (_, n) => ({name: `m${n}`}))
  await t.notThrowsAsync(openBytes(t, many, {members: 5}))
  await t.throwsAsync(openBytes(t, many, {members: 4}), {code: 'LIMIT_EXCEEDED', message: /"members"/})
  const named = [{name: 'l', type: 'L', body: 'n'.repeat(2000)}, {name: 'a'}]
  await t.throwsAsync(openBytes(t, named, {extensionHeader: 1000}), {code: 'LIMIT_EXCEEDED'})
})

test('knows fifos, devices and unknown types, and gives no content for them', async (t) => {
  for (const type of ['3', '4', '6', 'A', 'Z']) {
    const archive = await openBytes(t, [{name: 'manifest.json', type}])
    t.is(archive.members.get('manifest.json')?.kind, 'other')
    t.throws(() => archive.blob('manifest.json'), {code: 'ARCHIVE_INVALID'})
  }
})
