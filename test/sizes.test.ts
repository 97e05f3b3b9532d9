import {randomBytes} from 'node:crypto'
import {zstdCompressSync} from 'node:zlib'
import test from 'ava'
import {ImgtoolError} from '../src/errors.ts'
import {defaultLimits} from '../src/limits.ts'
import {measureLayers} from '../src/sizes.ts'
import {memoryBlob} from './helpers/memory-layers.ts'
import {file, tar} from './helpers/tar.ts'

const MiB = 1024 * 1024
const layerOf = (bytes: Buffer, claimedSize?: number) => ({
  blob: memoryBlob(bytes),
  ...(claimedSize === undefined ? {} : {claimedSize}),
})
const large = tar(file('a', 'x'.repeat(3 * MiB)))
/** Compressed, but too large for the few bytes that are read in passing. */
const noise = tar(file('a', randomBytes(2 * MiB)))
const stored = zstdCompressSync(noise)

test('layers that cost little are measured exactly, in their order', async (t) => {
  const layers = [
    layerOf(tar(file('a', 'abc'))),
    layerOf(tar()),
    layerOf(large),
    layerOf(zstdCompressSync(tar(file('b', 'ab')))),
  ]
  t.deepEqual(await measureLayers(layers), [
    {size: 3, exact: true},
    {size: 0, exact: true},
    {size: 3 * MiB, exact: true},
    {size: 2, exact: true},
  ])
})

test('what costs too much is as large as its document claims, else as it is stored', async (t) => {
  t.true(stored.length > MiB)
  t.deepEqual(await measureLayers([layerOf(stored), layerOf(stored, 5), layerOf(stored, 0)]), [
    {size: stored.length, exact: false},
    {size: 5, exact: false},
    {size: stored.length, exact: false},
  ])
})

test('exact sizes are exact whatever they cost, and whatever documents claim', async (t) => {
  t.deepEqual(await measureLayers([layerOf(stored, 5)], {exact: true}), [{size: 2 * MiB, exact: true}])
})

test('all layers together cost about 1 MiB when sizes need not be exact', async (t) => {
  const many = tar(...Array.from({length: 3000}, (_, at) => file(`f${at}`, 'x')))
  const layers = Array.from({length: 5}, () => layerOf(many))
  const sizes = await measureLayers(layers)
  t.true(layers.reduce((sum, {blob}) => sum + blob.taken, 0) < MiB + 64 * 1024)
  t.false(sizes.at(-1)!.exact)
})

test('a layer that cannot be read stops only who wants exact sizes', async (t) => {
  const damaged = Buffer.from('no tar'.repeat(200))
  t.deepEqual(await measureLayers([layerOf(damaged), layerOf(damaged, 7)]), [
    {size: damaged.length, exact: false},
    {size: 7, exact: false},
  ])
  await t.throwsAsync(measureLayers([layerOf(damaged)], {exact: true}), {code: 'TAR_INVALID'})
})

test('a layer that is missing from the archive has the size that is claimed', async (t) => {
  const error = new ImgtoolError('BLOB_MISSING', 'The layer is not in the archive')
  const blob = {...memoryBlob(tar()), size: 77, read: () => Promise.reject(error)}
  t.deepEqual(await measureLayers([{blob}]), [{size: 77, exact: false}])
  t.is(await t.throwsAsync(measureLayers([{blob}], {exact: true})), error)
})

test('bugs are not taken for damage', async (t) => {
  const blob = {...memoryBlob(tar()), read: () => Promise.reject(new TypeError('bug'))}
  await t.throwsAsync(measureLayers([{blob}]), {instanceOf: TypeError})
})

test('limits hold for exact sizes', async (t) => {
  const limits = {...defaultLimits, bytes: MiB}
  await t.throwsAsync(measureLayers([layerOf(stored)], {exact: true, limits}), {code: 'LIMIT_EXCEEDED'})
})
