import {gzipSync, zstdCompressSync} from 'node:zlib'
import test from 'ava'
import {measureLayer} from '../../src/layer/measure.ts'
import {defaultLimits} from '../../src/limits.ts'
import {memoryBlob} from '../helpers/memory-layers.ts'
import {directory, file, hardlink, headerBlock, oldGnuFile, pax, sparseFile, symlink, tar} from '../helpers/tar.ts'

const MiB = 1024 * 1024
const large = 'x'.repeat(4 * MiB)
const members = [
  directory('d'),
  file('d/a', 'abc'),
  symlink('s', 'd/a'),
  hardlink('h', 'd/a'),
  file('d/large', large),
  file('.wh.gone'),
  Buffer.concat([pax([['size', '5']]), file('d/pax', 'abcde', {size: 0})]),
  sparseFile('1.0', 'd/sparse', 1000, [{offset: 10, data: 'abc'}]),
  sparseFile('gnu', 'd/gnu', 2000, [{offset: 10, data: 'abc'}]),
]
const plain = tar(...members)
const size = 3 + 4 * MiB + 5 + 1000 + 2000
const measure = (bytes: Buffer, budget?: {left: number}) => measureLayer(memoryBlob(bytes), defaultLimits, budget)

test('the size of a layer is the sum of the sizes of its files, holes included', async (t) => {
  t.is(await measure(plain), size)
  t.is(await measure(gzipSync(plain)), size)
  t.is(await measure(zstdCompressSync(plain)), size)
})

test('an empty layer has size 0', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(512), Buffer.alloc(1024), gzipSync(Buffer.alloc(1024))])
    t.is(await measure(bytes), 0)
})

test('an uncompressed layer costs its headers, not its contents', async (t) => {
  const blob = memoryBlob(plain)
  t.is(await measureLayer(blob, defaultLimits, {left: MiB}), size)
  t.true(blob.taken < 64 * 1024, `${blob.taken} bytes read`)
  const exact = memoryBlob(plain)
  t.is(await measureLayer(exact, defaultLimits), size)
  t.true(exact.taken < MiB, `${exact.taken} bytes read`)
})

test('the budget is charged with what is read, and ends the reading', async (t) => {
  const blob = memoryBlob(plain)
  const budget = {left: MiB}
  await measureLayer(blob, defaultLimits, budget)
  t.true(MiB - budget.left >= blob.taken - 64)
  const small = memoryBlob(plain)
  t.is(await measureLayer(small, defaultLimits, {left: 5000}), undefined)
  t.true(small.taken < 10_000)
})

test('a compressed layer is read whole or not at all', async (t) => {
  const stored = gzipSync(plain)
  const blob = memoryBlob(stored)
  t.is(await measureLayer(blob, defaultLimits, {left: stored.length - 1}), undefined)
  t.true(blob.taken <= 64)
  const budget = {left: stored.length + 100_000}
  t.is(await measure(stored, budget), size)
  t.true(budget.left >= 0 && budget.left < 100_000)
})

test('a compressed layer that grows out of all proportion does not fit into a budget', async (t) => {
  const bomb = zstdCompressSync(Buffer.concat([file('a', Buffer.alloc(256 * MiB))]))
  t.true(bomb.length < 64 * 1024)
  t.is(await measure(bomb, {left: MiB}), undefined)
  t.is(await measure(bomb), 256 * MiB)
})

for (const [title, bytes] of [
  ['content', Buffer.concat([file('a', 'abc'), headerBlock({name: 'b', size: 5000}), Buffer.alloc(1000)])],
  ['content that is not there at all', headerBlock({name: 'b', size: 5000})],
  ['a header', plain.subarray(0, 700)],
] as const) {
  test(`a layer that ends within ${title} is refused`, async (t) => {
    await t.throwsAsync(measure(bytes), {code: 'TAR_TRUNCATED'})
    await t.throwsAsync(measure(gzipSync(bytes)), {code: 'TAR_TRUNCATED'})
  })
}

test('a layer without its last padding is measured as it is read', async (t) => {
  const bytes = file('a', 'abc').subarray(0, 515)
  t.is(await measure(bytes), 3)
  t.is(await measure(gzipSync(bytes)), 3)
  const longer = file('a', 'x'.repeat(1_000_001)).subarray(0, 512 + 1_000_001)
  t.is(await measure(longer), 1_000_001)
  t.is(await measure(longer, {left: MiB}), 1_000_001)
})

test('a layer that claims more than there is costs no time', async (t) => {
  await t.throwsAsync(measure(headerBlock({name: 'a', size: Number.MAX_SAFE_INTEGER})), {code: 'TAR_TRUNCATED'})
})

test('damage is refused', async (t) => {
  await t.throwsAsync(measure(Buffer.from('no tar'.repeat(200))), {code: 'TAR_INVALID'})
  await t.throwsAsync(measure(oldGnuFile('s', 10, [0, 20], 'x'.repeat(20))), {code: 'TAR_INVALID'})
  await t.throwsAsync(measure(gzipSync(plain).subarray(0, 500)), {code: 'COMPRESSION_INVALID'})
})

test('decompressed bytes are limited', async (t) => {
  const limits = {...defaultLimits, bytes: MiB}
  await t.throwsAsync(measureLayer(memoryBlob(gzipSync(plain)), limits), {code: 'LIMIT_EXCEEDED'})
})
