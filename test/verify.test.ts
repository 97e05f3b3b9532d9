import {createHash} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {gzipSync, zstdCompressSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {digestHex, sha256} from '../src/digest.ts'
import {chainIDs} from '../src/image/chain.ts'
import {defaultLimits, type Limits} from '../src/limits.ts'
import {type FindingCode, findingCodes, isSound, parseIntegrity, type Severity, verifyArchive} from '../src/verify.ts'
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
  type Recipe,
  refName,
  replaced,
  scratch,
  tarOf,
  types,
  v1ID,
  v1Members,
  without,
  writeMembers,
  writeScratch,
} from './helpers/image.ts'
import {sharedDir, sharedTest} from './helpers/shared.ts'

const json = (value: unknown) => JSON.stringify(value)
const app: Recipe = {names: ['app:1']}
const base = layerOf('file')
const other = layerOf('other')
const layerName = blobMember(base).name
const configName = blobMember(configOf(app)).name
const v1Layer = (members: readonly Member[]) => members.find(({name}) => name.endsWith('/layer.tar'))!.name

function verify(t: ExecutionContext, members: readonly Member[], limits: Partial<Limits> = {}) {
  return verifyArchive(
    {transport: 'auto', path: writeScratch(t, tarOf(members))},
    {limits: {...defaultLimits, ...limits}},
  )
}

/** A layout whose only image has another manifest than the recipe's. */
function layoutOf(manifest: string, blobs: readonly Member[]): Member[] {
  return layoutMembers([descriptorOf(manifest, types.manifest, refName('app:1'))], [...blobs, blobMember(manifest)])
}

/** A docker archive with one layer, whose directory is as docker 1.10 to 24 makes it, and names for it. */
function withDirectory(layer = base, {id, parent}: {id?: string; parent?: string} = {}): Member[] {
  const recipe = {...app, layers: [layer]}
  const top = {architecture: 'amd64', created: '2020-01-02T03:04:05Z'}
  const rightID = createHash('sha256')
    .update(json({...top, layer_id: sha256(layer), os: 'linux', ...(parent && {parent: `sha256:${parent}`})}))
    .digest('hex')
  const directory = id ?? rightID
  return [
    {name: `${directory}/VERSION`, body: '1.0'},
    {name: `${directory}/json`, body: json({id: directory, ...(parent && {parent}), ...top, os: 'linux'})},
    {name: `${directory}/layer.tar`, body: layer},
    {name: `${digestHex(sha256(configOf(recipe)))}.json`, body: configOf(recipe)},
    {
      name: 'manifest.json',
      body: json([
        {
          Config: `${digestHex(sha256(configOf(recipe)))}.json`,
          RepoTags: ['app:1'],
          Layers: [`${directory}/layer.tar`],
        },
      ]),
    },
    {name: 'repositories', body: json({app: {1: directory}})},
  ]
}

/** Archives of one image each as one archive. */
function joined(...archives: readonly (readonly Member[])[]): Member[] {
  const items = archives.flatMap((members) =>
    JSON.parse(String(members.find(({name}) => name === 'manifest.json')?.body)),
  )
  const rest = archives.flatMap((members) => without(members, 'manifest.json', 'repositories'))
  return [...rest, {name: 'manifest.json', body: json(items)}]
}

interface Case {
  readonly title: string
  readonly code: FindingCode
  readonly severity: Severity
  readonly members: readonly Member[]
  readonly image?: string
  readonly expected?: string
  readonly found?: string
  /** A part of how either was obtained. */
  readonly from?: RegExp
  readonly limits?: Partial<Limits>
}

