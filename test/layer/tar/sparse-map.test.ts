import test from 'ava'
import fc from 'fast-check'
import type {Limits} from '../../../src/limits.ts'
import {readEntries} from '../../helpers/entries.ts'
import {
  base256,
  type Field,
  file,
  oldGnuFile,
  pax,
  repeatedNumbers,
  sparseFile,
  sparseForms,
  sparseRecords,
  tar,
} from '../../helpers/tar.ts'

const only = (bytes: Buffer, limits: Partial<Limits> = {}) => {
  const [first, ...rest] = readEntries(tar(bytes, file('next')), undefined, limits)
  if (rest.length !== 1 || rest[0]!.entry.path !== 'next') throw new Error('the next entry was not found')
  return first!
}

interface Layout {
  readonly pieces: readonly {readonly offset: number; readonly data: string}[]
  readonly size: number
}

const run = fc.record({hole: fc.nat(3000), data: fc.stringMatching(/^[a-z]{1,700}$/)})
const layout = fc.tuple(fc.array(run, {maxLength: 60}), fc.nat(2000)).map(([runs, tail]): Layout => {
  let size = 0
  const pieces = runs.map(({hole, data}) => {
    const offset = size + hole
    size = offset + data.length
    return {offset, data}
  })
  return {pieces, size: size + tail}
})

for (const form of sparseForms) {
  test(`a sparse file in the form ${form} is what it was made of`, (t) => {
    fc.assert(
      fc.property(layout, ({pieces, size}) => {
        const {entry, content} = only(sparseFile(form, 'sparse', size, pieces))
        const file = Buffer.alloc(size)
        for (const {offset, data} of pieces) file.write(data, offset)
        t.like(entry, {path: 'sparse', kind: 'file', size})
        t.deepEqual(
          entry.pieces,
          pieces.map(({offset, data}) => ({offset, length: data.length})),
        )
        t.is(content, file.toString('latin1'))
      }),
      {numRuns: 50},
    )
  })

  test(`a file of the form ${form} that is one hole has no pieces`, (t) => {
    t.like(only(sparseFile(form, 's', 1_000_000, [])).entry, {size: 1_000_000, pieces: []})
  })

  test(`an empty piece that marks the end in the form ${form} is left out`, (t) => {
    const pieces = [
      {offset: 0, data: 'abc'},
      {offset: 5000, data: ''},
    ]
    t.deepEqual(only(sparseFile(form, 's', 5000, pieces)).entry.pieces, [{offset: 0, length: 3}])
  })

  test(`a sparse file of the form ${form} may be as large as the limit`, (t) => {
    const bytes = sparseFile(form, 's', 2 ** 40, [{offset: 2 ** 40 - 3, data: 'end'}])
    t.is(only(bytes).entry.size, 2 ** 40)
    t.throws(() => only(bytes, {sparseSize: 2 ** 40 - 1}), {code: 'LIMIT_EXCEEDED'})
  })

  test(`a sparse file of the form ${form} may have as many pieces as the limit`, (t) => {
    const pieces = Array.from({length: 50}, (_, at) => ({offset: at * 10, data: 'x'}))
    t.is(only(sparseFile(form, 's', 1000, pieces), {sparsePieces: 50}).entry.pieces?.length, 50)
    t.throws(() => only(sparseFile(form, 's', 1000, pieces), {sparsePieces: 49}), {code: 'LIMIT_EXCEEDED'})
  })
}

/** Pieces as they must not be, in every form: offset, length, offset, length... */
const badMaps: readonly (readonly [title: string, size: number, numbers: readonly number[], stored: number])[] = [
  ['overlaps', 100, [0, 10, 5, 10], 20],
  ['goes back', 100, [50, 10, 0, 10], 20],
  ['leaves the file', 100, [95, 10], 10],
  ['begins behind the file', 100, [200, 10], 10],
  ['has less than is stored', 100, [0, 10], 11],
  ['has more than is stored', 100, [0, 10], 9],
  ['has nothing of what is stored', 100, [], 5],
  ['ends beyond what can be counted', 2 ** 44, [Number.MAX_SAFE_INTEGER, 10], 10],
]

