import {Readable} from 'node:stream'
import test from 'ava'
import fc from 'fast-check'
import {isImgtoolError} from '../../../src/errors.ts'
import {TarParser} from '../../../src/layer/tar/parser.ts'
import {defaultLimits, type Limits} from '../../../src/limits.ts'
import {type ReadEntry, Recorder, readEntries} from '../../helpers/entries.ts'
import {
  base256,
  directory,
  endOfTar,
  file,
  gnuLong,
  hardlink,
  headerBlock,
  member,
  pax,
  sparseFile,
  sparseForms,
  symlink,
  tar,
} from '../../helpers/tar.ts'

const zeroBlock = Buffer.alloc(512)
const paths = (entries: readonly ReadEntry[]) => entries.map(({entry}) => entry.path)
const pathsOf = (...members: readonly Buffer[]) => paths(readEntries(Buffer.concat(members)))

const sparse = sparseForms.map((form) =>
  sparseFile(form, `sparse-${form}`, 4000, [
    {offset: 10, data: 'x'.repeat(600)},
    {offset: 3000, data: 'end'},
  ]),
)
/** A bit of everything, small enough to be cut at every byte. */
const members = [
  directory('d/'),
  file('d/empty'),
  file('d/small', 'content'),
  file('d/block', 'b'.repeat(512)),
  Buffer.concat([gnuLong('L', `d/${'long'.repeat(40)}`), file('short', 'long')]),
  Buffer.concat([
    pax([
      ['path', 'd/\xff\n'],
      ['size', '3'],
    ]),
    file('short', 'pax', {size: 0}),
  ]),
  Buffer.concat([gnuLong('K', 't'.repeat(120)), symlink('s', 'short')]),
  hardlink('h', 'd/small'),
  ...sparse,
]
const whole = tar(...members)
const expected = readEntries(whole)

test('a tar of everything is read', (t) => {
  t.deepEqual(paths(expected), [
    'd',
    'd/empty',
    'd/small',
    'd/block',
    `d/${'long'.repeat(40)}`,
    'd/\xff\n',
    's',
    'h',
    ...sparseForms.map((form) => `sparse-${form}`),
  ])
  const contents = ['', '', 'content', 'b'.repeat(512), 'long', 'pax', '', '']
  t.deepEqual(
    expected.slice(0, 8).map(({content}) => content),
    contents,
  )
  for (const {content} of expected.slice(8))
    t.is(content, `${'\0'.repeat(10)}${'x'.repeat(600)}${'\0'.repeat(2390)}end${'\0'.repeat(997)}`)
})

test('chunks of any size give the same entries', (t) => {
  for (const size of [1, 2, 3, 511, 512, 513, 1024, 10_000]) t.deepEqual(readEntries(whole, [size]), expected)
  fc.assert(
    fc.property(fc.array(fc.integer({min: 1, max: 1500}), {minLength: 1, maxLength: 20}), (sizes) => {
      t.deepEqual(readEntries(whole, sizes), expected)
    }),
  )
})

test('a tar that is cut inside an entry is refused, one that is cut between two gives those before', (t) => {
  const ends = members.map((_, at) => Buffer.concat(members.slice(0, at + 1)).length)
  const oneZeroBlock = ends.at(-1)! + 512
  const between = new Set([0, ...ends, oneZeroBlock])
  for (let length = 0; length < whole.length; length++) {
    const complete = ends.filter((end) => end <= length).length
    const entries = entriesOrCode(whole.subarray(0, length))
    if (between.has(length)) t.deepEqual(entries, expected.slice(0, complete), `cut at ${length}`)
    // The padding of the last entry may be missing.
    else if (entries !== 'TAR_TRUNCATED') t.deepEqual(entries, expected.slice(0, complete + 1), `cut at ${length}`)
  }
})

test('the padding of the last entry may be missing, that of others not', (t) => {
  const bare = (name: string) => member({name}, 'abc', {padded: false})
  t.deepEqual(pathsOf(bare('a')), ['a'])
  t.throws(() => pathsOf(bare('a'), file('b', 'x'.repeat(600)), endOfTar), {code: 'TAR_INVALID'})
})

test('any changed byte gives an error with a code, or entries', (t) => {
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({min: 1, max: 255}), (at, flip) => {
      const changed = Buffer.from(whole)
      changed[at]! ^= flip
      t.notThrows(() => entriesOrCode(changed))
    }),
    {numRuns: 2000},
  )
})

