import {createHash} from 'node:crypto'
import {existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {gzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {type ConvertOptions, type ConvertResult, convertImages} from '../src/convert.ts'
import {type Destination, type Format, formats, parseDestination} from '../src/destination.ts'
import {type Digest, sha256, shortID} from '../src/digest.ts'
import {resolveV1} from '../src/ids.ts'
import type {Image} from '../src/image/model.ts'
import {splitTag} from '../src/image/names.ts'
import {readLayer, startBudget} from '../src/layer/read.ts'
import {defaultLimits} from '../src/limits.ts'
import {openSource, parsePlatform, type Source, selectImages} from '../src/open.ts'
import {isSound, verifyArchive} from '../src/verify.ts'
import {expected, fixture} from './helpers/fixtures.ts'
import {
  blobMember,
  configOf,
  descriptorOf,
  dockerMembers,
  hybridMembers,
  imageBlobs,
  indexOf,
  layerOf,
  layoutMembers,
  type Member,
  manifestOf,
  ociMembers,
  refName,
  replaced,
  scratch,
  tarOf,
  types,
  v1Members,
  writeMembers,
  writeScratch,
} from './helpers/image.ts'
import {sharedDir, sharedTest} from './helpers/shared.ts'

const allFormats = Object.keys(formats) as Format[]

async function open(t: ExecutionContext, path: string): Promise<Source> {
  const source = await openSource(path)
  t.teardown(() => source[Symbol.asyncDispose]())
  return source
}

async function openMembers(t: ExecutionContext, members: readonly Member[]): Promise<Source> {
  return open(t, writeScratch(t, tarOf(members)))
}

interface Converted {
  readonly path: string
  readonly result: ConvertResult
  readonly source: Source
  readonly warnings: readonly string[]
}

/** Converts a source and opens what came out. */
async function convert(
  t: ExecutionContext,
  from: Source,
  format: Format,
  options: ConvertOptions & {readonly platform?: string; readonly path?: string; readonly name?: string} = {},
): Promise<Converted> {
  const {platform, path = join(scratch(t), 'new'), name, ...rest} = options
  const images = selectImages(from, platform === undefined ? {} : {platform: parsePlatform(platform)})
  const destination: Destination = {format, path, ...(name !== undefined && {name})}
  const warnings: string[] = []
  const result = await convertImages(from, images, destination, {
    ...rest,
    onWarning: ({message}) => warnings.push(message),
  })
  const verification = await verifyArchive({transport: 'auto', path})
  t.true(isSound(verification), JSON.stringify(verification.findings))
  return {path, result, source: await open(t, path), warnings}
}

/** What must stay: for each image its ID, its names and the diffIDs that its layers really have, by name. */
async function describe({set}: Source): Promise<unknown[]> {
  const configs = await resolveV1(set)
  const described = []
  for (const image of set.images) {
    const budget = startBudget(defaultLimits)
    const diffIDs: Digest[] = []
    for (const layer of image.layers) diffIDs.push((await readLayer(layer, ignored, budget)).diffID)
    const imageID = image.imageID ?? configs.get(image.v1ID!)?.imageID
    described.push({imageID, names: image.names.filter((name) => splitTag(name)).toSorted(), diffIDs})
  }
  return described.toSorted((a, b) => (`${a.imageID}${a.names}` < `${b.imageID}${b.names}` ? -1 : 1))
}

/** The layers of all images. */
async function layersOf(source: Source): Promise<string[]> {
  return (await describe(source)).map((image) => (image as {diffIDs: Digest[]}).diffIDs.join()).toSorted()
}

const ignored = {entry: () => {}, data: () => {}, end: () => {}}

const isOneImageAName = (name: string) => name !== 'buildah-oci-platforms.tar'

for (const name of Object.keys(expected).filter(isOneImageAName)) {
  for (const format of allFormats.filter((each) => each !== 'docker-v1')) {
    test(`${name} as ${format} has the same images`, async (t) => {
      const from = await open(t, fixture(name))
      const {source, result} = await convert(t, from, format)
      t.deepEqual(await describe(source), await describe(from))
      t.is(result.images.length, from.set.images.length)
      t.deepEqual(source.set.warnings, [])
      t.is(source.set.format, format.startsWith('oci') ? 'oci' : 'docker-archive')
    })
  }

  test(`${name} as docker-v1 has the same layers, and the same ids where it had such`, async (t) => {
    const from = await open(t, fixture(name))
    const {source} = await convert(t, from, 'docker-v1')
    t.is(source.set.format, 'docker-v1')
    t.deepEqual(await layersOf(source), await layersOf(from))
    if (from.set.format === 'docker-v1') {
      t.deepEqual(await describe(source), await describe(from))
      t.deepEqual(
        new Set(source.set.v1.keys()),
        new Set(from.set.images.flatMap(({layers}) => layers.map(({v1ID}) => v1ID))),
      )
    }
  })
}

sharedTest('images of the shared folder stay what they are in every format', async (t) => {
  const folder = join(sharedDir()!, 'images')
  const names = readdirSync(folder).filter(
    (name) => /^(?!not-an-image).*\.tar/.test(name) && statSync(join(folder, name)).size < 20e6,
  )
  t.true(names.length > 0)
  for (const name of names) {
    const from = await open(t, join(folder, name))
    const before = await describe(from)
    for (const format of allFormats.filter((each) => each !== 'docker-v1')) {
      const {source} = await convert(t, from, format)
      t.deepEqual(await describe(source), before, `${name} as ${format}`)
    }
    const {source} = await convert(t, from, 'docker-v1', {names: []})
    t.deepEqual(await layersOf(source), await layersOf(from), `${name} as docker-v1`)
  }
})

test('what an OCI archive says stays to the last byte where nothing has to change', async (t) => {
  for (const name of ['skopeo-oci-gzip.tar', 'skopeo-oci-zstd.tar', 'podman-oci-archive.tar', 'umoci-oci.tar']) {
    const from = await open(t, fixture(name))
    const {source, result} = await convert(t, from, 'oci-archive')
    const facts = (images: readonly Image[]) =>
      images.map(({manifestDigest, names, layers}) => ({
        manifestDigest,
        names,
        digests: layers.map(({digest}) => digest),
      }))
    t.deepEqual(facts(source.set.images), facts(from.set.images))
    t.true(result.layers.every(({isKept}) => isKept))
  }
})

test('the manifest beside a manifest.json stays, too', async (t) => {
  const recipe = {names: ['a:1'], layers: [layerOf('file')]}
  const manifest = manifestOf(recipe, {annotations: {kept: 'yes'}})
  const members = hybridMembers([recipe]).map((member) =>
    member.name === 'index.json'
      ? {...member, body: JSON.stringify({manifests: [descriptorOf(manifest, types.manifest)]})}
      : member,
  )
  const from = await openMembers(t, [...members, blobMember(manifest)])
  const {source} = await convert(t, from, 'oci')
  t.is(source.set.images[0]!.manifestDigest, sha256(manifest))
})

test('a manifest of docker, and one that is wrong about its layers, becomes one of OCI that is right', async (t) => {
  const layer = layerOf('file')
  const config = configOf({layers: [layer]})
  const docker = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: descriptorOf(config, 'application/vnd.docker.container.image.v1+json'),
    layers: [descriptorOf(layer, 'application/vnd.docker.image.rootfs.diff.tar')],
  })
  const mislabeled = JSON.stringify({
    ...JSON.parse(manifestOf({layers: [layer]})),
    layers: [descriptorOf(layer, `${types.layer}+gzip`)],
    annotations: {kept: 'yes'},
  })
  const members = layoutMembers(
    [
      descriptorOf(docker, 'application/vnd.docker.distribution.manifest.v2+json', refName('a:1')),
      descriptorOf(mislabeled, types.manifest, refName('b:1')),
    ],
    [layer, config, docker, mislabeled].map(blobMember),
  )
  const {source} = await convert(t, await openMembers(t, members), 'oci')
  const [first, second] = source.set.images.map(({manifest}) => JSON.parse(manifest!.toString()))
  for (const manifest of [first, second]) {
    t.like(manifest, {mediaType: types.manifest, config: {mediaType: types.config}})
    t.deepEqual(manifest.layers, [descriptorOf(layer, types.layer)])
  }
  t.deepEqual(second.annotations, {kept: 'yes'})
})