for (const [title, size, numbers, stored] of badMaps) {
  test(`a map that ${title} is refused in every form`, (t) => {
    const data = 'x'.repeat(stored)
    const version = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', String(size)],
    ] as const
    const ended = numbers.length === 0 ? [0, 0] : numbers
    const list = [numbers.length / 2, ...numbers].map((number) => `${number}\n`).join('')
    const forms = {
      gnu: oldGnuFile('s', size, numbers, data),
      '0.0': Buffer.concat([pax([...sparseRecords(size, ended), ...repeatedNumbers(ended)]), file('s', data)]),
      '0.1': Buffer.concat([
        pax([...sparseRecords(size, ended), ['GNU.sparse.map', ended.join(',')]]),
        file('s', data),
      ]),
      '1.0': Buffer.concat([pax(version), file('s', list.padEnd(512, '\0') + data)]),
    }
    for (const [form, bytes] of Object.entries(forms)) t.throws(() => only(bytes), {code: 'TAR_INVALID'}, form)
  })
}

const negative = (value: number): Field => base256(BigInt(value), 12)

for (const [title, size, numbers, stored] of [
  ['length', 1024, [0, negative(-512), 0, 1024], 512],
  ['length alone', 1024, [512, negative(-512)], 0],
  ['offset', 1024, [negative(-512), 512], 512],
  ['size', negative(-1), [], 0],
] as const) {
  test(`a negative ${title} in an old GNU map is refused`, (t) => {
    t.throws(() => only(oldGnuFile('s', size, numbers, 'x'.repeat(stored))), {code: 'TAR_INVALID'})
  })
}

test('an old GNU map that goes on for ever is refused', (t) => {
  const header = oldGnuFile('s', 100, [], '').subarray(0, 512)
  const changed = oldGnuFile('s', 100, [0, 1, 2, 1, 4, 1, 6, 1, 8, 1], 'xxxxx').subarray(0, 512)
  t.is(header.length, changed.length)
  const extension = Buffer.alloc(512)
  extension[504] = 1
  t.throws(() => readEntries(Buffer.concat([changed, extension, extension])), {code: 'TAR_INVALID'})
  extension.write('00000000010\x0000000000000\0', 0, 'latin1')
  const many = Buffer.concat([changed, ...Array.from({length: 100}, () => extension)])
  t.throws(() => readEntries(many, undefined, {sparsePieces: 50}), {code: 'LIMIT_EXCEEDED'})
  t.throws(() => readEntries(many), {code: 'TAR_TRUNCATED'})
})

for (const [title, content, code] of [
  ['without a number', 'garbage\n', 'TAR_INVALID'],
  ['with a negative number', '-1\n', 'TAR_INVALID'],
  ['with a number in hexadecimal', '0x1\n0\n1\n', 'TAR_INVALID'],
  ['with an empty line', '1\n\n1\n', 'TAR_INVALID'],
  ['with more pieces than the limit', '1000000000\n', 'LIMIT_EXCEEDED'],
  ['that ends too early', '2\n0\n1\n', 'TAR_INVALID'],
  ['of one long line', '1'.repeat(2000), 'TAR_INVALID'],
] as const) {
  test(`a map in the content ${title} is refused`, (t) => {
    const head = pax([
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', '100'],
    ])
    const padded = content.padEnd(Math.ceil(content.length / 512) * 512, '\0')
    t.throws(() => only(Buffer.concat([head, file('s', padded)])), {code})
  })
}

test('a map in the content of a file without content is refused', (t) => {
  const head = pax([
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.realsize', '100'],
  ])
  t.throws(() => only(Buffer.concat([head, file('s')])), {code: 'TAR_INVALID'})
})

const version = [
  ['GNU.sparse.major', '1'],
  ['GNU.sparse.minor', '0'],
] as const
const [major, minor] = version
const size = ['GNU.sparse.size', '10'] as const
const realSize = ['GNU.sparse.realsize', '10'] as const
const name = ['GNU.sparse.name', 'other'] as const
const map = ['GNU.sparse.map', '0,3,10,0'] as const
const repeated = repeatedNumbers([0, 3, 10, 0])
const blocks = ['GNU.sparse.numblocks', '2'] as const

