import test from 'ava'
import {sha256} from '../src/digest.ts'
import {ImgtoolError} from '../src/errors.ts'
import {resolveV1} from '../src/ids.ts'
import {missingBlob} from '../src/image/missing.ts'
import type {ImageSet, V1Node} from '../src/image/model.ts'
import {configFromV1, type V1Config} from '../src/image/v1-config.ts'
import {defaultLimits} from '../src/limits.ts'
import {openSource} from '../src/open.ts'
import {expected, fixture} from './helpers/fixtures.ts'
import {setOf, v1ID} from './helpers/images.ts'
import {memoryBlob} from './helpers/memory-layers.ts'
import {file, tar} from './helpers/tar.ts'

/** A layer's directory: one hex digit, that of its parent, and its tar. */
function nodeOf(digit: string, parent?: string, facts: Partial<V1Node> = {}): V1Node {
  const document = {id: v1ID(digit), ...(parent === undefined ? {} : {parent: v1ID(parent)}), os: 'linux'}
  return {
    id: v1ID(digit),
    ...(parent === undefined ? {} : {parent: v1ID(parent)}),
    history: {emptyLayer: false},
    claimedSize: 0,
    json: Buffer.from(JSON.stringify(document)),
    layer: memoryBlob(tar(file(digit))),
    ...facts,
  }
}

const archiveOf = (...nodes: readonly V1Node[]): ImageSet =>
  setOf([], {format: 'docker-v1', v1: new Map(nodes.map((node) => [node.id, node]))})
const digitsOf = (configs: ReadonlyMap<string, V1Config>) => [...configs.keys()].map((id) => id[0]).join('')
const diffIDOf = (digit: string) => sha256(tar(file(digit)))
const damaged = memoryBlob(Buffer.from('no tar'.repeat(200)))

for (const [name, {nodes}] of Object.entries(expected)) {
  if (nodes === undefined) continue
  test(`the image IDs of ${name} are those that dockerd gives it`, async (t) => {
    await using source = await openSource(fixture(name))
    const configs = await resolveV1(source.set)
    t.deepEqual(
      nodes.map(({v1ID: id}) => configs.get(id)?.imageID as string | undefined),
      nodes.map(({imageID}) => imageID),
    )
  })
}

test('each layer is an image of all layers from the base to it', async (t) => {
  const [base, top] = [nodeOf('b'), nodeOf('a', 'b')]
  const configs = await resolveV1(archiveOf(top, base))
  t.is(digitsOf(configs), 'ba')
  const expectedBase = configFromV1(base.json, undefined, diffIDOf('b'))
  t.deepEqual(configs.get(base.id), expectedBase)
  t.deepEqual(configs.get(top.id), configFromV1(top.json, expectedBase, diffIDOf('a')))
  t.deepEqual(configs.get(top.id)?.diffIDs, [diffIDOf('b'), diffIDOf('a')])
})

test('siblings share their parent, and each layer is read once', async (t) => {
  const nodes = [nodeOf('a', 'b'), nodeOf('c', 'b'), nodeOf('b')]
  const configs = await resolveV1(archiveOf(...nodes))
  t.is(digitsOf(configs), 'bac')
  for (const {layer} of nodes) t.true((layer as ReturnType<typeof memoryBlob>).taken < 2 * layer.size)
})

test('layers that are one blob are read once', async (t) => {
  const layer = memoryBlob(tar(file('x')))
  const configs = await resolveV1(archiveOf(nodeOf('b', undefined, {layer}), nodeOf('a', 'b', {layer})))
  t.deepEqual(configs.get(v1ID('a'))?.diffIDs, [diffIDOf('x'), diffIDOf('x')])
  t.true(layer.taken < 2 * layer.size)
})

test('only the ancestry of what is wanted is read', async (t) => {
  const set = archiveOf(nodeOf('c', 'b'), nodeOf('b', 'a'), nodeOf('a'), nodeOf('d', undefined, {layer: damaged}))
  t.is(digitsOf(await resolveV1(set, {wanted: [v1ID('b')]})), 'ab')
  t.is(digitsOf(await resolveV1(set, {wanted: []})), '')
  t.is(digitsOf(await resolveV1(set, {wanted: [v1ID('f')]})), '')
})

test('layers whose parents are not in the archive are left out, and the others are not', async (t) => {
  const set = archiveOf(nodeOf('a', 'f'), nodeOf('b', 'a'), nodeOf('c'))
  t.is(digitsOf(await resolveV1(set)), 'c')
})

test('layers whose bytes are not in the archive are left out with their descendants', async (t) => {
  const layer = missingBlob('layer.tar', 5, new ImgtoolError('BLOB_MISSING', 'The layer is not in the archive'))
  const set = archiveOf(nodeOf('a', 'b'), nodeOf('b', 'c', {layer}), nodeOf('c'))
  t.is(digitsOf(await resolveV1(set)), 'c')
})

test('a damaged layer is refused with its number in the ancestry', async (t) => {
  const set = archiveOf(nodeOf('a', 'b', {layer: damaged}), nodeOf('b'))
  t.like(await t.throwsAsync(resolveV1(set), {code: 'TAR_INVALID'}), {details: {layer: 1}})
})

test('a damaged document is refused with its name', async (t) => {
  const set = archiveOf(nodeOf('a', undefined, {json: Buffer.from('{')}))
  t.like(await t.throwsAsync(resolveV1(set), {code: 'DOCUMENT_INVALID'}), {details: {entry: `${v1ID('a')}/json`}})
})

test('limits and signals hold over all layers', async (t) => {
  const set = archiveOf(nodeOf('a', 'b'), nodeOf('b'))
  await t.throwsAsync(resolveV1(set, {limits: {...defaultLimits, entries: 1}}), {code: 'LIMIT_EXCEEDED'})
  await t.throwsAsync(resolveV1(set, {signal: AbortSignal.abort()}), {name: 'AbortError'})
})

test('a chain of thousands is resolved without recursion', async (t) => {
  const id = (number: number) => number.toString(16).padStart(64, '0')
  const empty = memoryBlob(Buffer.alloc(1024))
  const nodes = Array.from({length: 1500}, (_, at) => ({
    ...nodeOf('0', undefined, {layer: empty}),
    id: id(at),
    ...(at === 0 ? {} : {parent: id(at - 1)}),
  }))
  const configs = await resolveV1(archiveOf(...nodes.reverse()))
  t.is(configs.size, 1500)
  t.is(configs.get(id(1499))?.diffIDs.length, 1500)
})
