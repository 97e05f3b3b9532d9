import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {type Destination, parseDestination} from '../src/destination.ts'
import type {Image} from '../src/image/model.ts'
import {stepsOf} from '../src/image/steps.ts'
import {listFiles} from '../src/list-files.ts'
import {openSource, selectImage} from '../src/open.ts'
import {type SquashOptions, type SquashResult, squashImage} from '../src/squash.ts'
import {fixture} from './helpers/fixtures.ts'
import {scratch} from './helpers/layers.ts'

/** Squashes the image of a fixture, and reads the result. */
async function squash<Result>(
  t: ExecutionContext,
  reference: string,
  format: Destination['format'],
  options: SquashOptions,
  use: (before: Image, after: Image, result: SquashResult) => Promise<Result> | Result,
): Promise<Result> {
  const path = join(scratch(t), 'squashed')
  await using source = await openSource(reference)
  const image = selectImage(source)
  const result = await squashImage(source, image, parseDestination(`${format}:${path}`), options)
  await using written = await openSource(path)
  return await use(image, selectImage(written), result)
}

/** What a squashed image must agree on with its source. */
async function treeOf(image: Image): Promise<object[]> {
  const files = [...(await listFiles(image))]
  return files.filter(({path}) => path !== '').map(({layer: _, ...file}) => file)
}

const one = fixture('docker-20.10-one.tar')

for (const format of ['oci', 'oci-archive', 'docker-archive', 'docker-1.10', 'docker-v1'] as const) {
  test(`squashed to ${format}, from any layer on, an image has the same files`, async (t) => {
    for (const from of [0, 1, 3, 5]) {
      await squash(t, one, format, {from}, async (before, after, result) => {
        t.is(after.layers.length, from + 1)
        t.deepEqual(await treeOf(after), await treeOf(before))
        t.like(result, {from, squashed: 6 - from})
        const kept = (image: Image) => image.layers.slice(0, from).map(({diffID}) => diffID)
        if (format !== 'docker-v1') t.deepEqual(kept(after), kept(before))
      })
    }
  })
}

test('config, names and history stay, and agree with the layers', async (t) => {
  await squash(t, one, 'docker-archive', {from: 2}, (before, after) => {
    const parse = (image: Image) => JSON.parse(image.config.toString())
    const {rootfs, history, ...rest} = parse(before)
    const {rootfs: newRootfs, history: newHistory, ...newRest} = parse(after)
    t.deepEqual(newRest, rest)
    t.deepEqual(newRootfs.diff_ids.slice(0, 2), rootfs.diff_ids.slice(0, 2))
    t.deepEqual(
      newHistory.map((step: object) => ({...step, empty_layer: 0})),
      history.map((step: object) => ({...step, empty_layer: 0})),
    )
    t.is(stepsOf(after).filter(({layer, history: step}) => layer !== undefined && step !== undefined).length, 3)
    t.deepEqual(after.names, before.names)
  })
})

test('names may be given, and layers counted from the top', async (t) => {
  await squash(t, one, 'oci', {from: -1, names: ['app:flat']}, (before, after, result) => {
    t.deepEqual(after.names, ['app:flat'])
    t.is(after.layers.length, before.layers.length)
    t.is(result.from, 5)
  })
})

test('an image from before docker 1.10 gets a config, and is squashed like any other', async (t) => {
  const reference = `${fixture('docker-1.7-several.tar')}:@0`
  await squash(t, reference, 'oci', {}, async (before, after) => {
    t.deepEqual(await treeOf(after), await treeOf(before))
    t.is(after.layers.length, 1)
    t.is(after.history.length, before.history.length)
    t.is(after.history.filter(({emptyLayer}) => !emptyLayer).length, 1)
  })
})

test('the new layer is stored as all the others are', async (t) => {
  const compressions = async (name: string, options: SquashOptions) =>
    squash(t, fixture(name), 'oci', options, (_before, _after, {layers}) => layers.map(({compression}) => compression))
  t.deepEqual(await compressions('skopeo-oci-gzip.tar', {from: 4}), Array(5).fill('gzip'))
  t.deepEqual(await compressions('skopeo-oci-zstd.tar', {from: 4}), Array(5).fill('zstd'))
  t.deepEqual(await compressions('skopeo-oci-plain.tar', {from: 4}), Array(5).fill('none'))
  t.deepEqual(await compressions('skopeo-oci-gzip.tar', {compression: 'none'}), ['none'])
})

test('the same image is squashed to the same bytes', async (t) => {
  const directory = scratch(t)
  for (const name of ['a', 'b']) {
    await using source = await openSource(one)
    await squashImage(source, selectImage(source), parseDestination(`docker-archive:${join(directory, name)}`))
  }
  t.true(readFileSync(join(directory, 'a')).equals(readFileSync(join(directory, 'b'))))
})

test('a layer that is not there is refused, and nothing is written', async (t) => {
  const directory = scratch(t)
  await using source = await openSource(one)
  for (const from of [6, -7]) {
    const destination = parseDestination(`oci:${join(directory, 'squashed')}`)
    await t.throwsAsync(squashImage(source, selectImage(source), destination, {from}), {code: 'PATH_NOT_FOUND'})
  }
  t.deepEqual(readdirSync(directory), [])
})
