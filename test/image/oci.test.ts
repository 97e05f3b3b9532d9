import test, {type ExecutionContext} from 'ava'
import {sha256} from '../../src/digest.ts'
import {
  app,
  blobMember,
  configOf,
  descriptorOf,
  imageBlobs,
  imagesOf,
  indexOf,
  layerOf,
  layoutMembers,
  type Member,
  manifestOf,
  namedManifest,
  ociMembers,
  type Recipe,
  readLayers,
  refName,
  replaced,
  types,
  without,
} from '../helpers/image.ts'

const other: Recipe = {layers: [layerOf('other')], config: {architecture: 'arm64', variant: 'v8'}}
const manifest = manifestOf(app)

/** The images of a layout, by their names. */
async function namesIn(t: ExecutionContext, members: readonly Member[]) {
  return (await imagesOf(t, members)).images.map(({names}) => names)
}

test('reads an image with everything its documents say', async (t) => {
  const {format, images, warnings, v1} = await imagesOf(t, ociMembers([app]))
  t.is(format, 'oci')
  t.deepEqual(warnings, [])
  t.is(v1.size, 0)
  const [image] = images
  t.like(image, {
    index: 0,
    names: ['app:1'],
    imageID: sha256(configOf(app)),
    manifestDigest: sha256(manifest),
    platform: {os: 'linux', architecture: 'amd64'},
    created: '2020-01-02T03:04:05Z',
  })
  t.is(image?.config.toString(), configOf(app))
  t.is(image?.manifest?.toString(), manifest)
  t.deepEqual(
    image?.layers.map(({index, diffID, digest, mediaType}) => ({index, diffID, digest, mediaType})),
    app.layers?.map((layer, index) => ({index, diffID: sha256(layer), digest: sha256(layer), mediaType: types.layer})),
  )
  t.deepEqual(
    image?.history.map(({createdBy}) => createdBy),
    ['step 0', 'step 1'],
  )
})

test('takes several names of one image together', async (t) => {
  t.deepEqual(await namesIn(t, ociMembers([{...app, names: ['app:1', 'app:2', 'app:1']}, other])), [
    ['app:1', 'app:2'],
    [],
  ])
})

test('reads nested indexes in their order, and gives what is in them the names above', async (t) => {
  const inner = indexOf(descriptorOf(manifest, types.manifest), descriptorOf(manifestOf(other), types.manifest))
  const outer = indexOf(descriptorOf(inner, types.index))
  const third: Recipe = {layers: [layerOf('third')]}
  const members = layoutMembers(
    [descriptorOf(outer, types.index, refName('app:1')), namedManifest(manifestOf(third), 'third:1')],
    [...imageBlobs(app), ...imageBlobs(other), ...imageBlobs(third), blobMember(inner), blobMember(outer)],
  )
  const {images} = await imagesOf(t, members)
  t.deepEqual(
    images.map(({names}) => names),
    [['app:1'], ['app:1'], ['third:1']],
  )
  t.deepEqual(
    images.map(({index}) => index),
    [0, 1, 2],
  )
  t.is(images[1]?.platform.variant, 'v8')
})

test('keeps every name of an index that is named more than once', async (t) => {
  const inner = indexOf(descriptorOf(manifest, types.manifest), descriptorOf(manifestOf(other), types.manifest))
  const members = layoutMembers(
    ['app:1', 'app:latest'].map((name) => descriptorOf(inner, types.index, refName(name))),
    [...imageBlobs(app), ...imageBlobs(other), blobMember(inner)],
  )
  t.deepEqual(await namesIn(t, members), [
    ['app:1', 'app:latest'],
    ['app:1', 'app:latest'],
  ])
})

test('takes the variant of a descriptor where the config has none', async (t) => {
  const platform = {os: 'linux', architecture: 'amd64', variant: 'v3'}
  const members = layoutMembers([namedManifest(manifest, 'a', {platform})], imageBlobs(app))
  t.is((await imagesOf(t, members)).images[0]?.platform.variant, 'v3')
})

test('leaves attestations out', async (t) => {
  const attestation = manifestOf({layers: [layerOf('attestation')]})
  const members = layoutMembers(
    [
      namedManifest(manifest, 'app:1'),
      descriptorOf(attestation, types.manifest, {
        platform: {os: 'unknown', architecture: 'unknown'},
        annotations: {'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': 'x'},
      }),
    ],
    imageBlobs(app),
  )
  t.deepEqual(await imagesOf(t, members).then(({images, warnings}) => [images.length, warnings]), [1, []])
})