const sparse = indexOf(descriptorOf(manifestOf(app), types.manifest), descriptorOf('absent', types.manifest))
const damaged = Buffer.from(base)
damaged[600] = 1
const wrongTar = Buffer.from(base)
wrongTar[0] = 1
const docker = dockerMembers([app])
const layout = ociMembers([app])
const hybrid = hybridMembers([app])
const gzipped = gzipSync(base)
const gzipLayer = descriptorOf(gzipped, `${types.layer}+gzip`)
const configDescriptor = descriptorOf(configOf(app), types.config)
const other512 = `sha512:${createHash('sha512').update(other).digest('hex')}`

const imageWith = (config: object) => dockerMembers([{...app, config}])
const layerWith = (...members: readonly Member[]) => dockerMembers([{...app, layers: [tarOf(members)]}])
const childless = v1Members([{id: 'a'}], {app: {1: 'a'}})

const cases: readonly Case[] = [
  {
    title: 'a layer of a docker archive that is not the one of its diffID',
    code: 'DIFF_ID_MISMATCH',
    severity: 'error',
    members: replaced(docker, v1Layer(docker), {body: damaged}),
    expected: sha256(base),
    found: sha256(damaged),
    from: /^diff_ids\[0\] of the config "/,
  },
  {
    title: 'a compressed layer that is not the one of its diffID',
    code: 'DIFF_ID_MISMATCH',
    severity: 'error',
    members: layoutOf(manifestOf(app, {layers: [descriptorOf(zstdCompressSync(other), `${types.layer}+zstd`)]}), [
      blobMember(zstdCompressSync(other)),
      blobMember(configOf(app)),
    ]),
    expected: sha256(base),
    found: sha256(other),
    from: /^sha256 of the decompressed bytes of "blobs\//,
  },
  {
    title: 'a diffID of another algorithm',
    code: 'DIFF_ID_MISMATCH',
    severity: 'error',
    members: imageWith({rootfs: {type: 'layers', diff_ids: [other512]}}),
    expected: other512,
    found: `sha512:${createHash('sha512').update(base).digest('hex')}`,
  },
  {
    title: 'a blob that does not have the digest in its name',
    code: 'DIGEST_MISMATCH',
    severity: 'error',
    members: replaced(layout, layerName, {body: damaged}),
    expected: sha256(base),
    found: sha256(damaged),
    from: /^layers\[0\] of the manifest "/,
  },
  {
    title: 'a blob that no document leads to, and that does not have the digest in its name',
    code: 'DIGEST_MISMATCH',
    severity: 'error',
    members: [...layout, {name: blobMember('a').name, body: 'b'}],
    expected: sha256('a'),
    found: sha256('b'),
    from: /^the name of "blobs\//,
  },
  {
    title: 'a compressed layer that has neither digest in its name',
    code: 'DIGEST_MISMATCH',
    severity: 'error',
    members: [
      {name: 'config.json', body: configOf(app)},
      {name: `${'a'.repeat(64)}.tar.gz`, body: gzipped},
      {
        name: 'manifest.json',
        body: json([{Config: 'config.json', RepoTags: ['app:1'], Layers: [`${'a'.repeat(64)}.tar.gz`]}]),
      },
    ],
    found: sha256(gzipped),
  },
  {
    title: 'a config that does not have the image ID in its name',
    code: 'IMAGE_ID_MISMATCH',
    severity: 'error',
    members: replaced(docker, `${digestHex(sha256(configOf(app)))}.json`, {body: `${configOf(app)} `}),
    expected: sha256(configOf(app)),
    found: sha256(`${configOf(app)} `),
  },
  {
    title: 'a blob of another size',
    code: 'SIZE_MISMATCH',
    severity: 'error',
    members: layoutOf(manifestOf(app, {config: {...configDescriptor, size: 7}}), imageBlobs(app).slice(0, 2)),
    expected: '7',
    found: String(configOf(app).length),
    from: /^config of the manifest "/,
  },
  {
    title: 'a layer that is missing',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: without(docker, v1Layer(docker)),
    expected: v1Layer(docker),
  },
  {
    title: 'a blob that is missing',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: without(layout, layerName),
    expected: layerName,
  },
  {
    title: 'a layer before docker 1.10 that is missing',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: v1Members([{id: 'a', layer: null}], {app: {1: 'a'}}),
    expected: `${v1ID('a')}/layer.tar`,
  },
  {
    title: 'a name that leads to no image',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: v1Members([{id: 'a'}], {app: {1: 'a', 2: 'b'}}),
    expected: `${v1ID('b')}/json`,
  },
  {
    title: 'a manifest of another platform that is not there',
    code: 'BLOB_ABSENT',
    severity: 'warning',
    members: layoutMembers(
      [descriptorOf(sparse, types.index, refName('app:1'))],
      [...imageBlobs(app), blobMember(sparse)],
    ),
    expected: sha256('absent'),
    from: /^manifests\[1\] of "blobs\/sha256\/[0-9a-f]+"$/,
  },
  {
    title: 'a manifest that the layout itself names and does not have',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: layoutMembers(
      [descriptorOf(manifestOf(app), types.manifest), descriptorOf('absent', types.manifest, refName('lost:1'))],
      imageBlobs(app),
    ),
    image: 'lost:1',
    expected: blobMember('absent').name,
  },
  {
    title: 'an index that the layout itself names and does not have',
    code: 'BLOB_MISSING',
    severity: 'error',
    members: layoutMembers([descriptorOf('absent', types.index, refName('lost:1'))], []),
    image: 'lost:1',
    expected: blobMember('absent').name,
  },
  {
    title: 'a name that an index gives to two images for one platform',
    code: 'NAME_REPEATED',
    severity: 'warning',
    members: ociMembers([app, {...app, layers: [other]}]),
    image: 'app:1',
    expected: sha256(configOf(app)),
    found: sha256(configOf({...app, layers: [other]})),
  },
  {
    title: 'a name that manifest.json gives to two images',
    code: 'NAME_REPEATED',
    severity: 'warning',
    members: dockerMembers([app, {...app, layers: [other]}]),
    image: 'app:1',
  },
  {
    title: 'a blob that no document leads to',
    code: 'BLOB_UNREFERENCED',
    severity: 'note',
    members: [...layout, blobMember('nobody knows')],
  },
  {
    title: 'a layer that no document leads to',
    code: 'BLOB_UNREFERENCED',
    severity: 'note',
    members: [...docker, {name: `${v1ID('f')}/layer.tar`, body: other}],
  },
  {
    title: 'a malformed digest',
    code: 'DIGEST_INVALID',
    severity: 'error',
    members: layoutMembers([{...descriptorOf('a', types.manifest), digest: 'sha256:../../etc'}], []),
  },
  {
    title: 'a malformed document',
    code: 'DOCUMENT_INVALID',
    severity: 'error',
    members: replaced(docker, 'manifest.json', {body: '[{]'}),
  },
  {
    title: 'another number of layers than the config has',
    code: 'LAYERS_MISMATCH',
    severity: 'error',
    members: layoutOf(manifestOf({...app, layers: [base, other]}, {config: configDescriptor}), [
      ...imageBlobs(app),
      blobMember(other),
    ]),
    expected: '1',
    found: '2',
  },
  {
    title: 'an OCI manifest without layers beside manifest.json',
    code: 'LAYERS_MISMATCH',
    severity: 'warning',
    members: hybridWith([]),
    expected: '1',
    found: '0',
  },
  {
    title: 'an OCI manifest whose layers are in another order than in manifest.json',
    code: 'LAYERS_MISMATCH',
    severity: 'warning',
    members: disordered(),
    expected: [base, other].map((layer) => blobMember(layer).name).join(', '),
    found: [other, base].map((layer) => blobMember(layer).name).join(', '),
  },
  {
    title: 'an image without a history',
    code: 'HISTORY_ABSENT',
    severity: 'note',
    members: imageWith({history: []}),
  },
  {
    title: 'a history with more steps than layers',
    code: 'HISTORY_MISMATCH',
    severity: 'error',
    members: imageWith({history: [{created_by: 'a'}, {created_by: 'b'}]}),
    expected: '1',
    found: '2',
  },
  {
    title: 'a media type that is wrong about the compression',
    code: 'MEDIA_TYPE_MISMATCH',
    severity: 'warning',
    members: layoutOf(manifestOf(app, {layers: [{...gzipLayer, mediaType: types.layer}]}), [
      blobMember(gzipped),
      blobMember(configOf(app)),
    ]),
    expected: types.layer,
    found: 'gzip',
  },
  {
    title: 'a document that says it is something else than its descriptor',
    code: 'MEDIA_TYPE_MISMATCH',
    severity: 'error',
    members: layoutOf(manifestOf(app, {mediaType: types.index}), imageBlobs(app)),
    expected: types.manifest,
    found: types.index,
  },
  {
    title: 'something that is no image',
    code: 'MEDIA_TYPE_UNKNOWN',
    severity: 'note',
    members: layoutMembers(
      [descriptorOf(manifestOf(app), types.manifest), descriptorOf('text', 'text/plain')],
      [...imageBlobs(app), blobMember('text')],
    ),
    found: 'text/plain',
  },
  {
    title: 'a layer of nothing',
    code: 'LAYER_EMPTY',
    severity: 'note',
    members: v1Members([{id: 'a', layer: Buffer.alloc(0)}], {app: {1: 'a'}}),
  },
  {
    title: 'a layer that is no tar',
    code: 'TAR_INVALID',
    severity: 'error',
    members: dockerMembers([{...app, layers: [wrongTar]}]),
  },
  {
    title: 'a layer that ends too early',
    code: 'TAR_TRUNCATED',
    severity: 'error',
    members: dockerMembers([{...app, layers: [base.subarray(0, 514)]}]),
  },
  {
    title: 'compressed bytes that are damaged',
    code: 'COMPRESSION_INVALID',
    severity: 'error',
    members: replaced(
      layoutOf(manifestOf(app, {layers: [gzipLayer]}), [blobMember(gzipped), blobMember(configOf(app))]),
      blobMember(gzipped).name,
      {body: Buffer.concat([gzipped.subarray(0, 20), Buffer.alloc(gzipped.length - 20)])},
    ),
  },
  {
    title: 'a layer beyond a limit',
    code: 'LIMIT_EXCEEDED',
    severity: 'error',
    members: docker,
    limits: {bytes: 512},
  },
  {
    title: 'documents beyond their limit',
    code: 'LIMIT_EXCEEDED',
    severity: 'error',
    members: docker,
    limits: {documents: 400},
  },
  {
    title: 'a path that is there twice',
    code: 'PATH_REPEATED',
    severity: 'warning',
    members: layerWith({name: 'a', body: '1'}, {name: './a', body: '2'}),
  },
  {
    title: 'a directory that is there twice',
    code: 'PATH_REPEATED',
    severity: 'note',
    members: layerWith({name: 'a/', type: '5'}, {name: 'a/', type: '5'}),
  },
  {
    title: 'a long path that is there twice',
    code: 'PATH_REPEATED',
    severity: 'warning',
    members: layerWith({name: 'a'.repeat(90)}, {name: 'a'.repeat(90)}),
  },
  {
    title: 'a whiteout of nothing',
    code: 'WHITEOUT_INVALID',
    severity: 'error',
    members: layerWith({name: 'a/.wh.'}),
  },
  {
    title: 'a whiteout with content',
    code: 'WHITEOUT_ODD',
    severity: 'warning',
    members: layerWith({name: '.wh.a', body: 'x'}),
  },
  {
    title: 'a whiteout that is a hard link, as aufs makes them',
    code: 'WHITEOUT_ODD',
    severity: 'note',
    members: layerWith({name: '.wh.a', type: '1', link: '.wh..wh.aufs'}),
  },
  {
    title: 'a path that is deleted and added',
    code: 'WHITEOUT_ODD',
    severity: 'note',
    members: layerWith({name: 'a', body: 'x'}, {name: '.wh.a'}),
  },
  {
    title: 'an unknown name of aufs',
    code: 'WHITEOUT_UNKNOWN',
    severity: 'note',
    members: layerWith({name: '.wh..wh.new'}),
  },
  {
    title: 'a root that is a file',
    code: 'ENTRY_INVALID',
    severity: 'error',
    members: layerWith({name: './'}, {name: '.', type: '2', link: 'x'}),
  },
  {
    title: 'repositories that disagree with manifest.json',
    code: 'NAME_MISMATCH',
    severity: 'error',
    members: [...docker, {name: 'repositories', body: json({app: {1: v1ID('f')}})}],
    expected: v1Layer(docker).slice(0, 64),
    found: v1ID('f'),
  },
  {
    title: 'an index that disagrees with manifest.json',
    code: 'NAME_MISMATCH',
    severity: 'error',
    members: swapped(),
    expected: sha256(configOf(app)),
    found: sha256(configOf({layers: [other]})),
  },
  {
    title: 'a name that only one document has',
    code: 'NAME_UNSHARED',
    severity: 'note',
    members: hybridMembers([app, {layers: [other]}]).map((member) =>
      member.name === 'manifest.json' ? {...member, body: String(member.body).replace('null', '["more:1"]')} : member,
    ),
  },
  {
    title: 'a parent whose history is another',
    code: 'PARENT_MISMATCH',
    severity: 'error',
    members: withParent(sha256(configOf({layers: [other]}))),
  },
  {
    title: 'a parent that is not in the archive',
    code: 'PARENT_MISSING',
    severity: 'warning',
    members: withParent(sha256('absent')),
    expected: sha256('absent'),
  },
  {
    title: 'a parent before docker 1.10 that is not in the archive',
    code: 'PARENT_MISSING',
    severity: 'error',
    members: v1Members([{id: 'a', parent: 'b'}], {app: {1: 'a'}}),
    expected: v1ID('b'),
  },
  {
    title: 'a parent of a v1 layer that is not the layer below',
    code: 'PARENT_MISMATCH',
    severity: 'error',
    members: joined(withDirectory(other), withDirectory(base, {parent: v1ID('a')})).concat(
      {name: `${v1ID('a')}/json`, body: json({id: v1ID('a')})},
      {name: `${v1ID('a')}/layer.tar`, body: layerOf('a')},
    ),
  },
  {
    title: 'layers that are their own ancestors',
    code: 'PARENT_CYCLE',
    severity: 'error',
    members: v1Members(
      [
        {id: 'a', parent: 'b'},
        {id: 'b', parent: 'a'},
      ],
      {app: {1: 'a'}},
    ),
  },
  {
    title: 'a v1 layer that says it has another id',
    code: 'V1_ID_MISMATCH',
    severity: 'error',
    members: v1Members([{id: 'a', json: {id: v1ID('b')}}], {app: {1: 'a'}}),
    expected: v1ID('a'),
    found: v1ID('b'),
  },
  {
    title: 'a v1 id that does not follow from its layers where those of others do',
    code: 'V1_ID_MISMATCH',
    severity: 'error',
    members: joined(withDirectory(), withDirectory(other, {id: v1ID('d')})),
    expected: v1ID('d'),
  },
  {
    title: 'v1 ids that are made in no known way',
    code: 'V1_ID_UNCHECKED',
    severity: 'note',
    members: withDirectory(base, {id: v1ID('d')}),
  },
  {
    title: 'ids before docker 1.10',
    code: 'V1_ID_UNCHECKED',
    severity: 'note',
    members: childless,
  },
  {
    title: 'a v1 layer without a version',
    code: 'VERSION_UNKNOWN',
    severity: 'note',
    members: without(childless, `${v1ID('a')}/VERSION`),
    found: 'nothing',
  },
  {
    title: 'a layout of an unknown version',
    code: 'VERSION_UNKNOWN',
    severity: 'error',
    members: replaced(layout, 'oci-layout', {body: json({imageLayoutVersion: '2.0.0'})}),
    found: '2.0.0',
  },
  {
    title: 'a size that is wrong',
    code: 'SIZE_CLAIM',
    severity: 'note',
    members: v1Members([{id: 'a', json: {Size: 99}}], {app: {1: 'a'}}),
    expected: '99',
    found: '1',
  },
]

