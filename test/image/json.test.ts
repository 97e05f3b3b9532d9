import process from 'node:process'
import test from 'ava'
import * as v from 'valibot'
import type {Blob} from '../../src/archive/archive.ts'
import {Documents, parseDocument, requireBlob} from '../../src/image/json.ts'
import {configSchema, dockerManifestSchema, repositoriesSchema} from '../../src/image/schemas.ts'
import {defaultLimits, type Limits} from '../../src/limits.ts'
import {openBytes, writeScratch} from '../helpers/image.ts'
import {run} from '../helpers/run.ts'

const anything = v.unknown()
const parse = (text: string | Buffer) => parseDocument(Buffer.from(text), 'manifest.json', anything)

test('takes JSON in any layout, as parsers agree on it', (t) => {
  t.deepEqual(parse(' {"a": [1, {"a": "x:\\"{"}], "b": {"a": null}} \n'), {a: [1, {a: 'x:"{'}], b: {a: null}})
})

for (const [what, text] of [
  ['nothing', ''],
  ['a cut document', '[{"Config":"a'],
  ['data behind the document', '{} {}'],
  ['a comment', '{} // no'],
  ['a byte order mark', '\ufeff{}'],
  ['a NUL at the end', '{}\0'],
  ['a key twice', '{"a":1,"b":2,"a":1}'],
  ['a key twice in two spellings', '{"a":1,"\\u0061":2}'],
  ['a key twice far below', '{"x":[{"y":{"a":1,"a":2}}]}'],
  ['__proto__ twice', '{"__proto__":1,"__proto__":2}'],
  ['arrays nested deeply', `${'['.repeat(65)}${']'.repeat(65)}`],
  ['objects nested deeply', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`],
  ['arrays nested a million times', `${'['.repeat(1e6)}${']'.repeat(1e6)}`],
] as const) {
  test(`refuses ${what}`, (t) => {
    const error = t.throws(() => parse(text), {code: 'DOCUMENT_INVALID'})
    t.is(error?.message.split('\n').length, 1)
  })
}

test('takes the same key in different objects and as a value', (t) => {
  t.notThrows(() => parse('[{"a":"a"},{"a":{"a":["a","a"]}}]'))
})

test('takes 64 levels', (t) => {
  t.notThrows(() => parse(`${'['.repeat(64)}${']'.repeat(64)}`))
})

test('takes a string of megabytes', (t) => {
  t.notThrows(() => parse(JSON.stringify({a: 'x\n'.repeat(2e6)})))
})

test('says in one short line where a document has the wrong shape', (t) => {
  const bytes = Buffer.from(JSON.stringify([{Config: 'a'}, {Config: '\u001b[2J'.repeat(1000), Layers: [1]}]))
  const error = t.throws(() => parseDocument(bytes, 'manifest.json', dockerManifestSchema), {code: 'DOCUMENT_INVALID'})
  t.is(error?.message, 'Cannot read "manifest.json": Invalid type: Expected string but received 1 at "1.Layers.0"')
})

/** Reads a document of three megabytes with as many faults as it has objects. */
const faults = `
  import {parseDocument} from '${new URL('../../src/image/json.ts', import.meta.url)}'
  import {dockerManifestSchema} from '${new URL('../../src/image/schemas.ts', import.meta.url)}'
  const bytes = Buffer.from('[' + '{},'.repeat(1_000_000) + '0]')
  try {
    parseDocument(bytes, 'manifest.json', dockerManifestSchema)
  } catch (error) {
    console.log(error.code)
  }
`

test('refuses a document with a million faults without counting them all', async (t) => {
  const script = writeScratch(t, faults, 'script.mjs')
  // The document takes a third of this, its faults three times as much.
  t.is(await run(process.execPath, ['--max-old-space-size=300', script]), 'DOCUMENT_INVALID\n')
})

test('refuses keys that docker would take for one another', (t) => {
  const bytes = Buffer.from('[{"Config":"a","Layers":[],"layers":["x"]}]')
  t.throws(() => parseDocument(bytes, 'manifest.json', dockerManifestSchema), {code: 'DOCUMENT_INVALID'})
  const other = Buffer.from('{"rootfs":{"diff_ids":[],"DIFF_IDS":[]}}')
  t.throws(() => parseDocument(other, 'config', configSchema), {code: 'DOCUMENT_INVALID'})
})

test('takes keys that differ by case where docker has a map', (t) => {
  const bytes = Buffer.from('{"rootfs":{"diff_ids":[]},"config":{"Labels":{"A":"1","a":"2"}}}')
  t.notThrows(() => parseDocument(bytes, 'config', configSchema))
})

test('keeps every key of repositories, whatever it is called', (t) => {
  const bytes = Buffer.from('{"constructor":{"latest":"1"},"a":{"__proto__":"2","prototype":"3"},"toString":{}}')
  const document = parseDocument(bytes, 'repositories', repositoriesSchema)
  t.deepEqual([...document.keys()], ['constructor', 'a', 'toString'])
  t.deepEqual(
    [...(document.get('a') ?? [])],
    [
      ['__proto__', '2'],
      ['prototype', '3'],
    ],
  )
})

for (const text of ['[]', 'null', '7', '"x"', '{"a":[]}', '{"a":"x"}', '{"a":{"b":1}}', '{"a":null}']) {
  test(`refuses ${text} as repositories`, (t) => {
    const parseIt = () => parseDocument(Buffer.from(text), 'repositories', repositoriesSchema)
    t.throws(parseIt, {code: 'DOCUMENT_INVALID'})
  })
}

test('gives no key of a document to objects that have it not', (t) => {
  const parseIt = () =>
    parseDocument(Buffer.from('[{"__proto__":{"Config":"a","Layers":[]}}]'), 'm', dockerManifestSchema)
  t.throws(parseIt, {code: 'DOCUMENT_INVALID'})
  t.is(({} as Record<string, unknown>).Config, undefined)
})

test('reads a document up to its limit and no byte of a longer one', async (t) => {
  const archive = await openBytes(t, [{name: 'a', body: 'x'.repeat(100)}])
  const blob = archive.blob('a')!
  const read = (limits: Partial<Limits>, of: Blob, limit?: 'config') =>
    new Documents({...defaultLimits, ...limits}).read(of, limit)
  t.is((await read({document: 100}, blob)).length, 100)
  t.is((await read({config: 100}, blob, 'config')).length, 100)
  const unread = {...blob, read: () => Promise.reject(new Error('was read'))}
  await t.throwsAsync(read({document: 99}, unread), {code: 'LIMIT_EXCEEDED', message: /"document"/})
  await t.throwsAsync(read({config: 99}, unread, 'config'), {code: 'LIMIT_EXCEEDED', message: /"config"/})
})

test('reads documents up to the limit of all of them', async (t) => {
  const archive = await openBytes(t, [
    {name: 'a', body: 'x'.repeat(100)},
    {name: 'b', body: 'x'.repeat(50)},
  ])
  const [a, b] = [archive.blob('a')!, archive.blob('b')!]
  const documents = new Documents({...defaultLimits, documents: 250})
  await documents.read(a)
  await documents.read(a, 'config')
  const error = await t.throwsAsync(documents.read({...a, read: () => Promise.reject(new Error('was read'))}), {
    code: 'LIMIT_EXCEEDED',
    message: 'Cannot read "a": limit "documents" exceeded: 300 bytes of all documents, at most 250 are read',
  })
  t.like(error, {details: {entry: 'a', hint: 'Raise it with --limit documents=N if the archive is trusted'}})
  t.is((await documents.read(b)).length, 50)
})

test('says which member is missing', async (t) => {
  const archive = await openBytes(t, [{name: 'a'}])
  t.is(requireBlob(archive, './a', 'the config').size, 0)
  const error = t.throws(() => requireBlob(archive, '\u001b[2J', 'the config'), {code: 'BLOB_MISSING'})
  t.is(error?.message, 'Cannot find the config "\\x1b[2J" in the archive')
})