for (const compression of ['none', 'gzip', 'zstd'] as const) {
  test(`layers become ${compression}, whatever they were, and the images stay`, async (t) => {
    for (const name of [
      'docker-1.9.tar.gz',
      'docker-20.10-several.tar',
      'skopeo-oci-gzip.tar',
      'skopeo-oci-zstd.tar',
    ]) {
      const from = await open(t, fixture(name))
      const {source, result} = await convert(t, from, 'oci-archive', {compression})
      t.deepEqual(await describe(source), await describe(from))
      t.true(result.layers.every((layer) => layer.compression === compression))
      for (const {mediaType} of source.set.images.flatMap(({layers}) => layers)) {
        t.is(mediaType, compression === 'none' ? types.layer : `${types.layer}+${compression}`)
      }
    }
  })
}

test('layers that are compressed as asked for are kept, unless the level is asked for, too', async (t) => {
  const from = await open(t, fixture('skopeo-oci-gzip.tar'))
  const same = await convert(t, from, 'oci-archive', {compression: 'gzip'})
  t.true(same.result.layers.every(({isKept}) => isKept))
  const again = await convert(t, from, 'oci-archive', {compression: 'gzip', level: 1})
  t.false(again.result.layers.some(({isKept}) => isKept))
  t.like(again.result.compressor, {compression: 'gzip', level: 1})
  const kept = await convert(t, from, 'oci-archive', {level: 1})
  t.true(kept.result.layers.every(({isKept}) => isKept))
})