function hybridWith(layers: readonly object[]): Member[] {
  const manifest = manifestOf(app, {layers})
  const index = json({manifests: [descriptorOf(manifest, types.manifest, refName('docker.io/library/app:1'))]})
  return [...replaced(hybrid, 'index.json', {body: index}), blobMember(manifest)]
}

function disordered(): Member[] {
  const recipe = {...app, layers: [base, other]}
  const layers = [other, base].map((layer) => descriptorOf(layer, types.layer))
  const manifest = manifestOf(recipe, {layers})
  const index = json({manifests: [descriptorOf(manifest, types.manifest, refName('docker.io/library/app:1'))]})
  return [...replaced(hybridMembers([recipe]), 'index.json', {body: index}), blobMember(manifest)]
}

/** The index names one of two images as manifest.json names the other. */
function swapped(): Member[] {
  const second = {layers: [other]}
  const manifests = [app, second].map((recipe) => descriptorOf(manifestOf(recipe), types.manifest))
  const named = [manifests[0]!, {...manifests[1]!, ...refName('docker.io/library/app:1')}]
  return replaced(hybridMembers([app, second]), 'index.json', {body: json({manifests: named})})
}

function withParent(parent: string): Member[] {
  const members = dockerMembers([app, {layers: [other]}])
  const manifest = JSON.parse(String(members.find(({name}) => name === 'manifest.json')?.body))
  manifest[0].Parent = parent
  return replaced(members, 'manifest.json', {body: json(manifest)})
}