test('leaves artifacts out, whose config is no image config', async (t) => {
  const empty = descriptorOf('{}', 'application/vnd.oci.empty.v1+json')
  const artifact = manifestOf({layers: []}, {artifactType: 'application/x', config: empty, layers: [empty]})
  const members = layoutMembers(
    [descriptorOf(artifact, types.manifest), namedManifest(manifest, 'app:1')],
    [...imageBlobs(app), blobMember(artifact), blobMember('{}')],
  )
  t.deepEqual(await namesIn(t, members), [['app:1']])
})

test('leaves manifests of unknown types out with a warning, as the specification wants', async (t) => {
  const chart = blobMember('a chart')
  const members = layoutMembers(
    [descriptorOf('a chart', 'application/vnd.cncf.helm.chart.v1'), namedManifest(manifest, 'app:1')],
    [...imageBlobs(app), chart],
  )
  const {images, warnings} = await imagesOf(t, members)
  t.deepEqual(
    images.map(({names}) => names),
    [['app:1']],
  )
  t.is(warnings.length, 1)
  const alone = without(
    replaced(members, 'index.json', {
      body: indexOf(descriptorOf('a chart', 'application/vnd.cncf.helm.chart.v1')),
    }),
  )
  await t.throwsAsync(imagesOf(t, alone), {code: 'IMAGE_NOT_FOUND', message: /helm/})
})

for (const [what, lost] of [
  ['manifest', blobMember(manifestOf(other)).name],
  ['config', blobMember(configOf(other)).name],
] as const) {
  test(`leaves a platform out whose ${what} is not in the archive`, async (t) => {
    const members = without(ociMembers([app, {...other, names: ['app:1']}]), lost)
    const {images, warnings} = await imagesOf(t, members)
    t.deepEqual(
      images.map(({names}) => names),
      [['app:1']],
    )
    t.is(warnings.length, 1)
    t.true(warnings[0]?.includes(lost))
  })

  test(`leaves an image out whose ${what} is damaged, and says which`, async (t) => {
    const members = replaced(ociMembers([app, {...other, names: ['other:1', 'other:2']}]), lost, {body: 'x'})
    const {images, lost: left, warnings} = await imagesOf(t, members)
    t.deepEqual(
      images.map(({names}) => names),
      [['app:1']],
    )
    t.like(left?.[0], {names: ['other:1', 'other:2'], error: {code: 'SIZE_MISMATCH'}})
    t.is(warnings.length, 1)
    t.regex(warnings[0] ?? '', /^Image "other:1", "other:2" is left out: /)
  })

  test(`refuses an archive without the ${what} of its only image`, async (t) => {
    await t.throwsAsync(imagesOf(t, without(ociMembers([other]), lost)), {code: 'BLOB_MISSING'})
  })
}

test('leaves an index out that is not in the archive', async (t) => {
  const members = layoutMembers([descriptorOf('{}', types.index), namedManifest(manifest, 'app:1')], imageBlobs(app))
  const {images, warnings} = await imagesOf(t, members)
  t.is(images.length, 1)
  t.is(warnings.length, 1)
})

test('says for which platform an image is left out', async (t) => {
  const platform = {os: 'linux', architecture: 'arm64', variant: 'v8'}
  const inner = indexOf(
    descriptorOf(manifest, types.manifest),
    descriptorOf(manifestOf(other), types.manifest, {platform}),
  )
  const members = layoutMembers(
    [descriptorOf(inner, types.index, refName('app:1'))],
    [...imageBlobs(app), blobMember(inner)],
  )
  const {lost, warnings} = await imagesOf(t, members)
  t.like(lost?.[0], {names: ['app:1'], platform})
  t.regex(warnings[0] ?? '', /^Image "app:1" for linux\/arm64\/v8 is left out: /)
})