test('layers are decompressed where the readers of the format would not take them', async (t) => {
  const from = await open(t, fixture('skopeo-oci-zstd.tar'))
  const {result} = await convert(t, from, 'docker-archive')
  t.true(result.layers.every(({compression}) => compression === 'none'))
  const gzip = await convert(t, await open(t, fixture('skopeo-oci-gzip.tar')), 'docker-archive')
  t.true(gzip.result.layers.every(({compression, isKept}) => compression === 'gzip' && isKept))
  await t.throwsAsync(convert(t, from, 'docker-archive', {compression: 'zstd'}), {
    code: 'REFERENCE_INVALID',
    message: /expected one of keep, none, gzip/,
  })
})

test('a layer of several images is stored once', async (t) => {
  const base = layerOf('base')
  const members = dockerMembers([
    {names: ['a:1'], layers: [base, layerOf('a')]},
    {names: ['b:1'], layers: [base, layerOf('b'), base]},
  ])
  for (const format of allFormats) {
    for (const compression of format.startsWith('oci') ? (['keep', 'gzip'] as const) : (['keep'] as const)) {
      const {result, source} = await convert(t, await openMembers(t, members), format, {compression})
      t.is(result.layers.length, 3)
      t.is(source.set.images.length, 2)
    }
  }
})

test('one tar under two names is stored once, also when that is only known after it was read', async (t) => {
  const layer = layerOf('same')
  const members = v1Members(
    [
      {id: '1', layer},
      {id: '2', parent: '1', layer},
      {id: '3', parent: '2', layer: layerOf('other')},
    ],
    {app: {'1': '3'}},
  )
  const from = await openMembers(t, members)
  for (const format of allFormats) {
    const {result, source} = await convert(t, from, format)
    t.is(result.layers.length, 2)
    t.is(source.set.images[0]!.layers.length, 3)
  }
})

test('parents of docker archives stay, and those of archives before 1.10 appear', async (t) => {
  const several = await open(t, fixture('docker-20.10-several.tar'))
  const parents = ({set}: Source) => set.images.map(({parent}) => parent)
  t.true(parents(several).some((parent) => parent !== undefined))
  t.deepEqual(parents((await convert(t, several, 'docker-archive')).source), parents(several))
  const chain = v1Members([{id: '1'}, {id: '2', parent: '1'}], {app: {base: '1', top: '2'}})
  const {set} = (await convert(t, await openMembers(t, chain), 'docker-1.10')).source
  t.is(set.images[1]!.parent, set.images[0]!.imageID)
})

test('one name for two images of one platform is refused with a hint that helps', async (t) => {
  const from = await openMembers(
    t,
    ociMembers(['one', 'two'].map((file) => ({names: ['app:1'], layers: [layerOf(file)]}))),
  )
  const error = await t.throwsAsync(convert(t, from, 'docker-archive'), {code: 'IMAGE_UNSUITABLE'})
  t.is(error?.message, 'Cannot write "app:1" for the images @0 and @1 as docker-archive, which holds one image a name')
  t.like(error, {
    details: {hint: 'Choose one with SOURCE:@0, and give the other another name: SOURCE:@1 with --tag NAME'},
  })
})

