import {gzipSync} from 'node:zlib'
import test from 'ava'
import {isImgtoolError} from '../../src/errors.ts'
import {defaultLimits, type Limits} from '../../src/limits.ts'
import {type Content, LayerTar} from '../../src/store/layer-tar.ts'
import {readTarSplit} from '../../src/store/tar-split-reader.ts'
import {
  directory,
  endOfTar,
  file,
  gnuLong,
  hardlink,
  headerBlock,
  member,
  pax,
  paxRecord,
  sparseFile,
  sparseForms,
  symlink,
  tar,
} from '../helpers/tar.ts'
import {splitTar} from '../helpers/tar-split.ts'

/** The JSON that a tar becomes, in chunks of the given size. */
const split = (bytes: Buffer, chunkSize?: number) => splitTar(bytes, chunkSize).toString('latin1')

/** The layer of a tar-split and its files, as a blob. */
function layerOf(json: string | Buffer, files: Readonly<Record<string, string>>, limits: Limits = defaultLimits) {
  const stored = typeof json === 'string' ? gzipSync(Buffer.from(json, 'latin1')) : json
  return new LayerTar('layer', () => ({
    pieces: readTarSplit(cut(stored, 100), limits),
    open: (name) => contentOf(files[name]!),
    close: () => {},
  }))
}

function* cut(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Gives at most 300 bytes at a time. */
function contentOf(bytes: string): Content {
  let rest = Buffer.from(bytes, 'latin1')
  const read = (into: Buffer) => {
    const count = rest.copy(into.subarray(0, 300))
    rest = rest.subarray(count)
    return count
  }
  return {read, close: () => {}}
}

async function assemble(...layer: Parameters<typeof layerOf>): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const chunk of layerOf(...layer).stream()) pieces.push(Buffer.from(chunk))
  return Buffer.concat(pieces)
}

const base64 = (...pieces: readonly Buffer[]) => Buffer.concat(pieces).toString('base64')
const padding = (content: string) => Buffer.alloc(-content.length & 511)

test('entries stand between the bytes around them, in the words of Go', (t) => {
  const lines = split(
    tar(directory('d/'), file('d/<&>"\u00c3\u00a4', '123456789'), file('d/\xff'), hardlink('d/h', 'd/\xff')),
  )
  const [odd, raw, link] = [file('d/<&>"\u00c3\u00a4', '123456789'), file('d/\xff'), hardlink('d/h', 'd/\xff')]
  t.deepEqual(lines.split('\n'), [
    `{"type":2,"payload":"${base64(directory('d/'))}","position":0}`,
    '{"type":1,"name":"d/","payload":null,"position":1}',
    `{"type":2,"payload":"${base64(odd.subarray(0, 512))}","position":2}`,
    '{"type":1,"name":"d/\\u003c\\u0026\\u003e\\"\u00c3\u00a4","size":9,"payload":"uQlWx3WkEAE=","position":3}',
    `{"type":2,"payload":"${base64(padding('123456789'), raw)}","position":4}`,
    '{"type":1,"name_raw":"ZC//","payload":null,"position":5}',
    `{"type":2,"payload":"${base64(link)}","position":6}`,
    '{"type":1,"name":"d/h","payload":null,"position":7}',
    `{"type":2,"payload":"${base64(endOfTar)}","position":8}`,
    '{"type":2,"payload":"","position":9}',
    '',
  ])
})

const long = `${'long/'.repeat(30)}name`
const sparse = sparseForms.map((form) =>
  sparseFile(form, `sparse-${form}`, 4000, [
    {offset: 10, data: 'x'.repeat(600)},
    {offset: 3000, data: 'end'},
  ]),
)
const everything = tar(
  pax([['comment', 'of all']], 'g', {name: 'pax_global_header'}),
  directory('./d/'),
  file('./d/empty'),
  file('/d/small', 'content'),
  file('d/block', 'b'.repeat(1024)),
  Buffer.concat([gnuLong('L', long), file('short', 'long')]),
  Buffer.concat([pax([['path', 'd/\xff\n']]), file('short', 'pax')]),
  Buffer.concat([gnuLong('K', 't'.repeat(120)), symlink('s', 'short')]),
  ...sparse,
  file('last', 'l'),
)
const files = {'/d/small': 'content', 'd/block': 'b'.repeat(1024), [long]: 'long', 'd/\xff\n': 'pax', last: 'l'}

test('a tar with everything is the same again, whatever it was cut into', async (t) => {
  const whole = split(everything)
  t.deepEqual(await assemble(whole, files), everything)
  for (const size of [1, 7, 511, 512, 513, 1500]) t.is(split(everything, size), whole)
})

test('an entry has the name that it has for docker, and extension headers stand before it', (t) => {
  const names = split(everything).matchAll(/"(name|name_raw)":("(?:[^"\\]|\\.)*")/g)
  t.deepEqual(
    [...names].map(([, key, name]) =>
      key === 'name' ? JSON.parse(name!) : Buffer.from(name!, 'base64').toString('latin1'),
    ),
    [
      'pax_global_header',
      './d/',
      './d/empty',
      '/d/small',
      'd/block',
      long,
      'd/\xff\n',
      's',
      ...sparseForms.map((form) => `sparse-${form}`),
      'last',
    ],
  )
})