test('does not leave an image out that readers would understand in two ways, but refuses the archive', async (t) => {
  const twice = manifestOf(other).replace('{', '{"schemaVersion":2,')
  const both = manifestOf(other, {manifests: []})
  for (const body of [twice, both, manifestOf(other, {mediaType: types.index})]) {
    const members = layoutMembers(
      [namedManifest(manifest, 'app:1'), namedManifest(body, 'other:1')],
      [...imageBlobs(app), ...imageBlobs(other), blobMember(body)],
    )
    await t.throwsAsync(imagesOf(t, members), {code: 'DOCUMENT_INVALID'})
  }
})

test('lists an image whose layer is missing, and says so when the layer is read', async (t) => {
  const members = without(ociMembers([app]), blobMember(layerOf('top')).name)
  const {images} = await imagesOf(t, members)
  const layer = images[0]!.layers[1]!
  t.is(layer.blob.size, layerOf('top').length)
  await t.throwsAsync(readLayers([layer]), {code: 'BLOB_MISSING'})
})

test('takes a layout without oci-layout with a warning', async (t) => {
  t.is((await imagesOf(t, without(ociMembers([app]), 'oci-layout'))).warnings.length, 1)
})

const index = (body: string) => replaced(ociMembers([app]), 'index.json', {body})
const withDescriptor = (more: object) =>
  layoutMembers([{...namedManifest(manifest, 'app:1'), ...more}], imageBlobs(app))
const withManifest = (body: string) =>
  layoutMembers([namedManifest(body, 'app:1')], [...imageBlobs(app), blobMember(body)])
const cleanup = blobMember(manifest)

const refused: readonly (readonly [string, string, () => readonly Member[]])[] = [
  [
    'an unknown layout version',
    'DOCUMENT_INVALID',
    () => replaced(ociMembers([app]), 'oci-layout', {body: '{"imageLayoutVersion":"9.9.9"}'}),
  ],
  ['a layout that is no JSON', 'DOCUMENT_INVALID', () => replaced(ociMembers([app]), 'oci-layout', {body: 'x'})],
  ['an index that is null', 'DOCUMENT_INVALID', () => index('null')],
  ['an index that is a list', 'DOCUMENT_INVALID', () => index('[]')],
  ['an index with layers', 'DOCUMENT_INVALID', () => index(JSON.stringify({manifests: [], layers: []}))],
  ['an index without manifests', 'IMAGE_NOT_FOUND', () => index('{"schemaVersion":2,"manifests":[]}')],
  ['an index whose manifests are null', 'IMAGE_NOT_FOUND', () => index('{"schemaVersion":2,"manifests":null}')],
  [
    'an index that is stored twice',
    'ARCHIVE_INVALID',
    () => [...ociMembers([app]), {name: './index.json', body: '{}'}],
  ],
  [
    'an index that is a link out of the archive',
    'ARCHIVE_INVALID',
    () => replaced(ociMembers([app]), 'index.json', {type: '2', link: '/etc/passwd', body: ''}),
  ],
  ['a negative size', 'DOCUMENT_INVALID', () => withDescriptor({size: -1})],
  ['a size that is no integer', 'DOCUMENT_INVALID', () => withDescriptor({size: 1.5})],
  ['a size that is text', 'DOCUMENT_INVALID', () => withDescriptor({size: '7'})],
  ['a size that is null', 'DOCUMENT_INVALID', () => withDescriptor({size: null})],
  ['a size beyond exact numbers', 'DOCUMENT_INVALID', () => withDescriptor({size: 2 ** 53})],
  ['a size that is another', 'SIZE_MISMATCH', () => withDescriptor({size: manifest.length + 1})],
  ['a digest without a colon', 'DIGEST_INVALID', () => withDescriptor({digest: 'sha256'})],
  [
    'a digest of an unknown algorithm',
    'DIGEST_INVALID',
    () => withDescriptor({digest: 'md5:d41d8cd98f00b204e9800998ecf8427e'}),
  ],
  ['a digest in capitals', 'DIGEST_INVALID', () => withDescriptor({digest: sha256(manifest).toUpperCase()})],
  ['a digest that is a path', 'DIGEST_INVALID', () => withDescriptor({digest: '../../x:y'})],
  ['a digest with something behind it', 'DIGEST_INVALID', () => withDescriptor({digest: `${sha256(manifest)}\n`})],
  ['a digest that is a number', 'DOCUMENT_INVALID', () => withDescriptor({digest: 7})],
  [
    'a manifest with other bytes',
    'DIGEST_MISMATCH',
    () => replaced(ociMembers([app]), cleanup.name, {body: manifest.replace('schemaVersion', 'schemaversion')}),
  ],
  [
    'a config with other bytes',
    'DIGEST_MISMATCH',
    () => replaced(ociMembers([app]), blobMember(configOf(app)).name, {body: configOf(app).replace('amd64', 'arm64')}),
  ],
  [
    'a layer of another size',
    'SIZE_MISMATCH',
    () => replaced(ociMembers([app]), blobMember(layerOf('top')).name, {body: 'short'}),
  ],
  [
    'a manifest that is a fifo',
    'ARCHIVE_INVALID',
    () => replaced(ociMembers([app]), cleanup.name, {type: '6', body: ''}),
  ],
  ['a manifest with manifests', 'DOCUMENT_INVALID', () => withManifest(manifestOf(app, {manifests: []}))],
  [
    'a manifest that says it is an index',
    'DOCUMENT_INVALID',
    () => withManifest(manifestOf(app, {mediaType: types.index})),
  ],
  ['a manifest whose layers are null', 'DOCUMENT_INVALID', () => withManifest(manifestOf(app, {layers: null}))],
  ['a manifest of schema 1', 'DOCUMENT_INVALID', () => withManifest(manifestOf(app, {schemaVersion: 1}))],
  [
    'more layers than diffIDs',
    'DOCUMENT_INVALID',
    () => withManifest(manifestOf(app, {layers: Array(3).fill(descriptorOf(layerOf('top'), types.layer))})),
  ],
  ['a manifest that its descriptor calls an index', 'DOCUMENT_INVALID', () => withDescriptor({mediaType: types.index})],
]