test('several platforms stay together in OCI, and docker archives take one', async (t) => {
  const from = await open(t, fixture('buildah-oci-platforms.tar'))
  const {source} = await convert(t, from, 'oci-archive')
  const facts = ({set}: Source) =>
    set.images.map(({imageID, names, platform, manifestDigest}) => ({imageID, names, platform, manifestDigest}))
  t.deepEqual(facts(source), facts(from))
  const index = source.archive.blob('index.json')!
  t.is(JSON.parse((await index.read(0, index.size)).toString()).manifests.length, 1)
  await t.throwsAsync(convert(t, from, 'docker-archive', {names: ['app']}), {
    code: 'IMAGE_UNSUITABLE',
    message: /"app:latest" for linux\/amd64 and linux\/arm64/,
  })
  const one = await convert(t, from, 'docker-archive', {platform: 'linux/arm64', names: ['app']})
  t.deepEqual(
    one.source.set.images.map(({names}) => names),
    [['app:latest']],
  )
})

test('images without names stay together or apart, as they were', async (t) => {
  const recipes = ['amd64', 'arm64'].map((architecture) => ({layers: [layerOf(architecture)], config: {architecture}}))
  const blobs = recipes.flatMap(imageBlobs)
  const nested = indexOf(...recipes.map((recipe) => descriptorOf(manifestOf(recipe), types.manifest)))
  const together = layoutMembers([descriptorOf(nested, types.index)], [...blobs, blobMember(nested)])
  for (const [members, mediaTypes] of [
    [dockerMembers(recipes), [types.manifest, types.manifest]],
    [ociMembers(recipes), [types.manifest, types.manifest]],
    [together, [types.index]],
  ] as const) {
    const from = await openMembers(t, members)
    for (const format of ['oci', 'oci-archive', 'docker-archive'] as const) {
      const {archive} = (await convert(t, from, format)).source
      const index = archive.blob('index.json')!
      const {manifests} = JSON.parse((await index.read(0, index.size)).toString())
      t.deepEqual(
        manifests.map(({mediaType}: {mediaType: string}) => mediaType),
        mediaTypes,
      )
    }
    const naming = convert(t, from, 'oci', {names: ['app']})
    if (mediaTypes.length > 1) await t.throwsAsync(naming, {code: 'IMAGE_AMBIGUOUS'})
    else t.is((await naming).source.set.images.length, 2)
  }
})

test('names can be given, and docker archives say what they cannot hold', async (t) => {
  const one = await open(t, fixture('docker-20.10-one.tar'))
  const given = await convert(t, one, 'oci', {names: ['b:2', 'host:5000/c'], name: 'a'})
  t.deepEqual(given.source.set.images[0]!.names, ['a', 'b:2', 'host:5000/c'])
  const docker = await convert(t, one, 'docker-v1', {names: ['b:2', 'host:5000/c'], name: 'a'})
  t.deepEqual(docker.source.set.images[0]!.names, ['a:latest', 'b:2', 'host:5000/c:latest'])
  const lost = await convert(t, await open(t, fixture('umoci-oci.tar')), 'docker-archive')
  t.deepEqual(lost.source.set.images[0]!.names, [])
  t.is(lost.warnings.length, 2)
  await t.throwsAsync(convert(t, await open(t, fixture('docker-20.10-several.tar')), 'oci', {names: ['a']}), {
    code: 'IMAGE_AMBIGUOUS',
  })
  await t.throwsAsync(convert(t, one, 'oci', {names: ['a b']}), {code: 'REFERENCE_INVALID'})
})

test('a name that docker would refuse is left out, and it is said what is needed', async (t) => {
  const messageOf = async (name: string) => {
    const from = await openMembers(t, ociMembers([{names: [name, 'app:1'], layers: [layerOf('file')]}]))
    const {source, warnings} = await convert(t, from, 'docker-archive')
    t.deepEqual(source.set.images.flatMap(({names}) => names).toSorted(), ['app:1'])
    return warnings.join()
  }
  t.regex(await messageOf('1.0'), /"1\.0", because docker needs a name and a tag; .* --tag NAME:1\.0$/)
  t.regex(await messageOf('shop/app'), /--tag shop\/app:latest$/)
  t.regex(await messageOf('App:1.0'), /"App:1\.0", which docker refuses/)
  const docker = await openMembers(t, dockerMembers([{names: ['app'], layers: [layerOf('file')]}]))
  t.regex((await convert(t, docker, 'docker-archive')).warnings.join(), /--tag app:latest$/)
})

test('a repository may be called like what every object has', async (t) => {
  const from = await openMembers(t, dockerMembers([{names: ['constructor:1', 'valueof:2']}]))
  const {source} = await convert(t, from, 'docker-v1')
  t.deepEqual(source.set.images[0]!.names, ['constructor:1', 'valueof:2'])
})