/** What is stored is right for the map in the records, or else for the one in the content. */
for (const [title, records, content = 'abc'] of [
  ['an unknown version', [['GNU.sparse.major', '2'], minor, realSize]],
  ['an unknown minor version', [major, ['GNU.sparse.minor', '1'], realSize]],
  ['version 0 written out', [['GNU.sparse.major', '0'], ['GNU.sparse.minor', '1'], size, blocks, map]],
  ['a major version without a minor one', [major, realSize], '0\n'.padEnd(512, '\0')],
  ['an emptied minor version', [...version, ['GNU.sparse.minor', ''], realSize], '0\n'.padEnd(512, '\0')],
  ['a minor version without a major one', [minor, size, blocks, map]],
  ['version 1 without a size', [...version], '0\n'.padEnd(512, '\0')],
  ['version 1 and two sizes', [...version, ['GNU.sparse.size', '11'], realSize], '0\n'.padEnd(512, '\0')],
  ['version 1 and a map', [...version, realSize, map], '0\n'.padEnd(512, '\0')],
  ['version 1 and a repeated map', [...version, realSize, ...repeated], '0\n'.padEnd(512, '\0')],
  ['version 1 and a number of pieces', [...version, realSize, blocks], '0\n'.padEnd(512, '\0')],
  ['a name alone', [name]],
  ['a size alone', [size]],
  ['a size and a number of pieces', [size, blocks]],
  ['a size and an emptied map', [size, ['GNU.sparse.numblocks', '0'], ['GNU.sparse.map', '']], ''],
  ['a map without a size', [blocks, map]],
  ['a map without a number of pieces', [size, map]],
  ['a repeated map without a number of pieces', [size, ...repeated]],
  ['a map and another number of pieces', [size, ['GNU.sparse.numblocks', '1'], map]],
  ['a map and a number of pieces that is none', [size, ['GNU.sparse.numblocks', '2.0'], map]],
  ['a map and two sizes', [size, ['GNU.sparse.realsize', '11'], blocks, map]],
  ['two maps', [size, blocks, map, ...repeated]],
  ['lengths before offsets', [size, blocks, repeated[1]!, repeated[0]!, ...repeated.slice(2)]],
  ['offsets, then lengths', [size, blocks, repeated[0]!, repeated[2]!, repeated[1]!, repeated[3]!]],
  ['an odd number of numbers', [size, blocks, ['GNU.sparse.map', '0,3,10']]],
  ['a map that is no list', [size, ['GNU.sparse.numblocks', '1'], ['GNU.sparse.map', 'a,b']]],
  ['a size that is no number', [['GNU.sparse.size', '1e3'], blocks, map]],
  ['a size beyond 2^53-1', [['GNU.sparse.size', '99999999999999999999'], blocks, map]],
] as readonly (readonly [string, readonly (readonly [string, string])[], string?])[]) {
  test(`PAX records with ${title} are refused`, (t) => {
    t.throws(() => only(Buffer.concat([pax(records), file('s', content)])), {code: 'TAR_INVALID'})
  })
}

for (const [title, records] of [
  ['a map', [size, blocks, map]],
  ['a repeated map', [size, blocks, ...repeated]],
  ['the size of version 1', [realSize, blocks, map]],
  ['one size twice', [size, realSize, blocks, map]],
  ['the last of two sizes', [['GNU.sparse.size', '11'], size, blocks, map]],
] as readonly (readonly [string, readonly (readonly [string, string])[]])[]) {
  test(`PAX records with ${title} describe a sparse file`, (t) => {
    const {entry, content} = only(Buffer.concat([pax([name, ...records]), file('s', 'abc')]))
    t.like(entry, {path: 'other', size: 10, pieces: [{offset: 0, length: 3}]})
    t.is(content, 'abc'.padEnd(10, '\0'))
  })
}

test('a map in a header and one in PAX records are refused', (t) => {
  for (const records of [[name], [size, blocks, map], [...version, realSize]])
    t.throws(() => only(Buffer.concat([pax(records), oldGnuFile('s', 10, [0, 3], 'abc')])), {code: 'TAR_INVALID'})
})

test('PAX records of a sparse file that no reader knows are ignored', (t) => {
  t.like(only(Buffer.concat([pax([['GNU.sparse.other', '1']]), file('s', 'abc')])).entry, {path: 's', size: 3})
})