for (const {title, code, severity, members, limits, ...wanted} of cases) {
  test(`finds ${title}`, async (t) => {
    const {findings} = await verify(t, members, limits)
    const found = findings.filter((finding) => finding.code === code && finding.severity === severity)
    t.true(found.length > 0, json(findings))
    const hasValues = found.filter(
      (finding) =>
        (wanted.image === undefined || finding.image === wanted.image) &&
        (wanted.expected === undefined || finding.expected?.value === wanted.expected) &&
        (wanted.found === undefined || finding.found?.value === wanted.found) &&
        (wanted.from === undefined ||
          wanted.from.test(finding.expected?.from ?? '') ||
          wanted.from.test(finding.found?.from ?? '')),
    )
    t.true(hasValues.length > 0, json(found))
    t.is(
      isSound({findings} as never),
      findings.every((finding) => finding.severity !== 'error'),
    )
  })
}

test('one name for several platforms, or twice for one image, is nothing to find', async (t) => {
  const arm = (variant: string) => ({...app, layers: [layerOf(variant)], config: {architecture: 'arm', variant}})
  for (const recipes of [
    [app, {...app, config: {architecture: 'arm64'}}, arm('v6'), arm('v7')],
    [app, app],
  ]) {
    const {findings} = await verify(t, ociMembers(recipes))
    t.deepEqual(
      findings.filter(({code}) => code === 'NAME_REPEATED'),
      [],
    )
  }
})