test('every format is read under the name that it is written by', async (t) => {
  const from = await open(t, fixture('docker-20.10-one.tar'))
  for (const format of allFormats) {
    const {path} = await convert(t, from, format)
    t.is((await open(t, `${format}:${path}:shop/web:1.0`)).reference.transport, format)
  }
  const {path} = await convert(t, from, 'docker-v1')
  await t.throwsAsync(openSource(`docker-1.10:${path}`), {code: 'FORMAT_UNKNOWN'})
})

test('an image without layers needs a format that has configs', async (t) => {
  const from = await openMembers(t, ociMembers([{names: ['a:1'], layers: []}]))
  for (const format of ['oci', 'docker-archive'] as const) {
    t.is((await convert(t, from, format)).source.set.images[0]!.layers.length, 0)
  }
  for (const format of ['docker-1.10', 'docker-v1'] as const) {
    await t.throwsAsync(convert(t, from, format), {code: 'IMAGE_UNSUITABLE'})
  }
})

test('blobs of sha512 keep their names', async (t) => {
  const layer = layerOf('file')
  const long: Digest = `sha512:${createHash('sha512').update(layer).digest('hex')}`
  const manifest = JSON.stringify({
    ...JSON.parse(manifestOf({layers: [layer]})),
    layers: [{...descriptorOf(layer, types.layer), digest: long}],
  })
  const members = layoutMembers(
    [descriptorOf(manifest, types.manifest, refName('a:1'))],
    [configOf({layers: [layer]}), manifest].map(blobMember),
  )
  const from = await openMembers(
    t,
    [...members, {name: 'blobs/sha512/x', body: ''}].map((member) => member),
  )
  t.is(from.set.images[0]!.layers[0]!.digest, long)
  const folder = writeMembers(join(scratch(t), 'layout'), [
    ...members,
    {name: `blobs/${long.replace(':', '/')}`, body: layer},
  ])
  const {source} = await convert(t, await open(t, folder), 'oci-archive')
  t.is(source.set.images[0]!.layers[0]!.digest, long)
  await describe(source)
})

test('empty layers can be left out of what was saved before docker 1.10', async (t) => {
  const from = await open(t, fixture('docker-1.9.tar.gz'))
  const whole = await convert(t, from, 'oci-archive')
  for (const format of allFormats) {
    const {source, result} = await convert(t, from, format, {dropEmptyLayers: true})
    const [image] = source.set.images
    t.is(image!.layers.length, 6)
    t.is(result.layers.length, 6)
    if (format === 'docker-v1') continue
    t.is(image!.history.length, 16)
    t.is(image!.history.filter(({emptyLayer}) => emptyLayer).length, 10)
    const changed = ({rootfs, history, ...same}: Record<string, unknown>) => ({same, lost: !rootfs || !history})
    t.deepEqual(
      changed(JSON.parse(image!.config.toString())),
      changed(JSON.parse(whole.source.set.images[0]!.config.toString())),
    )
  }
})

test('layers of every emptiness are left out, compressed ones and all of them', async (t) => {
  const zeros = [Buffer.alloc(0), Buffer.alloc(512), Buffer.alloc(1024), Buffer.alloc(10_240)]
  const members = dockerMembers([
    {names: ['a:1'], layers: [...zeros, layerOf('file')]},
    {names: ['b:1'], layers: zeros},
  ])
  const {source} = await convert(t, await openMembers(t, members), 'oci-archive', {dropEmptyLayers: true})
  t.deepEqual(
    source.set.images.map(({layers}) => layers.length),
    [1, 0],
  )
  const gzip = await convert(t, await openMembers(t, members), 'oci-archive', {compression: 'gzip'})
  const dropped = await convert(t, gzip.source, 'oci-archive', {dropEmptyLayers: true})
  t.deepEqual(
    dropped.source.set.images.map(({layers}) => layers.length),
    [1, 0],
  )
})

test('a better config says the platform, which docker before 0.9 did not', async (t) => {
  const from = await open(t, fixture('docker-0.7.tar'))
  const platformOf = ({source}: Converted) => {
    const {os, architecture} = JSON.parse(source.set.images[0]!.config.toString())
    return {os, architecture}
  }
  t.is(platformOf(await convert(t, from, 'oci-archive')).os, undefined)
  const better = await convert(t, from, 'oci-archive', {dropEmptyLayers: true})
  t.deepEqual(platformOf(better), {os: 'linux', architecture: 'amd64'})
})

