import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import test, {type ExecutionContext} from 'ava'
import {sha256} from '../src/digest.ts'
import {ImgtoolError} from '../src/errors.ts'
import {findParents} from '../src/image/parents.ts'
import {
  formatPlatform,
  openSource,
  parsePlatform,
  type Source,
  selectImage,
  selectImages,
  selectImagesOfNames,
} from '../src/open.ts'
import {parseReference} from '../src/reference.ts'
import {
  blobMember,
  descriptorOf,
  dockerMembers,
  hybridMembers,
  imageBlobs,
  indexOf,
  layerOf,
  layoutMembers,
  type Member,
  manifestOf,
  namedManifest,
  ociMembers,
  type Recipe,
  refName,
  scratch,
  sourceOf,
  tarOf,
  types,
  v1Members,
  writeMembers,
  writeScratch,
} from './helpers/image.ts'

/** Images that differ by their one layer. */
const named = (...names: (readonly string[])[]): Recipe[] =>
  names.map((list, n) => ({names: list, layers: [layerOf(`${n}`)]}))

/** One name for several platforms, as an index has it. */
function platformsOf(...platforms: {architecture: string; variant?: string; os?: string}[]): Member[] {
  const recipes = platforms.map((config) => ({layers: [layerOf('same')], config}))
  return layoutMembers(
    recipes.map((recipe) => namedManifest(manifestOf(recipe), 'app:1')),
    recipes.flatMap(imageBlobs),
  )
}

const own = {x64: 'amd64', arm64: 'arm64', ia32: '386', ppc64: 'ppc64le'}[process.arch as string] ?? process.arch
const foreign = own === 'riscv64' ? 's390x' : 'riscv64'
const thrown = (t: ExecutionContext, work: () => unknown, code: string): ImgtoolError => {
  const error = t.throws(work, {code})
  if (!(error instanceof ImgtoolError)) throw error
  return error
}

/** The references of a hint, without what stands behind them in parentheses. */
const choicesOf = (hint: string) => hint.match(/\/\S*app\.tar[^\s,]*/g) ?? []

test('takes the only image of an archive', async (t) => {
  t.is(selectImage(await sourceOf(t, dockerMembers(named(['app:1', 'app:2'])))).index, 0)
})

test('takes the image that is named, in every spelling', async (t) => {
  const members = dockerMembers(named(['app:latest'], ['me/app:1', 'other:2']))
  for (const [name, index] of [
    ['app', 0],
    ['docker.io/library/app:latest', 0],
    ['other:2', 1],
  ] as const) {
    t.is(selectImage(await sourceOf(t, members, {name})).index, index)
  }
  t.is(selectImage(await sourceOf(t, members, {index: 1})).index, 1)
})

test('finds no image of another name, index or platform, and says which there are', async (t) => {
  const members = dockerMembers(named(['app:1'], ['other:1']))
  for (const selector of [{name: 'none'}, {index: 2}]) {
    const source = await sourceOf(t, members, selector)
    const {details} = thrown(t, () => selectImage(source), 'IMAGE_NOT_FOUND')
    t.deepEqual(
      choicesOf(details.hint ?? '').map((choice) => choice.split('app.tar:')[1]),
      ['app:1', 'other:1'],
    )
  }
  const source = await sourceOf(t, members)
  const platform = {os: 'linux', architecture: foreign}
  const {message, details} = thrown(t, () => selectImages(source, {platform}), 'IMAGE_NOT_FOUND')
  t.true(message.includes(`for linux/${foreign}`))
  t.regex(details.hint ?? '', /^It holds \S+:app:1 \(linux\/\w+\), \S+:other:1 \(linux\/\w+\)$/)
})

test('takes the image whose last node in a tree has the id, and does not choose where several have', async (t) => {
  const [base, app] = [layerOf('base'), layerOf('app')]
  const members = dockerMembers([
    {names: ['base:1'], layers: [base]},
    {names: ['app:1'], layers: [base, app]},
    {names: ['app:2'], layers: [base, app], config: {author: 'me'}},
  ])
  const source = await sourceOf(t, members)
  const nodes = findParents([{label: '', set: source.set}])
  const nodeOf = (tag: string) => nodes.find(({tags}) => tags.includes(tag))!.id
  const select = (name: string) => selectImages({...source, reference: {...source.reference, name}})
  for (const id of [nodeOf('base:1'), nodeOf('base:1').slice(7, 19)]) t.deepEqual(select(id)[0]?.names, ['base:1'])
  t.is(select(nodeOf('app:1')).length, 2)
  t.is(nodeOf('app:1'), nodeOf('app:2'))
})