test('any header with a right checksum gives an error with a code, or entries', (t) => {
  const field = fc.oneof(
    fc.integer({min: -2000, max: 2000}),
    fc.maxSafeInteger(),
    fc.constantFrom(...[-512, -1024, -1536].map((value) => base256(BigInt(value), 12))),
    fc.string({maxLength: 12}),
  )
  const header = fc.record({
    name: fc.string({maxLength: 100}),
    size: field,
    type: fc.constantFrom(...'01234567xgLKSVZ'),
    link: fc.string({maxLength: 100}),
    magic: fc.constantFrom('ustar\x0000', 'ustar  \0', ''),
    deviceMajor: field,
    uid: field,
    patches: fc.record({
      386: fc.string({maxLength: 24}),
      482: fc.constantFrom('\0', '\x01'),
      483: fc.string({maxLength: 12}),
    }),
  })
  const block = fc.oneof(header.map(headerBlock), fc.constantFrom(zeroBlock, file('f', 'x'), pax([['path', 'p']])))
  fc.assert(
    fc.property(fc.array(block, {maxLength: 6}), (blocks) => {
      t.notThrows(() => entriesOrCode(Buffer.concat(blocks)))
    }),
    {numRuns: 1000},
  )
})

for (const [title, bytes, code] of [
  ['text', Buffer.from('hello\n'.repeat(200)), 'TAR_INVALID'],
  ['a zip', Buffer.from('PK\x03\x04'.padEnd(600, 'x')), 'TAR_INVALID'],
  ['less than a block', Buffer.from('hello'), 'TAR_TRUNCATED'],
  ['less than a block of zeros', Buffer.alloc(100), 'TAR_TRUNCATED'],
] as const) {
  test(`${title} is refused`, (t) => void t.throws(() => readEntries(bytes), {code}))
}

test('nothing, one zero block and many are an empty tar', (t) => {
  for (const blocks of [0, 1, 2, 20]) t.deepEqual(pathsOf(Buffer.alloc(512 * blocks)), [])
})

test('the zero blocks at the end may be missing', (t) => t.deepEqual(pathsOf(file('a', 'x')), ['a']))

test('what follows the end is ignored', (t) => {
  t.deepEqual(pathsOf(file('a'), endOfTar, file('b')), ['a'])
  t.deepEqual(pathsOf(file('a'), endOfTar, Buffer.from('garbage')), ['a'])
})

test('an entry behind a single zero block is refused: readers would see two trees', (t) => {
  t.throws(() => pathsOf(file('a'), zeroBlock, file('b'), endOfTar), {code: 'TAR_INVALID'})
})

for (const [title, ...blocks] of [
  ['two PAX headers', pax([['path', 'a']]), pax([['path', 'b']]), file('x')],
  ['two GNU names', gnuLong('L', 'a'), gnuLong('L', 'b'), file('x')],
  ['two GNU link names', gnuLong('K', 'a'), gnuLong('K', 'b'), symlink('x', 'y')],
  ['a GNU name and a PAX header', gnuLong('L', 'a'), pax([['path', 'b']]), file('x')],
  ['a PAX header and a GNU name', pax([['path', 'b']]), gnuLong('L', 'a'), file('x')],
  ['a PAX header and a GNU link name', pax([['path', 'b']]), gnuLong('K', 'a'), symlink('x', 'y')],
] as const) {
  test(`${title} before one entry are refused`, (t) => {
    t.throws(() => pathsOf(...blocks, endOfTar), {code: 'TAR_INVALID'})
  })
}

test('a GNU name and a GNU link name belong to one entry, in any order', (t) => {
  for (const names of [
    [gnuLong('L', 'a'), gnuLong('K', 'b')],
    [gnuLong('K', 'b'), gnuLong('L', 'a')],
  ]) {
    const [only] = readEntries(tar(...names, symlink('x', 'y')))
    t.like(only!.entry, {path: 'a', link: 'b'})
  }
})

test('extension headers speak of the next entry only', (t) => {
  const bytes = tar(
    pax([
      ['path', 'a'],
      ['uid', '5'],
      ['SCHILY.xattr.user.x', 'y'],
    ]),
    file('x'),
    file('b'),
  )
  const [, second] = readEntries(bytes)
  t.like(second!.entry, {path: 'b', uid: 0})
  t.is(second!.entry.xattrs.size, 0)
})

for (const type of ['x', 'L', 'K']) {
  test(`a tar that ends behind an extension header of type ${type} is refused`, (t) => {
    const header = type === 'x' ? pax([['path', 'a']]) : gnuLong(type as 'L' | 'K', 'a')
    t.throws(() => pathsOf(header), {code: 'TAR_TRUNCATED'})
    t.throws(() => pathsOf(header, endOfTar), {code: 'TAR_INVALID'})
  })
}

const global = pax(
  [
    ['path', 'global'],
    ['uid', '9'],
    ['size', '700'],
    ['GNU.sparse.major', '1'],
  ],
  'g',
)

test('records of global headers are ignored', (t) => {
  const [only, ...more] = readEntries(tar(global, global, pax([['path', 'a']]), file('x', 'abc'), global))
  t.like(only, {entry: {path: 'a', uid: 0}, content: 'abc'})
  t.deepEqual(more, [])
  t.deepEqual(pathsOf(member({name: 'g', type: 'g'}, 'no record at all'), file('a')), ['a'])
})