test('one tar under two digests is one layer where layers are called by what they hold, also down a pipe', async (t) => {
  const layer = layerOf('file')
  const long: Digest = `sha512:${createHash('sha512').update(layer).digest('hex')}`
  const recipes = ['a', 'b', 'c'].map((author) => ({layers: [layer], config: {author}}))
  const gzipped = gzipSync(layer)
  const stored = [
    descriptorOf(layer, types.layer),
    {...descriptorOf(layer, types.layer), digest: long},
    descriptorOf(gzipped, `${types.layer}+gzip`),
  ]
  const manifests = recipes.map((recipe, at) => manifestOf(recipe, {layers: [stored[at]]}))
  const named = manifests.map((manifest, at) => descriptorOf(manifest, types.manifest, refName(`a:${at}`)))
  const members = layoutMembers(named, [layer, gzipped, ...recipes.map(configOf), ...manifests].map(blobMember))
  const folder = writeMembers(join(scratch(t), 'layout'), [
    ...members,
    {name: `blobs/${long.replace(':', '/')}`, body: layer},
  ])
  for (const order of [
    [0, 1, 2],
    [1, 0, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const from = await open(t, folder)
    const images = order.map((at) => from.set.images[at]!)
    for (const [format, layers] of [
      ['docker-1.10', 1],
      ['docker-v1', 1],
      ['oci-archive', 3],
    ] as const) {
      const chunks: Buffer[] = []
      const stdout = async (bytes: Buffer) => void chunks.push(Buffer.from(bytes))
      const result = await convertImages(from, images, parseDestination(`${format}:-`), {stdout})
      t.is(result.layers.length, layers, format)
      const verification = await verifyArchive({transport: 'auto', path: writeScratch(t, Buffer.concat(chunks))})
      t.true(isSound(verification), JSON.stringify(verification.findings))
    }
  }
})

test('an image without empty layers keeps its ID when they are to be left out', async (t) => {
  const from = await open(t, fixture('docker-20.10-several.tar'))
  const {source} = await convert(t, from, 'docker-archive', {dropEmptyLayers: true})
  t.deepEqual(await describe(source), await describe(from))
})

test('down a pipe goes what would be in the file, but for the order', async (t) => {
  for (const name of ['docker-1.9.tar.gz', 'docker-20.10-several.tar', 'skopeo-oci-gzip.tar']) {
    for (const format of allFormats.filter((each) => each !== 'oci')) {
      const from = await open(t, fixture(name))
      const chunks: Buffer[] = []
      await convertImages(from, from.set.images, parseDestination(`${format}:-`), {
        stdout: async (bytes) => void chunks.push(Buffer.from(bytes)),
      })
      const piped = await open(t, writeScratch(t, Buffer.concat(chunks)))
      const {source} = await convert(t, from, format)
      const members = async ({archive}: Source) => {
        const entries = [...archive.members].map(([path, {kind, blob, target}]) => ({path, kind, blob, target}))
        const read = entries.map(async ({blob, ...rest}) => ({...rest, bytes: await blob?.read(0, blob.size)}))
        return (await Promise.all(read)).toSorted((a, b) => (a.path < b.path ? -1 : 1))
      }
      t.deepEqual(await members(piped), await members(source), `${name} as ${format}`)
    }
  }
})

test('a pipe gets the bytes that a file gets where all is known before', async (t) => {
  const from = await open(t, fixture('docker-20.10-several.tar'))
  for (const format of allFormats.filter((each) => each !== 'oci')) {
    const chunks: Buffer[] = []
    const stdout = async (bytes: Buffer) => void chunks.push(Buffer.from(bytes))
    await convertImages(from, from.set.images, parseDestination(`${format}:-`), {stdout})
    const {path} = await convert(t, from, format)
    t.true(Buffer.concat(chunks).equals(readFileSync(path)), format)
  }
})

test('members get the time that is asked for', async (t) => {
  const from = await open(t, fixture('docker-20.10-one.tar'))
  const {path} = await convert(t, from, 'oci-archive', {mtime: 0o12345670})
  t.is(Number.parseInt(readFileSync(path).toString('latin1', 136, 147), 8), 0o12345670)
})

test('a source that is damaged leaves nothing, and what was there stays', async (t) => {
  const layer = layerOf('file')
  const members = dockerMembers([{names: ['a:1'], layers: [layerOf('fine'), layer]}])
  const damaged = members.map((member) => (member.body === layer ? {...member, body: layerOf('elif')} : member))
  const from = await openMembers(t, damaged)
  for (const format of allFormats) {
    const folder = scratch(t)
    const path = join(folder, 'new')
    await t.throwsAsync(convert(t, from, format, {path}), {code: 'DIGEST_MISMATCH', message: /layer 1/})
    t.deepEqual(readdirSync(folder), [])
    if (format === 'oci') continue
    writeFileSync(path, 'old')
    await t.throwsAsync(convert(t, from, format, {path, force: true}), {code: 'DIGEST_MISMATCH'})
    t.is(readFileSync(path, 'utf8'), 'old')
    t.deepEqual(readdirSync(folder), ['new'])
  }
})

test('a stored layer that is not what the manifest says is refused before anything appears', async (t) => {
  const layer = gzipSync(layerOf('file'))
  const members = ociMembers([
    {names: ['a:1'], layers: [layer], config: {rootfs: {diff_ids: [sha256(layerOf('other'))]}}},
  ])
  const from = await openMembers(t, members)
  for (const compression of ['keep', 'none', 'zstd'] as const) {
    const path = join(scratch(t), 'new')
    await t.throwsAsync(convert(t, from, 'oci-archive', {path, compression}), {code: 'DIGEST_MISMATCH'})
    t.false(existsSync(path))
  }
})

test('one blob with two claims about its tar is refused', async (t) => {
  const layer = gzipSync(layerOf('file'))
  const right = {rootfs: {diff_ids: [sha256(layerOf('file'))]}}
  const wrong = {rootfs: {diff_ids: [sha256(layerOf('other'))]}}
  const members = ociMembers([
    {names: ['a:1'], layers: [layer], config: right},
    {names: ['b:1'], layers: [layer], config: wrong},
  ])
  await t.throwsAsync(convert(t, await openMembers(t, members), 'oci-archive'), {code: 'DIGEST_MISMATCH'})
})

test('a partial archive is refused before anything is made', async (t) => {
  const from = await openMembers(
    t,
    v1Members([
      {id: '1', layer: null},
      {id: '2', parent: '1'},
    ]),
  )
  const folder = scratch(t)
  await t.throwsAsync(convert(t, from, 'oci', {path: join(folder, 'new')}), {code: 'BLOB_MISSING'})
  t.deepEqual(readdirSync(folder), [])
})

test('a file is replaced only when that is asked for, and nothing else ever', async (t) => {
  const from = await open(t, fixture('docker-20.10-one.tar'))
  const folder = scratch(t)
  const path = join(folder, 'new')
  writeFileSync(path, 'old')
  await t.throwsAsync(convert(t, from, 'oci-archive', {path}), {code: 'TARGET_EXISTS'})
  t.is(readFileSync(path, 'utf8'), 'old')
  await convert(t, from, 'oci-archive', {path, force: true})
  await t.throwsAsync(convert(t, from, 'oci', {path, force: true}), {code: 'TARGET_INVALID'})
  const link = join(folder, 'link')
  symlinkSync('/dev/null', link)
  await t.throwsAsync(convert(t, from, 'oci-archive', {path: link, force: true}), {code: 'TARGET_INVALID'})
  await t.throwsAsync(convert(t, from, 'oci-archive', {path: folder, force: true}), {code: 'TARGET_INVALID'})
  await t.throwsAsync(convert(t, from, 'oci', {path: folder, force: true}), {code: 'TARGET_EXISTS'})
  await t.throwsAsync(convert(t, from, 'oci', {path: join(folder, 'no', 'new')}), {code: 'TARGET_INVALID'})
  t.deepEqual(readdirSync(folder).toSorted(), ['link', 'new'])
})

test('what killed runs left beside a file or a directory goes', async (t) => {
  const from = await open(t, fixture('docker-20.10-one.tar'))
  const folder = scratch(t)
  writeFileSync(join(folder, 'new.imgtool-0123456789ab'), 'left')
  mkdirSync(join(folder, 'new.imgtool-ba9876543210/blobs'), {recursive: true})
  writeFileSync(join(folder, 'new.imgtool-mine'), 'mine')
  await convert(t, from, 'oci-archive', {path: join(folder, 'new')})
  t.deepEqual(readdirSync(folder).toSorted(), ['new', 'new.imgtool-mine'])
})

test('a layout is added to: its other images stay, and a name goes to the new image', async (t) => {
  const folder = scratch(t)
  const path = join(folder, 'layout')
  const first = ociMembers([
    {names: ['a:1'], layers: [layerOf('a')]},
    {names: ['b:1'], layers: [layerOf('b')]},
  ])
  const extra = first.map((member) =>
    member.name === 'index.json'
      ? {...member, body: JSON.stringify({...JSON.parse(String(member.body)), annotations: {kept: 'yes'}})}
      : member,
  )
  writeMembers(path, replaced(extra, 'oci-layout', {body: '{"imageLayoutVersion": "1.0.0"}\n'}))
  const unchanged = readFileSync(join(path, 'oci-layout'), 'utf8')
  const added = await openMembers(t, dockerMembers([{names: ['b:1', 'c:1'], layers: [layerOf('b'), layerOf('c')]}]))
  const {source, warnings} = await convert(t, added, 'oci', {path})
  const taken = shortID(sha256(manifestOf({layers: [layerOf('b')]})))
  t.deepEqual(warnings, [`The name "b:1" was taken from image ${taken}`])
  t.deepEqual(
    source.set.images.map(({names, layers}) => [names, layers.length]),
    [
      [['a:1'], 1],
      [['b:1', 'c:1'], 2],
    ],
  )
  await describe(source)
  const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8'))
  t.deepEqual(index.annotations, {kept: 'yes'})
  t.is(readFileSync(join(path, 'oci-layout'), 'utf8'), unchanged)
  const before = readFileSync(join(path, 'index.json'))
  const again = await convert(t, added, 'oci', {path})
  t.true(readFileSync(join(path, 'index.json')).equals(before), 'again changes nothing')
  t.deepEqual(again.warnings, [])
  t.deepEqual(readdirSync(folder), ['layout'])
})

test('a layout that is added to in vain has what it had', async (t) => {
  const path = writeMembers(join(scratch(t), 'layout'), ociMembers([{names: ['a:1'], layers: [layerOf('a')]}]))
  const files = () => readdirSync(path, {recursive: true}).toSorted()
  const before = files()
  const layer = layerOf('file')
  const members = dockerMembers([{names: ['b:1'], layers: [layerOf('fine'), layer]}])
  const damaged = members.map((member) => (member.body === layer ? {...member, body: layerOf('elif')} : member))
  await t.throwsAsync(convert(t, await openMembers(t, damaged), 'oci', {path}), {code: 'DIGEST_MISMATCH'})
  t.deepEqual(files(), before)
})

test('a layout whose blobs are elsewhere is not added to', async (t) => {
  const folder = scratch(t)
  const path = writeMembers(join(folder, 'layout'), ociMembers([]))
  mkdirSync(join(folder, 'elsewhere/sha256'), {recursive: true})
  symlinkSync('../elsewhere', join(path, 'blobs'))
  const from = await open(t, fixture('docker-20.10-one.tar'))
  await t.throwsAsync(convert(t, from, 'oci', {path}), {code: 'TARGET_INVALID', message: /no directory of its own/})
  t.deepEqual(readdirSync(join(folder, 'elsewhere/sha256')), [])
})

test('many runs add to one layout at a time, and every image is there', async (t) => {
  const path = writeMembers(join(scratch(t), 'layout'), ociMembers([{names: ['a:1'], layers: [layerOf('a')]}]))
  const names = ['b:1', 'c:1', 'd:1', 'e:1']
  await Promise.all(
    names.map(async (name) => {
      const from = await openMembers(t, dockerMembers([{names: [name], layers: [layerOf(name)]}]))
      await convertImages(from, from.set.images, {format: 'oci', path})
    }),
  )
  const {set} = await open(t, path)
  t.deepEqual(set.images.flatMap((image) => image.names).toSorted(), ['a:1', ...names])
})

test('a run that is interrupted leaves nothing', async (t) => {
  const from = await open(t, fixture('docker-20.10-several.tar'))
  for (const format of allFormats) {
    const folder = scratch(t)
    const controller = new AbortController()
    const options = {signal: controller.signal, onProgress: () => controller.abort(new Error('stop'))}
    await t.throwsAsync(convert(t, from, format, {...options, path: join(folder, 'new')}), {message: 'stop'})
    t.deepEqual(readdirSync(folder), [])
  }
})

test('progress ends with all bytes, of shared layers once', async (t) => {
  const from = await open(t, fixture('docker-20.10-several.tar'))
  const seen: {bytes: number; totalBytes: number; layer: number; layers: number}[] = []
  await convert(t, from, 'oci-archive', {onProgress: (progress) => seen.push(progress)})
  const last = seen.at(-1)!
  t.is(last.bytes, last.totalBytes)
  t.is(last.layer + 1, last.layers)
})