test('takes what a name and a digest mean, and says which of both does not fit', async (t) => {
  const recipes = named(['app:1'], ['other:1'])
  const [app, other] = recipes.map((recipe) => sha256(manifestOf(recipe))) as [string, string]
  const source = await sourceOf(t, ociMembers(recipes))
  const select = (name: string) => selectImages({...source, reference: {...source.reference, name}})
  t.deepEqual(select(`app:1@${app}`)[0]?.names, ['app:1'])
  const digest = thrown(t, () => select(`app:1@${other}`), 'IMAGE_NOT_FOUND')
  t.regex(digest.message, /: "app:1" has another digest$/)
  t.is(digest.details.hint, `Its digest is ${app}`)
  const name = thrown(t, () => select(`none:1@${other}`), 'IMAGE_NOT_FOUND')
  t.regex(name.message, /: the image with the digest is not called "none:1"$/)
  t.regex(name.details.hint ?? '', /^It is \S+:other:1$/)
  t.regex(thrown(t, () => select(`none:1@${sha256('x')}`), 'IMAGE_NOT_FOUND').details.hint ?? '', /^It holds /)
})

test('takes the images of an index by its digest, with a name or without', async (t) => {
  const recipes = ['s390x', 'mips'].map((architecture) => ({layers: [layerOf('same')], config: {architecture}}))
  const inner = indexOf(...recipes.map((recipe) => descriptorOf(manifestOf(recipe), types.manifest)))
  const blobs = [...recipes.flatMap(imageBlobs), blobMember(inner)]
  const source = await sourceOf(t, layoutMembers([descriptorOf(inner, types.index, refName('app:1'))], blobs))
  for (const name of [sha256(inner), `app:1@${sha256(inner)}`]) {
    t.is(selectImages({...source, reference: {...source.reference, name}}).length, 2)
  }
})

test('does not choose among several images', async (t) => {
  const source = await sourceOf(t, dockerMembers(named(['app:1'], ['other:1'])))
  t.is(selectImages(source).length, 2)
  t.is(thrown(t, () => selectImage(source), 'IMAGE_AMBIGUOUS').details.archive, source.archive.label)
})

const hard: readonly (readonly [string, readonly Member[]])[] = [
  ['plain names', dockerMembers(named(['app:1'], ['me/app:1'], ['registry:5000/app:1']))],
  ['no names', dockerMembers(named([], []))],
  ['one name for two images', dockerMembers(named(['app:1'], ['app:1']))],
  ['a name that is the short form of another', dockerMembers(named(['app:latest'], ['app']))],
  ['a name that looks like an index', dockerMembers(named(['@1'], ['@0']))],
  ['an empty name', dockerMembers(named([''], ['app:1']))],
  [
    'names with what a shell or a terminal minds',
    dockerMembers(named(['a b'], ['c, d'], ['$(x)'], ['\u001b[2J'], ['(x)'])),
  ],
  ['tags of a layout', ociMembers(named(['1.0'], ['latest']))],
  ['a tag that is also the end of a whole name', ociMembers(named(['app:1'], ['1']))],
  ['platforms of one name', platformsOf({architecture: 's390x'}, {architecture: 'mips'})],
  ['images before docker 1.10', v1Members([{id: 'a'}, {id: 'b'}], {app: {'1': 'a'}})],
  ['names that are ids', dockerMembers(named(['deadbeefcafe'], ['other:1']))],
]

for (const [what, members] of hard) {
  test(`lists references that select what they stand for: ${what}`, async (t) => {
    const source = await sourceOf(t, members)
    const {details} = thrown(t, () => selectImage(source), 'IMAGE_AMBIGUOUS')
    const choices = choicesOf(details.hint ?? '')
    const selected = choices.map((choice) => selectImage({...source, reference: parseReference(choice)}).index)
    t.deepEqual(
      selected,
      source.set.images.map(({index}) => index),
    )
  })
}

test('lists references with the transport that was typed, and not hundreds of them', async (t) => {
  const path = writeScratch(t, tarOf(dockerMembers(named(...Array.from({length: 30}, (_, n) => [`app:${n}`])))))
  const source = await openSource({transport: 'docker-archive', path})
  t.teardown(() => source[Symbol.asyncDispose]())
  const hint = thrown(t, () => selectImage(source), 'IMAGE_AMBIGUOUS').details.hint ?? ''
  t.true(hint.startsWith(`Name one: docker-archive:${path}:app:0, docker-archive:`))
  t.true(hint.endsWith(', and 18 more'))
})

test('prefers the image for this machine where one name has one image a platform', async (t) => {
  const source = await sourceOf(t, platformsOf({architecture: foreign}, {architecture: own}))
  t.is(selectImage(source).platform.architecture, own)
  t.is(selectImages(source).length, 2)
})

test('takes the image for this machine of each name with one image a platform', async (t) => {
  const source = await sourceOf(t, platformsOf({architecture: foreign}, {architecture: own}))
  const select = (options: object = {}) =>
    selectImagesOfNames(source, {isRenamed: false, ...options}).map(({platform}) => platform.architecture)
  t.deepEqual(select(), [own])
  t.deepEqual(select({platform: {os: 'linux', architecture: foreign}}), [foreign])
  const strange = await sourceOf(t, platformsOf({architecture: foreign}, {architecture: 'mips64le'}))
  t.is(selectImagesOfNames(strange, {isRenamed: false}).length, 2)
})

