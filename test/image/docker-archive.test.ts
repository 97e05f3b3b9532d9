import {gzipSync, zstdCompressSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {sha256} from '../../src/digest.ts'
import {selectImage} from '../../src/open.ts'
import {
  blobMember,
  configOf,
  dockerMembers,
  hybridMembers,
  imagesOf,
  layerOf,
  type Member,
  manifestOf,
  type Recipe,
  readLayers,
  replaced,
  sourceOf,
  tarOf,
  app as twoLayers,
  without,
} from '../helpers/image.ts'

const app: Recipe = {...twoLayers, names: ['app:1', 'app:latest']}
const other: Recipe = {layers: [layerOf('base'), layerOf('other')]}

/** The members with the items of manifest.json changed. */
function withItems(members: readonly Member[], change: (items: Record<string, unknown>[]) => unknown): Member[] {
  const manifest = members.find(({name}) => name === 'manifest.json')
  const items = JSON.parse(String(manifest?.body))
  return replaced(members, 'manifest.json', {body: JSON.stringify(change(items) ?? items)})
}

async function readable(t: ExecutionContext, members: readonly Member[]) {
  const {images} = await imagesOf(t, members)
  await readLayers(images.flatMap(({layers}) => layers))
  return images
}

test('reads what docker 1.10 to 24 saves', async (t) => {
  const {format, images} = await imagesOf(t, dockerMembers([app, other]))
  t.is(format, 'docker-archive')
  t.like(images[0], {index: 0, names: ['app:1', 'app:latest'], aliases: [], imageID: sha256(configOf(app))})
  t.like(images[1], {index: 1, names: [], imageID: sha256(configOf(other))})
  t.deepEqual(
    images[0]?.layers.map(({diffID}) => diffID),
    app.layers?.map(sha256),
  )
  t.regex(images[0]?.layers[0]?.v1ID ?? '', /^[0-9a-f]{64}$/)
  t.is(images[0]?.v1ID, images[0]?.layers[1]?.v1ID)
})

test('reads what docker 25 and later saves, with the digests of its manifests', async (t) => {
  const {format, images, warnings} = await imagesOf(t, hybridMembers([app, other]))
  t.is(format, 'docker-archive')
  t.deepEqual(warnings, [])
  t.like(images[0], {index: 0, names: ['app:1', 'app:latest'], manifestDigest: sha256(manifestOf(app))})
  t.like(images[1], {index: 1, names: [], manifestDigest: sha256(manifestOf(other))})
  t.is(images[0]?.layers[0]?.digest, sha256(layerOf('base')))
})

test('shows whole names as docker does, and finds them in both spellings', async (t) => {
  const members = dockerMembers([{names: ['docker.io/library/app:1', 'docker.io/me/app:1', 'quay.io/app:1']}])
  const {images} = await imagesOf(t, members)
  t.deepEqual(images[0]?.names, ['app:1', 'me/app:1', 'quay.io/app:1'])
  t.deepEqual(images[0]?.aliases, ['docker.io/library/app:1', 'docker.io/me/app:1'])
})

test('reads layers that are links to others, as docker 1.12 to 20.10 wrote them', async (t) => {
  const [config, base, top, ...rest] = dockerMembers([{layers: [layerOf('base'), layerOf('base', 'x')]}])
  const members = [config!, {...base!, type: '2', link: `../${top!.name}`, body: ''}, top!, ...rest]
  const shared = withItems(members, (items) => {
    items[0]!.Config = 'config.json'
  })
  const document = configOf({layers: [layerOf('base', 'x'), layerOf('base', 'x')]})
  const images = await readable(t, [{name: 'config.json', body: document}, ...without(shared, config!.name)])
  t.is(images[0]?.layers.length, 2)
})

test('reads compressed layers, whatever they are called', async (t) => {
  const members = dockerMembers([app])
  const [, base, top] = members
  const packed = replaced(replaced(members, base!.name, {body: gzipSync(base!.body!)}), top!.name, {
    body: zstdCompressSync(top!.body!),
  })
  t.is((await readable(t, packed)).length, 1)
})

test('takes an image without layers', async (t) => {
  const {images} = await imagesOf(t, dockerMembers([{layers: []}]))
  t.is(images[0]?.layers.length, 0)
  const nulls = withItems(dockerMembers([{layers: [], config: {rootfs: {type: 'layers'}, history: null}}]), (items) => {
    items[0]!.Layers = null
  })
  t.is((await imagesOf(t, nulls)).images[0]?.layers.length, 0)
})

test('lists an image whose layer is missing, and says so when the layer is read', async (t) => {
  const members = dockerMembers([app])
  const {images} = await imagesOf(t, without(members, members[2]!.name))
  const layer = images[0]!.layers[1]!
  const error = await t.throwsAsync(readLayers([layer]), {code: 'BLOB_MISSING'})
  t.like(error, {details: {layer: 1, entry: members[2]!.name}})
})

const damages: readonly (readonly [string, string, (body: string) => string])[] = [
  ['is no JSON', 'DOCUMENT_INVALID', (body) => body.replace(':', ';')],
  ['has lost its diffIDs', 'DOCUMENT_INVALID', (body) => body.replace('diff_ids', 'diff_idz')],
  ['has lost a key', 'DOCUMENT_INVALID', (body) => body.replace('rootfs', 'rootfz')],
  ['has a diffID that is none', 'DIGEST_INVALID', (body) => body.replace(/sha256:./, 'sha256:x')],
]
for (const [what, code, damage] of damages) {
  test(`leaves an image out whose config ${what}`, async (t) => {
    const members = dockerMembers([app, other])
    const broken = replaced(members, members[0]!.name, {body: damage(configOf(app))})
    const {images, lost, warnings} = await imagesOf(t, broken)
    t.deepEqual(
      images.map(({imageID, index}) => [imageID, index]),
      [[sha256(configOf(other)), 0]],
    )
    t.like(lost?.[0], {names: ['app:1', 'app:latest'], imageID: sha256(configOf(app)), error: {code}})
    t.is(warnings.length, 1)
    t.regex(warnings[0] ?? '', /^Image "app:1", "app:latest" is left out: /)
    const named = await sourceOf(t, broken, {name: 'app:1'})
    t.throws(() => selectImage(named), {code})
  })
}

test('leaves images out whose config is missing, each with the reason', async (t) => {
  const members = dockerMembers([app, other, {...app, names: ['again:1']}])
  const {images, lost} = await imagesOf(t, without(members, members[0]!.name))
  t.is(images.length, 1)
  t.deepEqual(
    lost?.map(({names, error}) => [names, error.code]),
    [
      [['app:1', 'app:latest'], 'BLOB_MISSING'],
      [['again:1'], 'BLOB_MISSING'],
    ],
  )
})

test('does not leave an image out for a limit or a key that is there twice, but refuses the archive', async (t) => {
  const members = dockerMembers([app, other])
  const change = (body: string) => replaced(members, members[0]!.name, {body})
  const twice = configOf(app).replace('{', '{"os":"plan9",')
  await t.throwsAsync(imagesOf(t, change(twice)), {code: 'DOCUMENT_INVALID', message: /twice/})
  const cases = configOf(app).replace('{', '{"ROOTFS":{},')
  await t.throwsAsync(imagesOf(t, change(cases)), {code: 'DOCUMENT_INVALID', message: /twice/})
  await t.throwsAsync(imagesOf(t, change(configOf(app).padEnd(4000)), {config: 3000}), {code: 'LIMIT_EXCEEDED'})
  await t.throwsAsync(imagesOf(t, [...members, {name: members[0]!.name, body: '{}'}]), {code: 'ARCHIVE_INVALID'})
})

test('refuses a layer with other bytes when it is read', async (t) => {
  const members = dockerMembers([app])
  const changed = replaced(members, members[2]!.name, {body: layerOf('changed')})
  await t.throwsAsync(readable(t, changed), {code: 'DIGEST_MISMATCH'})
})

const item = (change: object) => () =>
  withItems(dockerMembers([app]), (items) => items.map((before) => ({...before, ...change})))
const config = (change: object) => () => dockerMembers([{...app, config: change}])
const manifest = (body: string) => () => replaced(dockerMembers([app]), 'manifest.json', {body})

const refused: readonly (readonly [string, string, () => readonly Member[]])[] = [
  ['a manifest that is null', 'DOCUMENT_INVALID', manifest('null')],
  ['a manifest that is an object', 'DOCUMENT_INVALID', manifest('{}')],
  ['a manifest without images', 'IMAGE_NOT_FOUND', manifest('[]')],
  [
    'a manifest that is stored twice',
    'ARCHIVE_INVALID',
    () => [...dockerMembers([app]), {name: 'manifest.json', body: '[]'}],
  ],
  ['an item without a config', 'DOCUMENT_INVALID', item({Config: undefined})],
  ['names that are text', 'DOCUMENT_INVALID', item({RepoTags: 'app:1'})],
  ['a config that is not there', 'BLOB_MISSING', item({Config: 'none.json'})],
  ['a config above the archive', 'BLOB_MISSING', item({Config: '../../../etc/passwd'})],
  ['a config of this machine', 'BLOB_MISSING', item({Config: '/etc/passwd'})],
  ['fewer layers than diffIDs', 'DOCUMENT_INVALID', item({Layers: ['a/layer.tar']})],
  ['a parent that is no digest', 'DIGEST_INVALID', item({Parent: '../x'})],
  ['a config without rootfs', 'DOCUMENT_INVALID', config({rootfs: undefined})],
  ['a diffID that is short', 'DIGEST_INVALID', config({rootfs: {diff_ids: ['sha256:abc', 'sha256:abc']}})],
  ['a diffID that is a path', 'DIGEST_INVALID', config({rootfs: {diff_ids: ['sha256:../../x', 'x']}})],
  ['a diffID that is a number', 'DOCUMENT_INVALID', config({rootfs: {diff_ids: [7, 7]}})],
  [
    'a config with a byte order mark',
    'DOCUMENT_INVALID',
    () => {
      const members = dockerMembers([app])
      return replaced(members, members[0]!.name, {body: `\ufeff${configOf(app)}`})
    },
  ],
  [
    'a config that is not what its name says',
    'DIGEST_MISMATCH',
    () =>
      replaced(without(hybridMembers([app]), 'index.json', 'oci-layout'), blobMember(configOf(app)).name, {
        body: configOf({...app, config: {author: 'me'}}),
      }),
  ],
]

for (const [what, code, members] of refused) {
  test(`refuses ${what}`, async (t) => {
    await t.throwsAsync(imagesOf(t, members()), {code})
  })
}

test('refuses more layers than the limit, and documents longer than theirs', async (t) => {
  await t.throwsAsync(imagesOf(t, dockerMembers([app]), {layers: 1}), {code: 'LIMIT_EXCEEDED', message: /"layers"/})
  await t.throwsAsync(imagesOf(t, dockerMembers([app]), {config: 50}), {code: 'LIMIT_EXCEEDED', message: /"config"/})
  await t.throwsAsync(imagesOf(t, dockerMembers([app]), {document: 9}), {code: 'LIMIT_EXCEEDED', message: /"document"/})
  await t.throwsAsync(imagesOf(t, dockerMembers([app]), {documents: 500}), {
    code: 'LIMIT_EXCEEDED',
    message: /"documents"/,
  })
})

const steps = (...names: string[]) => ({history: names.map((name) => ({created_by: name}))})
const parentRecipe = {layers: [layerOf('base')], config: steps('a')}

test('keeps a parent that is in the archive and one step behind', async (t) => {
  const child = {layers: [layerOf('base'), layerOf('top')], config: steps('a', 'b')}
  const members = dockerMembers([child, parentRecipe])
  const id = sha256(configOf(parentRecipe))
  const linked = withItems(members, (items) => {
    items[0]!.Parent = id
  })
  t.is((await imagesOf(t, linked)).images[0]?.parent, id)
})

for (const [what, recipe, parent] of [
  ['that is not in the archive', steps('a', 'b'), sha256('none')],
  ['that is the image itself', steps('a', 'b'), undefined],
  ['that is two steps behind', steps('a', 'b', 'c'), sha256(configOf(parentRecipe))],
  ['with another history', steps('x', 'b'), sha256(configOf(parentRecipe))],
] as const) {
  test(`drops a parent ${what}, as docker load does`, async (t) => {
    const child = {layers: [layerOf('base'), layerOf('top')], config: recipe}
    const members = withItems(dockerMembers([child, parentRecipe]), (items) => {
      items[0]!.Parent = parent ?? sha256(configOf(child))
    })
    t.is((await imagesOf(t, members)).images[0]?.parent, undefined)
  })
}

test('reads one large config once, and compares it once, however many items name it', async (t) => {
  const history = Array.from({length: 20_000}, (_, n) => ({created_by: `step ${n}`, empty_layer: true}))
  const large = {layers: [], config: {history}}
  const child = {layers: [], config: {history: [...history, {created_by: 'last', empty_layer: true}]}}
  const members = withItems(dockerMembers([large, child]), ([first, second]) => [
    first,
    ...Array(5000).fill({...second, Parent: sha256(configOf(large))}),
  ])
  const {images} = await imagesOf(t, members)
  t.is(images.length, 5001)
  t.is(new Set(images.map((image) => image.config)).size, 2)
  t.is(images.at(-1)?.parent, sha256(configOf(large)))
})

test('takes garbage beside an image for what it is', async (t) => {
  const members: Member[] = [
    {name: 'x', type: '3'},
    {name: 'etc/passwd', body: 'x'},
    {name: `${'a'.repeat(64)}/json`, body: 'no JSON'},
    ...dockerMembers([app]),
    {name: 'y', type: '2', link: '/'},
    {name: 'layer.tar', body: tarOf([{name: 'x'}])},
  ]
  t.is((await readable(t, members)).length, 1)
})