test('verifies an image that was asked for and whose documents are damaged', async (t) => {
  const members = ociMembers([app, {names: ['other:1'], layers: [other]}])
  const path = writeScratch(t, tarOf(without(members, blobMember(manifestOf(app)).name)))
  const {findings, images} = await verifyArchive({transport: 'auto', path, name: 'app:1'})
  t.deepEqual(images, [])
  t.like(findings[0], {code: 'BLOB_MISSING', severity: 'error', image: 'app:1'})
  await t.throwsAsync(verifyArchive({transport: 'auto', path, name: 'none'}), {code: 'IMAGE_NOT_FOUND'})
})

test('each code of a finding has a case', (t) => {
  const covered = new Set<string>([...cases.map(({code}) => code), 'INTEGRITY_MISMATCH'])
  t.deepEqual(
    Object.keys(findingCodes).filter((code) => !covered.has(code)),
    [],
  )
})

for (const [title, members] of Object.entries({docker, layout, hybrid, 'v1 directories': withDirectory()})) {
  test(`finds nothing in what is whole: ${title}`, async (t) => {
    const {findings, layers, images} = await verify(t, members)
    t.deepEqual(findings, [])
    t.is(layers, 1)
    t.deepEqual(
      images.map(({names, imageID, diffIDs, chainIDs}) => ({names, imageID, diffIDs, chainIDs})),
      [{names: ['app:1'], imageID: sha256(configOf(app)), diffIDs: [sha256(base)], chainIDs: [sha256(base)]}],
    )
  })
}