test('prefers none where images of this machine have different names', async (t) => {
  const recipes = named(['app:1'], ['other:1'])
  const members = dockerMembers([
    {...recipes[0]!, config: {architecture: own}},
    {...recipes[1]!, config: {architecture: foreign}},
  ])
  const source = await sourceOf(t, members)
  t.throws(() => selectImage(source), {code: 'IMAGE_AMBIGUOUS'})
})

test('takes images without names for one image only where an index lists them for their platforms', async (t) => {
  const recipes = [own, foreign].map((architecture) => ({layers: [layerOf('same')], config: {architecture}}))
  const blobs = recipes.flatMap(imageBlobs)
  const manifests = recipes.map((recipe) => descriptorOf(manifestOf(recipe), types.manifest))
  const platforms = manifests.map((manifest, at) => ({...manifest, platform: {os: 'linux', ...recipes[at]!.config}}))
  const nested = indexOf(...manifests)
  const alone = [dockerMembers(recipes), layoutMembers(manifests, blobs)]
  const together = [
    layoutMembers(platforms, blobs),
    layoutMembers([descriptorOf(nested, types.index)], [...blobs, blobMember(nested)]),
  ]
  for (const members of alone) {
    const source = await sourceOf(t, members)
    t.throws(() => selectImage(source), {code: 'IMAGE_AMBIGUOUS'})
    t.is(selectImagesOfNames(source, {isRenamed: true}).length, 2)
  }
  for (const members of together) {
    const source = await sourceOf(t, members)
    t.is(selectImage(source).platform.architecture, own)
    t.is(selectImagesOfNames(source, {isRenamed: true}).length, 1)
    t.is(selectImagesOfNames(source, {isRenamed: false}).length, 2)
  }
})

test('takes the platform that is asked for, with its variant or any', async (t) => {
  const arm = (variant: string) => ({architecture: 'arm', variant})
  const source = await sourceOf(
    t,
    platformsOf({architecture: own}, arm('v6'), arm('v7'), {architecture: foreign, os: 'windows'}),
  )
  const select = (text: string) => selectImage(source, {platform: parsePlatform(text)}).index
  t.is(select(`linux/${own}`), 0)
  t.is(select('linux/arm/v7'), 2)
  t.is(select(`windows/${foreign}`), 3)
  t.throws(() => select('linux/arm'), {code: 'IMAGE_AMBIGUOUS'})
  t.throws(() => select('linux/arm/v8'), {code: 'IMAGE_NOT_FOUND'})
})

test('reads and writes platforms', (t) => {
  for (const text of ['linux/amd64', 'linux/arm/v7', 'windows/amd64']) t.is(formatPlatform(parsePlatform(text)), text)
  for (const text of ['', 'linux', 'linux/', '/amd64', 'linux/arm/', 'linux/arm/v7/x']) {
    t.throws(() => parsePlatform(text), {code: 'REFERENCE_INVALID'}, text)
  }
})

test('takes a transport at its word', async (t) => {
  const app = named(['app:1'])
  const tar = (members: readonly Member[]) => writeScratch(t, tarOf(members))
  const directory = (members: readonly Member[]) => writeMembers(scratch(t), members)
  const docker = dockerMembers(app)
  const [oci, hybrid, v1] = [ociMembers(app), hybridMembers(app), v1Members([{id: 'a'}])]
  const opens = async (transport: 'docker-archive' | 'oci' | 'oci-archive' | 'auto', path: string) => {
    await (await openSource({transport, path}))[Symbol.asyncDispose]()
    t.pass()
  }
  for (const members of [docker, hybrid, v1]) await opens('docker-archive', tar(members))
  for (const members of [oci, hybrid]) await opens('oci', directory(members))
  for (const members of [oci, hybrid]) await opens('oci-archive', tar(members))
  for (const members of [docker, hybrid, v1, oci]) await opens('auto', directory(members))
  for (const [transport, path] of [
    ['docker-archive', tar(oci)],
    ['oci', tar(oci)],
    ['oci', directory(docker)],
    ['oci-archive', directory(oci)],
    ['oci-archive', tar(docker)],
    ['oci-archive', tar(v1)],
  ] as const) {
    await t.throwsAsync(openSource({transport, path}), {code: 'FORMAT_UNKNOWN'}, `${transport} ${path}`)
  }
})

test('reads a file whose name has colons', async (t) => {
  const directory = scratch(t)
  mkdirSync(join(directory, 'a:b'))
  const path = join(directory, 'a:b', 'app:1.tar')
  writeFileSync(path, tarOf(dockerMembers(named(['app:1'], ['other:1']))))
  const source: Source = await openSource(parseReference(`${path}:other:1`, (candidate) => candidate === path))
  t.teardown(() => source[Symbol.asyncDispose]())
  t.is(selectImage(source).index, 1)
})
