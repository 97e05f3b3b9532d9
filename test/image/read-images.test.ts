import test from 'ava'
import {openArchive} from '../../src/archive/open.ts'
import {sha256} from '../../src/digest.ts'
import type {ImgtoolError} from '../../src/errors.ts'
import {readImages} from '../../src/image/read-images.ts'
import {defaultLimits} from '../../src/limits.ts'
import {
  app,
  blobMember,
  configOf,
  descriptorOf,
  dockerMembers,
  hybridMembers,
  imageBlobs,
  imagesOf,
  layerOf,
  type Member,
  manifestOf,
  namedManifest,
  ociMembers,
  type Recipe,
  readLayers,
  replaced,
  scratch,
  types,
  v1Members,
  without,
  writeMembers,
} from '../helpers/image.ts'

const other: Recipe = {names: ['other:1'], layers: [layerOf('other')]}

/** What docker 25 saves, with another OCI manifest and index than it should have. */
function withIndex(manifest: string, descriptors: readonly object[] | null): Member[] {
  const body = JSON.stringify({schemaVersion: 2, manifests: descriptors})
  return [...replaced(hybridMembers([app]), 'index.json', {body}), blobMember(manifest)]
}

for (const [what, members, format] of [
  ['docker before 1.10', v1Members([{id: 'a'}], {app: {'1': 'a'}}), 'docker-v1'],
  ['docker 1.10 to 24', dockerMembers([app]), 'docker-archive'],
  [
    'docker 1.10 to 24, with directories of v1 beside',
    [...v1Members([{id: 'a'}], {}), ...dockerMembers([app])],
    'docker-archive',
  ],
  ['docker 25 and later', hybridMembers([app]), 'docker-archive'],
  ['an OCI layout', ociMembers([app]), 'oci'],
] as const) {
  test(`knows ${what} by its content`, async (t) => {
    const set = await imagesOf(t, members)
    t.is(set.format, format)
    t.deepEqual(
      set.images.map(({names}) => names),
      [['app:1']],
    )
  })

  test(`knows ${what} with ./ before every name, and in a directory`, async (t) => {
    t.is(
      (
        await imagesOf(
          t,
          members.map((member) => ({...member, name: `./${member.name}`})),
        )
      ).format,
      format,
    )
    const directory = writeMembers(scratch(t), members)
    const archive = await openArchive(directory, defaultLimits)
    t.is((await readImages(archive, defaultLimits)).format, format)
  })
}

test('reads docker 25.0.0-rc, whose OCI manifest has no layers', async (t) => {
  for (const layers of [[], null]) {
    const broken = manifestOf(app, {layers})
    const members = withIndex(broken, [namedManifest(broken, '1')])
    const {images, warnings} = await imagesOf(t, members)
    t.is(images[0]?.layers.length, 2)
    t.is(warnings.length, 1)
  }
})

test('reads docker 25.0.0, whose OCI manifest has its layers in any order', async (t) => {
  const {layers} = JSON.parse(manifestOf(app))
  const mixed = manifestOf(app, {layers: layers.toReversed()})
  const {images} = await imagesOf(t, withIndex(mixed, [namedManifest(mixed, '1')]))
  const [image] = images
  t.deepEqual(
    image?.layers.map(({diffID}) => diffID),
    app.layers?.map(sha256),
  )
  await readLayers(image!.layers)
})

test('reads docker 25.0.0, whose index misses images without a name', async (t) => {
  for (const manifests of [null, []]) {
    const {images} = await imagesOf(t, withIndex('', manifests))
    t.deepEqual(
      images.map(({names}) => names),
      [['app:1']],
    )
  }
})

test('adds what only the index has', async (t) => {
  const descriptor = (recipe: Recipe, name: string) => namedManifest(manifestOf(recipe), name)
  const members = withIndex('', [descriptor(app, 'app:1'), descriptor(other, 'other:1')])
  const {images} = await imagesOf(t, [...members, ...imageBlobs(other)])
  t.deepEqual(
    images.map(({names, index}) => [index, ...names]),
    [
      [0, 'app:1'],
      [1, 'other:1'],
    ],
  )
})

test('refuses two descriptions that call different images by one name', async (t) => {
  const descriptor = (recipe: Recipe, name: string) =>
    descriptorOf(manifestOf(recipe), types.manifest, {annotations: {'io.containerd.image.name': name}})
  const members = [
    ...withIndex('', [descriptor(app, 'docker.io/library/x:1'), descriptor(other, 'docker.io/library/app:1')]),
    ...imageBlobs(other),
  ]
  await t.throwsAsync(imagesOf(t, members), {code: 'DOCUMENT_INVALID', message: /"app:1"/})
})

test('refuses two descriptions that have nothing in common', async (t) => {
  const members = withIndex('', [descriptorOf(manifestOf(other), types.manifest)])
  await t.throwsAsync(imagesOf(t, [...members, ...imageBlobs(other)]), {code: 'DOCUMENT_INVALID'})
})