test('one damage is one finding, and does not hide another', async (t) => {
  const layers = [base, other, layerOf('third')]
  const members = ociMembers([{...app, layers}])
  const broken = replaced(without(members, blobMember(layers[2]!).name), blobMember(base).name, {body: damaged}).concat(
    blobMember('stray'),
  )
  const {findings} = await verify(t, broken)
  t.deepEqual(
    findings.map(({severity, code, layer}) => [severity, code, layer]),
    [
      ['error', 'BLOB_MISSING', 2],
      ['error', 'DIFF_ID_MISMATCH', 0],
      ['error', 'DIGEST_MISMATCH', 0],
      ['note', 'BLOB_UNREFERENCED', undefined],
    ].toSorted((a, b) => order(findings, a[1]) - order(findings, b[1])),
  )
})

function order(findings: readonly {code: string}[], code: unknown): number {
  return findings.findIndex((finding) => finding.code === code)
}

test('a layer that many images share is read once', async (t) => {
  const recipes = [1, 2, 3].map((n) => ({names: [`app:${n}`], layers: [base, layerOf(`${n}`)]}))
  const {layers, images, findings} = await verify(t, dockerMembers(recipes))
  t.is(layers, 4)
  t.is(images.length, 3)
  t.deepEqual(findings, [])
  t.deepEqual(images[1]!.chainIDs, chainIDs(images[1]!.diffIDs as never))
})