for (const [what, code, members] of refused) {
  test(`refuses ${what}`, async (t) => {
    await t.throwsAsync(imagesOf(t, members()), {code})
  })
}

test('refuses indexes nested deeper than the limit, and more descriptors than there may be', async (t) => {
  const nest = (depth: number): Member[] => {
    const bodies = [indexOf(descriptorOf(manifest, types.manifest))]
    while (bodies.length < depth) bodies.push(indexOf(descriptorOf(bodies.at(-1)!, types.index)))
    return layoutMembers([descriptorOf(bodies.at(-1)!, types.index)], [...imageBlobs(app), ...bodies.map(blobMember)])
  }
  await t.notThrowsAsync(imagesOf(t, nest(7)))
  await t.throwsAsync(imagesOf(t, nest(8)), {code: 'LIMIT_EXCEEDED', message: /"indexDepth"/})
  const many = layoutMembers(Array(20).fill(namedManifest(manifest, 'a')), imageBlobs(app))
  await t.notThrowsAsync(imagesOf(t, many, {descriptors: 20}))
  await t.throwsAsync(imagesOf(t, many, {descriptors: 19}), {code: 'LIMIT_EXCEEDED', message: /"descriptors"/})
  await t.throwsAsync(imagesOf(t, ociMembers([app]), {documents: 1000}), {
    code: 'LIMIT_EXCEEDED',
    message: /"documents"/,
  })
})

test('refuses indexes that fan out, before they take time', async (t) => {
  const bodies = [indexOf(...Array(10).fill(descriptorOf(manifest, types.manifest)))]
  while (bodies.length < 7) bodies.push(indexOf(...Array(10).fill(descriptorOf(bodies.at(-1)!, types.index))))
  const members = layoutMembers(
    [descriptorOf(bodies.at(-1)!, types.index)],
    [...imageBlobs(app), ...bodies.map(blobMember)],
  )
  await t.throwsAsync(imagesOf(t, members), {code: 'LIMIT_EXCEEDED'})
})

test('reads a config once, however many manifests share it', async (t) => {
  const config = {...app, config: {comment: 'x'.repeat(2_000_000)}}
  const manifests = Array.from({length: 1000}, (_, n) => manifestOf(config, {annotations: {n: `${n}`}}))
  const members = layoutMembers(
    manifests.map((body) => descriptorOf(body, types.manifest)),
    [...imageBlobs(config), ...manifests.map(blobMember)],
  )
  const {images} = await imagesOf(t, members)
  t.is(images.length, 1000)
  t.is(new Set(images.map((image) => image.config)).size, 1)
})