test('reads what is there of an archive whose index names platforms that were not saved', async (t) => {
  const lost = {...other, config: {architecture: 'arm64'}}
  const descriptors = [app, lost].map((recipe) => namedManifest(manifestOf(recipe), 'app:1'))
  for (const extra of [[], [blobMember(manifestOf(lost))]]) {
    const {images, warnings} = await imagesOf(t, [...withIndex('', descriptors), ...extra])
    t.is(images.length, 1)
    t.is(warnings.length, 1)
  }
})

test('leaves an image of a hybrid out once, and reads one whose manifest alone is lost', async (t) => {
  const members = hybridMembers([app, other])
  const {images, warnings} = await imagesOf(t, without(members, blobMember(configOf(other)).name))
  t.is(images.length, 1)
  t.is(warnings.length, 1)
  t.regex(warnings[0] ?? '', /^Image "other:1" is left out: /)
  const described = await imagesOf(t, without(members, blobMember(manifestOf(other)).name))
  t.is(described.images.length, 2)
  t.is(described.warnings.length, 1)
  t.deepEqual(described.lost, [])
})

test('refuses a config that is not what its blob is called', async (t) => {
  const members = replaced(hybridMembers([app]), blobMember(configOf(app)).name, {body: configOf(other)})
  await t.throwsAsync(imagesOf(t, members), {code: 'DIGEST_MISMATCH'})
})

for (const [what, members, message] of [
  ['no members', [], /it is empty/],
  [
    'a root file system',
    [
      {name: 'etc/passwd', body: 'x'},
      {name: 'bin/', type: '5'},
    ],
    /root file system/,
  ],
  ['a plain layer', [{name: 'etc/x'}, {name: 'etc/.wh.y'}], /plain layer: it holds whiteouts/],
  ['a layout without an index', without(ociMembers([app]), 'index.json'), /OCI layout without "index.json"/],
  ['repositories alone', [{name: 'repositories', body: '{}'}], /it looks like/],
] as const) {
  test(`says that an archive holds ${what}`, async (t) => {
    await t.throwsAsync(imagesOf(t, members), {code: 'FORMAT_UNKNOWN', message})
  })
}

test('says what to do about an image that was packed once too often', async (t) => {
  const within = (directory: string, members: readonly Member[]) =>
    members.map((member) => ({...member, name: `${directory}/${member.name}`}))
  for (const [members, message, hint] of [
    [within('ext', dockerMembers([app])), /"ext\/manifest.json"/, /tar -C 'ext' -cf/],
    [within('v1', v1Members([{id: 'a'}], {app: {1: 'a'}})), /"v1\/repositories"/, /tar -C 'v1' -cf/],
    [within('a/b', ociMembers([app])), /"a\/b\/oci-layout"/, /tar -C 'a\/b' -cf/],
    [
      [{name: 'old.tar.gz', body: 'x'}],
      /another archive, "old\.tar\.gz"/,
      /^Take it out first: tar -xf '.*app\.tar' 'old\.tar\.gz'$/,
    ],
    [[{name: 'etc/passwd'}, {name: 'src.tar'}], /root file system/, /docker import/],
    [[{name: 'public/manifest.json'}, {name: 'public/index.html'}], /root file system/, /docker import/],
  ] as const) {
    const error = await t.throwsAsync<ImgtoolError>(imagesOf(t, members), {code: 'FORMAT_UNKNOWN', message})
    t.regex(error.details.hint ?? '', hint)
  }
  const directory = writeMembers(scratch(t), within('ext', dockerMembers([app])))
  const archive = await openArchive(directory, defaultLimits)
  const error = await t.throwsAsync<ImgtoolError>(readImages(archive, defaultLimits), {code: 'FORMAT_UNKNOWN'})
  t.is(error.details.hint, `Give what is inside: ${directory}/ext`)
})

test('says what a directory is that is no image', async (t) => {
  const read = async (members: readonly Member[]) =>
    readImages(await openArchive(writeMembers(scratch(t), members), defaultLimits), defaultLimits)
  await t.throwsAsync(read([]), {code: 'FORMAT_UNKNOWN', message: /it is empty/})
  await t.throwsAsync(read([{name: 'etc/passwd'}]), {code: 'FORMAT_UNKNOWN', message: /root file system/})
  await t.throwsAsync(read([{name: 'notes.txt'}]), {code: 'FORMAT_UNKNOWN', message: /none of manifest.json/})
})

test('gives errors the name of the archive', async (t) => {
  const error = await t.throwsAsync(imagesOf(t, replaced(dockerMembers([app]), 'manifest.json', {body: 'x'})))
  const {details} = error as {details?: {archive?: string; entry?: string}}
  t.regex(details?.archive ?? '', /app\.tar$/)
  t.is(details?.entry, 'manifest.json')
})