test('with a name only the layers of that image are read, and all documents', async (t) => {
  const recipes = [1, 2].map((n) => ({names: [`app:${n}`], layers: [layerOf(`${n}`)]}))
  const members = dockerMembers(recipes)
  const broken = members.map((member) => (member.body === recipes[1]!.layers[0] ? {...member, body: damaged} : member))
  const path = writeScratch(t, tarOf(broken))
  const [first, second] = await Promise.all(['app:1', 'app:2'].map((name) => verifyArchive(`${path}:${name}`)))
  t.deepEqual([isSound(first!), isSound(second!)], [true, false])
  t.is(first!.images.length, 1)
})

test('what the reader refuses is a finding where nothing says it better', async (t) => {
  const members = replaced(docker, 'manifest.json', {body: '[]'})
  const {findings} = await verify(t, members)
  t.true(findings.some(({code, severity}) => code === 'IMAGE_NOT_FOUND' && severity === 'error'))
})

test('what is no image cannot be verified', async (t) => {
  await t.throwsAsync(verify(t, [{name: 'README', body: 'x'}]), {code: 'FORMAT_UNKNOWN'})
  await t.throwsAsync(verifyArchive(join(scratch(t), 'absent.tar')), {code: 'SOURCE_NOT_FOUND'})
})

