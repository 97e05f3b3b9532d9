import {createHash} from 'node:crypto'
import {gzipSync, zstdCompressSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import type {Digest} from '../../src/digest.ts'
import {ImgtoolError} from '../../src/errors.ts'
import {type LayerSource, readLayer, startBudget} from '../../src/layer/read.ts'
import type {EntrySink} from '../../src/layer/tar/parser.ts'
import {defaultLimits, type Limits} from '../../src/limits.ts'
import {Recorder} from '../helpers/entries.ts'
import {memoryBlob} from '../helpers/memory-layers.ts'
import {directory, endOfTar, file, headerBlock, tar} from '../helpers/tar.ts'

const digest = (bytes: Buffer, algorithm = 'sha256') =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
const wrong = digest(Buffer.from('something else'))
const wrong512 = digest(Buffer.from('something else'), 'sha512')

const plain = tar(directory('d'), file('d/small', 'abc'), file('d/large', 'x'.repeat(5000)))
const forms = {none: plain, gzip: gzipSync(plain), zstd: zstdCompressSync(plain)} as const

interface Reading {
  readonly stored?: Buffer
  readonly limits?: Partial<Limits>
  readonly sink?: EntrySink
  readonly signal?: AbortSignal
  readonly layer?: Partial<LayerSource>
}

/** Reads a layer, and checks that its stream is not left open, whatever happens. */
async function read(t: ExecutionContext, {stored = plain, limits, sink, signal, layer}: Reading) {
  const blob = memoryBlob(stored)
  const recorder = new Recorder()
  const budget = startBudget({...defaultLimits, ...limits})
  try {
    const facts = await readLayer({index: 3, blob, ...layer}, sink ?? recorder, budget, {signal})
    return {facts, entries: recorder.entries, budget, blob}
  } finally {
    t.is(blob.open, 0)
  }
}

for (const [compression, stored] of Object.entries(forms)) {
  test(`a layer with compression ${compression} is read and measured`, async (t) => {
    const {facts, entries} = await read(t, {stored})
    t.deepEqual(facts, {diffID: digest(plain), compression, tarSize: plain.length, entries: 3} as typeof facts)
    t.deepEqual(
      entries.map(({entry, content}) => [entry.path, content.length]),
      [
        ['d', 0],
        ['d/small', 3],
        ['d/large', 5000],
      ],
    )
  })

  test(`digests of a layer with compression ${compression} are checked, of any algorithm`, async (t) => {
    for (const algorithm of ['sha256', 'sha384', 'sha512']) {
      for (const other of ['sha256', 'sha512']) {
        const layer = {digest: digest(stored, algorithm), diffID: digest(plain, other)}
        const {facts} = await read(t, {stored, layer})
        t.is(facts.diffID, layer.diffID)
      }
    }
  })

  test(`a wrong digest of a layer with compression ${compression} is refused`, async (t) => {
    for (const bad of [wrong, wrong512]) {
      for (const diffID of [digest(plain), digest(plain, 'sha512')]) {
        const refused = read(t, {stored, layer: {digest: bad, diffID}})
        await t.throwsAsync(refused, {code: 'DIGEST_MISMATCH'})
      }
      await t.throwsAsync(read(t, {stored, layer: {digest: bad}}), {code: 'DIGEST_MISMATCH'})
    }
  })

  test(`a wrong diffID of a layer with compression ${compression} is refused`, async (t) => {
    for (const bad of [wrong, wrong512]) {
      for (const good of [digest(stored), digest(stored, 'sha512')])
        await t.throwsAsync(read(t, {stored, layer: {digest: good, diffID: bad}}), {code: 'DIGEST_MISMATCH'})
      await t.throwsAsync(read(t, {stored, layer: {diffID: bad}}), {code: 'DIGEST_MISMATCH'})
    }
  })

  test(`a cut layer with compression ${compression} is refused`, async (t) => {
    const code = compression === 'none' ? 'TAR_TRUNCATED' : 'COMPRESSION_INVALID'
    await t.throwsAsync(read(t, {stored: stored.subarray(0, stored.length >> 1)}), {code})
  })
}

test('a refusal says which digest was expected and which found', async (t) => {
  const error = await t.throwsAsync(read(t, {layer: {diffID: wrong}}), {instanceOf: ImgtoolError})
  t.like(error.details, {layer: 3, expected: wrong, actual: digest(plain)})
})

test('bytes behind the end of the tar belong to the digests, and to nothing else', async (t) => {
  const stored = Buffer.concat([plain, Buffer.from('trailing')])
  const {facts, entries} = await read(t, {stored, layer: {diffID: digest(stored), digest: digest(stored)}})
  t.is(facts.tarSize, stored.length)
  t.is(entries.length, 3)
  await t.throwsAsync(read(t, {stored, layer: {diffID: digest(plain)}}), {code: 'DIGEST_MISMATCH'})
})

test('what the media type claims does not matter: bytes tell the compression', async (t) => {
  const {facts} = await read(t, {stored: gzipSync(plain, {level: 0})})
  t.is(facts.compression, 'gzip')
})

test('damage is reported where it is taken, and bytes are hashed to the end', async (t) => {
  const broken = Buffer.from(plain)
  broken[0] = 1
  const stored = gzipSync(broken)
  const damage: string[] = []
  const layer = {index: 0, blob: memoryBlob(stored), diffID: digest(plain), digest: digest(plain)}
  const onDamage = ({code}: {code: string}) => void damage.push(code)
  const facts = await readLayer(layer, new Recorder(), startBudget(defaultLimits), {onDamage})
  t.deepEqual(damage, ['TAR_INVALID', 'DIGEST_MISMATCH', 'DIGEST_MISMATCH'])
  t.like(facts, {diffID: digest(broken), digest: digest(stored), tarSize: broken.length})
  await t.throwsAsync(readLayer(layer, new Recorder(), startBudget({...defaultLimits, bytes: 1}), {onDamage}), {
    code: 'LIMIT_EXCEEDED',
  })
})

test('a layer of nothing is a layer', async (t) => {
  const {facts} = await read(t, {stored: Buffer.alloc(0)})
  t.deepEqual(facts, {diffID: digest(Buffer.alloc(0)), compression: 'none', tarSize: 0, entries: 0})
})

test('entries are counted over all layers of a budget', async (t) => {
  const budget = startBudget({...defaultLimits, entries: 5})
  const layer = (index: number) => ({index, blob: memoryBlob(plain)})
  await readLayer(layer(0), new Recorder(), budget)
  t.is(budget.entries, 3)
  const error = await t.throwsAsync(readLayer(layer(1), new Recorder(), budget), {code: 'LIMIT_EXCEEDED'})
  t.like(error, {details: {layer: 1}})
})

test('as many entries as the limit says are read', async (t) => {
  t.is((await read(t, {limits: {entries: 3}})).facts.entries, 3)
  await t.throwsAsync(read(t, {limits: {entries: 2}}), {code: 'LIMIT_EXCEEDED'})
})

test('bytes are counted decompressed, over all layers of a budget', async (t) => {
  const {length} = plain
  t.is((await read(t, {stored: forms.gzip, limits: {bytes: length}})).budget.bytes, length)
  await t.throwsAsync(read(t, {stored: forms.gzip, limits: {bytes: length - 1}}), {code: 'LIMIT_EXCEEDED'})
  const budget = startBudget({...defaultLimits, bytes: 2 * length - 1})
  await readLayer({index: 0, blob: memoryBlob(plain)}, new Recorder(), budget)
  await t.throwsAsync(readLayer({index: 1, blob: memoryBlob(plain)}, new Recorder(), budget), {code: 'LIMIT_EXCEEDED'})
})

test('a gzip layer that grows beyond the ratio is refused, once it is large', async (t) => {
  const bomb = gzipSync(Buffer.alloc(65 * 1024 * 1024))
  await t.throwsAsync(read(t, {stored: bomb, limits: {ratio: 500}}), {code: 'LIMIT_EXCEEDED'})
  await t.notThrowsAsync(read(t, {stored: bomb}))
  const small = gzipSync(Buffer.alloc(1024 * 1024))
  await t.notThrowsAsync(read(t, {stored: small, limits: {ratio: 1}}))
})

test('a bomb is stopped by the limit, not by its end', async (t) => {
  const blob = memoryBlob(gzipSync(Buffer.alloc(32 * 1024 * 1024)))
  const budget = startBudget({...defaultLimits, bytes: 1024 * 1024})
  await t.throwsAsync(readLayer({index: 0, blob}, new Recorder(), budget), {code: 'LIMIT_EXCEEDED'})
  t.true(blob.taken < blob.size / 2)
  t.true(budget.bytes < 2 * 1024 * 1024)
})

test('a signal ends the reading between two chunks', async (t) => {
  const abort = new AbortController()
  const blob = memoryBlob(tar(...Array.from({length: 100}, (_, at) => file(`f${at}`, 'x'.repeat(1000)))))
  const recorder = new Recorder()
  const entry = recorder.entry.bind(recorder)
  recorder.entry = (next) => {
    if (next.path === 'f10') abort.abort()
    entry(next)
  }
  const reading = readLayer({index: 0, blob}, recorder, startBudget(defaultLimits), {signal: abort.signal})
  await t.throwsAsync(reading, {name: 'AbortError'})
  t.true(recorder.entries.length <= 12)
  t.is(blob.open, 0)
})

test('a signal that was given before ends the reading at once', async (t) => {
  const signal = AbortSignal.abort()
  const recorder = new Recorder()
  await t.throwsAsync(read(t, {sink: recorder, signal}), {name: 'AbortError'})
  t.deepEqual(recorder.entries, [])
})

test('an error carries the number of the layer and the entry', async (t) => {
  const stored = Buffer.concat([file('good'), file('bad', '', {uid: 2 ** 40}), endOfTar])
  const error = await t.throwsAsync(read(t, {stored}), {code: 'ENTRY_INVALID'})
  t.like(error, {details: {layer: 3, entry: 'bad'}})
})

test('a checksum is looked at before a digest: damage has its own name', async (t) => {
  const stored = Buffer.concat([file('good'), headerBlock({name: 'bad', checksum: '000000\0 '}), endOfTar])
  await t.throwsAsync(read(t, {stored, layer: {diffID: wrong}}), {code: 'TAR_INVALID'})
})

test('refusals of the sink pass with the layer, and bugs of the sink pass as they are', async (t) => {
  const failing = (error: Error): EntrySink => ({
    entry: () => {
      throw error
    },
    data: () => {},
    end: () => {},
  })
  const refused = read(t, {sink: failing(new ImgtoolError('NO_SPACE', 'No space is left'))})
  t.like(await t.throwsAsync(refused, {code: 'NO_SPACE'}), {details: {layer: 3, entry: 'd'}})
  const bug = new TypeError('bug')
  t.is(await t.throwsAsync(read(t, {sink: failing(bug)})), bug)
})

test('what the blob throws passes with the layer', async (t) => {
  const error = new ImgtoolError('BLOB_MISSING', 'The layer is not in the archive')
  const blob = {...memoryBlob(plain), read: () => Promise.reject(error)}
  t.like(await t.throwsAsync(read(t, {layer: {blob}}), {code: 'BLOB_MISSING'}), {details: {layer: 3}})
})