test('a tar without its end, of nothing, and with much padding is the same again', async (t) => {
  const content = {a: 'content'}
  const cut = file('a', 'content')
  for (const bytes of [
    cut,
    cut.subarray(0, 600),
    cut.subarray(0, 519),
    Buffer.alloc(0),
    Buffer.alloc(512),
    Buffer.alloc(10_240),
  ])
    t.deepEqual(await assemble(split(bytes, 100), content), bytes)
  const padded = Buffer.concat([tar(file('a', 'content')), Buffer.alloc(2_500_000)])
  for (const size of [100_000, 3_000_000]) {
    const json = split(padded, size)
    t.deepEqual(await assemble(json, content), padded)
    t.is(json.match(/"type":2/g)?.length, 6)
  }
  t.is(split(Buffer.alloc(0)), '{"type":2,"payload":"","position":0}\n')
})

test('the tar has a size, and can be read from any place', async (t) => {
  const layer = layerOf(split(everything), files)
  t.is(layer.size, everything.length)
  for (const length of [0, 1, 600, 5000]) {
    for (let at = 0; at < everything.length; at += 1700)
      t.deepEqual(await layer.read(at, length), everything.subarray(at, at + length), `${length} bytes at ${at}`)
  }
  t.deepEqual(await layer.read(everything.length, 10), Buffer.alloc(0))
})

test('the content of what is passed over is not read', async (t) => {
  const layer = layerOf(split(tar(file('a', 'content'), file('b'))), {})
  t.deepEqual(await layer.read(0, 512), headerBlock({name: 'a', size: 7}))
  t.deepEqual(await layer.read(1024, 512), file('b'))
  await t.throwsAsync(layer.read(512, 1))
})

test('names that docker takes for one are refused', (t) => {
  for (const other of ['a', './a', 'a/', 'b/../a']) {
    const error = t.throws(() => split(tar(file('a'), pax([], 'g', {name: other}), file('z'))))
    t.true(isImgtoolError(error) && error.code === 'ENTRY_INVALID')
  }
  t.notThrows(() => split(tar(file('a'), file('/a'), directory('./'))))
})

const json = split(tar(file('a', 'content')))
const refusals: readonly (readonly [string, string, Readonly<Record<string, string>>, RegExp])[] = [
  ['another content', json, {a: 'CONTENT'}, /^DIGEST_MISMATCH .*"a".*checksum/],
  ['a shorter file', json, {a: 'cont'}, /^SIZE_MISMATCH .*"a".* 4 bytes, expected 7$/],
  ['a longer file', json, {a: 'content!'}, /^SIZE_MISMATCH .*"a".* more bytes, expected 7$/],
  ['a half line', json.slice(0, -9), {a: 'content'}, /^DOCUMENT_INVALID .*middle/],
  ['nothing', '', {}, /^DOCUMENT_INVALID .*middle/],
  ['a line less', json.slice(json.indexOf('\n') + 1), {}, /^DOCUMENT_INVALID .*line 0.*number 1/],
  ['more behind the end', json + json, {a: 'content'}, /^DOCUMENT_INVALID .*(number 0|behind)/],
  [
    'endless nothing',
    '0123'.replace(/./g, '{"type":2,"payload":null,"position":$&}\n'),
    {},
    /^DOCUMENT_INVALID .*behind/,
  ],
  ['a key twice', json.replace('"type":1', '"type":1,"type":1'), {}, /^DOCUMENT_INVALID .*line 1.*neither/],
  ['a nested line', `${'['.repeat(100_000)}\n`, {}, /^DOCUMENT_INVALID .*neither/],
  [
    'a huge line',
    `{"type":2,"payload":"${'A'.repeat(9_000_000)}","position":0}\n`,
    {},
    /^DOCUMENT_INVALID .*more than/,
  ],
  [
    'a file of no size that JavaScript counts',
    json.replace('"size":7', '"size":9999999999999999'),
    {},
    /^DOCUMENT_INVALID .*no number/,
  ],
  ['a file of a negative size', json.replace('"size":7', '"size":-7'), {}, /^DOCUMENT_INVALID .*neither/],
  ['a file larger than all may be', json.replace('"size":7', '"size":99999999999999'), {}, /^LIMIT_EXCEEDED .*"bytes"/],
  [
    'a file without a checksum',
    json.replace(/("size":7,"payload":)"[^"]*"/, '$1null'),
    {},
    /^DOCUMENT_INVALID .*checksum/,
  ],
  ['a file without a name', json.replace('"name":"a"', '"name":""'), {}, /^DOCUMENT_INVALID .*no name/],
]

for (const [what, lines, content, message] of refusals) {
  test(`refuses ${what}`, async (t) => {
    const error = await t.throwsAsync(assemble(lines, content))
    t.true(isImgtoolError(error))
    t.regex(isImgtoolError(error) ? `${error.code} ${error.message}` : '', message)
  })
}

test('refuses more entries than the limit, and what is no gzip', async (t) => {
  const error = await t.throwsAsync(assemble(split(tar(file('a'), file('b'))), {}, {...defaultLimits, entries: 1}))
  t.regex(error.message, /"entries"/)
  const whole = gzipSync(json)
  const damages = [
    Buffer.from(json),
    whole.subarray(0, -1),
    whole.subarray(0, 50),
    Buffer.alloc(0),
    Buffer.concat([whole, whole]),
    Buffer.concat([whole, Buffer.alloc(1)]),
  ]
  for (const damaged of damages) {
    await t.throwsAsync(assemble(damaged, {a: 'content'}), {message: /gzip/})
  }
})

test('a record of a name counts as it does for docker', (t) => {
  const renamed = member({name: 'x', type: 'x'}, paxRecord('path', 'b'))
  t.regex(split(tar(Buffer.concat([renamed, file('a', 'content')]))), /"name":"b","size":7/)
})