for (const [type, header] of [
  ['x', pax([['path', 'a']])],
  ['L', gnuLong('L', 'a')],
  ['K', gnuLong('K', 'a')],
] as const) {
  test(`a global header between an extension header of type ${type} and its entry is refused, because docker forgets it`, (t) => {
    t.throws(() => pathsOf(header, global, file('x')), {code: 'TAR_INVALID', message: /global header/})
  })
}

test('a PAX size is not that of a GNU name in between', (t) => {
  const bytes = tar(pax([['size', '2048']]), gnuLong('L', 'smuggled'), file('x', 'y'.repeat(2048)))
  t.throws(() => readEntries(bytes), {code: 'TAR_INVALID'})
})

test('a PAX size decides where the next header is', (t) => {
  const inner = tar(file('smuggled'))
  const padded = file('outer', inner, {size: 0})
  t.deepEqual(pathsOf(pax([['size', String(inner.length)]]), padded, file('next'), endOfTar), ['outer', 'next'])
})

test('volume labels are no entries', (t) => {
  t.deepEqual(pathsOf(member({name: 'label', type: 'V'}), file('a')), ['a'])
  t.deepEqual(pathsOf(member({name: 'label', type: 'V'}, 'abc'), file('a')), ['a'])
})

for (const type of [...'0VxgLKS']) {
  test(`a negative size of the type ${type} is refused, instead of reading the header again`, (t) => {
    for (const size of [-1, -511, -512, -1024, -1536, -(2 ** 40)])
      t.throws(() => pathsOf(file('a'), headerBlock({name: 'b', type, size}), file('c'), endOfTar), {
        code: 'TAR_INVALID',
      })
  })
}

test('an extension header before a volume label is refused: readers apply it to different entries', (t) => {
  const bytes = tar(pax([['path', 'a']]), member({name: 'label', type: 'V'}), file('x'))
  t.throws(() => readEntries(bytes), {code: 'TAR_INVALID'})
})

for (const type of ['x', 'g', 'L', 'K']) {
  test(`an extension header of type ${type} beyond the limit is refused by its claim`, (t) => {
    const claims = headerBlock({name: 'x', type, size: 2 ** 30})
    t.throws(() => pathsOf(claims), {code: 'LIMIT_EXCEEDED'})
    t.throws(() => readEntries(member({name: 'x', type}, 'y'.repeat(11)), undefined, {extensionHeader: 10}), {
      code: 'LIMIT_EXCEEDED',
    })
  })
}

test('a claim costs no memory before the bytes are there', (t) => {
  const parser = new TarParser(new Recorder(), {...defaultLimits, extensionHeader: 2 ** 50})
  parser.write(headerBlock({name: 'x', type: 'x', size: 2 ** 50}))
  parser.write(Buffer.from('12 path='))
  t.throws(() => parser.finish(), {code: 'TAR_TRUNCATED'})
})

test('errors name the entry', (t) => {
  const error = t.throws(() => pathsOf(file('first'), headerBlock({name: 'second', size: 5}), Buffer.from('abc')))
  t.like(error, {code: 'TAR_TRUNCATED', details: {entry: 'second'}})
  t.like(
    t.throws(() => pathsOf(file('bad', '', {uid: 2 ** 40}))),
    {code: 'ENTRY_INVALID', details: {entry: 'bad'}},
  )
})

test('the callback is called once an entry, and may end the reading', (t) => {
  let entries = 0
  const count = (limit: number) => () => {
    if (++entries > limit) throw new RangeError('enough')
  }
  new TarParser(new Recorder(), defaultLimits, count(100)).write(whole)
  t.is(entries, expected.length)
  entries = 0
  t.throws(() => new TarParser(new Recorder(), defaultLimits, count(3)).write(whole), {instanceOf: RangeError})
})

test('contents that are passed over leave the entries as they are', (t) => {
  const recorder = new Recorder()
  const parser = new TarParser(recorder, defaultLimits)
  let passed = 0
  for (let at = 0; at < whole.length && !parser.hasEnded; ) {
    const chunk = whole.subarray(at, at + 16)
    parser.write(chunk)
    at += chunk.length + parser.skippable
    passed += parser.skippable
    parser.skip()
  }
  parser.finish()
  t.true(parser.hasEnded)
  t.true(passed > 3000)
  t.deepEqual(
    recorder.entries.map(({entry}) => entry),
    expected.map(({entry}) => entry),
  )
})

test('a million headers of padding cost time in proportion', async (t) => {
  t.timeout(20_000)
  const recorder = new Recorder()
  const parser = new TarParser(recorder, defaultLimits)
  const label = member({name: 'label', type: 'V'})
  for await (const chunk of Readable.from(Array.from({length: 100_000}, () => label))) parser.write(chunk as Buffer)
  parser.finish()
  t.deepEqual(recorder.entries, [])
})

function entriesOrCode(bytes: Buffer, limits: Partial<Limits> = {}): ReadEntry[] | string {
  try {
    return readEntries(bytes, undefined, limits)
  } catch (error) {
    if (isImgtoolError(error)) return error.code
    throw error
  }
}