test('a layout that is a directory is verified like one in a tar', async (t) => {
  const directory = writeMembers(scratch(t), replaced(layout, configName, {body: `${configOf(app)} `}))
  const {findings} = await verifyArchive({transport: 'oci', path: directory})
  const codes = findings.map(({code}) => code)
  t.true(codes.includes('DIGEST_MISMATCH') && codes.includes('SIZE_MISMATCH'))
})

test('the integrity of the file itself is verified, by the strongest digest that is given', async (t) => {
  const bytes = tarOf(docker)
  const path = writeScratch(t, bytes)
  const of = (algorithm: string, content = bytes) =>
    `${algorithm}-${createHash(algorithm).update(content).digest('base64')}`
  const right = await verifyArchive(path, {integrity: `${of('sha256', Buffer.from('x'))} ${of('sha512')}`})
  t.true(isSound(right))
  t.is(right.integrity?.found, of('sha512'))
  const wrong = await verifyArchive(path, {integrity: of('sha256', Buffer.from('x'))})
  t.like(wrong.findings[0], {code: 'INTEGRITY_MISMATCH', found: {value: of('sha256')}})
  await t.throwsAsync(verifyArchive('-', {integrity: of('sha256')}), {code: 'REFERENCE_INVALID'})
  for (const text of ['', 'sha256', 'sha1-AAAA', 'sha256:abc', `${of('sha256')} md5-AAAA`]) {
    t.throws(() => parseIntegrity(text), {code: 'REFERENCE_INVALID'}, text)
  }
})

for (const [name, {images}] of Object.entries(expected)) {
  test(`finds no error in ${name}, and computes its image IDs`, async (t) => {
    const verification = await verifyArchive({transport: 'auto', path: fixture(name)})
    t.deepEqual(
      verification.findings.filter(({severity}) => severity === 'error'),
      [],
    )
    t.deepEqual(
      verification.images.map(({imageID}) => imageID).toSorted(),
      images.map(({imageID}) => imageID as never).toSorted(),
    )
  })
}

/** What each real archive is known to have. */
const oddities: Readonly<Record<string, readonly string[]>> = {
  'containerd-export-busybox-attestation.tar': [],
  'docker-18-save-14-layers.tar': [],
  'docker-20-symlinked-layer.tar': [],
  'docker-25-hello-world.tar': ['BLOB_UNREFERENCED'],
  'docker-26-two-images.tar.gz': ['BLOB_UNREFERENCED'],
  'docker-archive-whiteouts.tar': ['LAYER_EMPTY', 'V1_ID_UNCHECKED'],
  'docker-multi-image.tar': ['V1_ID_UNCHECKED'],
  'docker-v1-centos-empty-layers.tar': ['LAYER_EMPTY', 'SIZE_CLAIM', 'V1_ID_UNCHECKED'],
  'docker-v1-dirs-and-config-without-manifest.tar': ['BLOB_UNREFERENCED', 'V1_ID_UNCHECKED'],
  'kaniko.tar': [],
  'oci-archive-busybox-1.31.1.tar': [],
  'oci-archive-estargz.tar': [],
  'oci-archive-uncompressed.tar': [],
  'oci-archive-zstd.tar': [],
  'skopeo-docker-archive-busybox.tar': ['V1_ID_UNCHECKED'],
}

sharedTest('finds no error in archives of real tools, and what is odd about them', async (t) => {
  for (const [name, codes] of Object.entries(oddities)) {
    const path = join(sharedDir()!, 'images', name)
    t.true(readFileSync(path).length > 0)
    const {findings} = await verifyArchive({transport: 'auto', path})
    t.deepEqual(
      [...new Set(findings.map(({severity, code}) => (severity === 'error' ? '!' : '') + code))].toSorted(),
      codes,
      name,
    )
  }
})
