import {execFileSync} from 'node:child_process'
import {linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {gunzipSync, gzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {convertImages} from '../../src/convert.ts'
import {sha256} from '../../src/digest.ts'
import {ImgtoolError} from '../../src/errors.ts'
import {chainIDs} from '../../src/image/chain.ts'
import {opaqueMarkOf, removalOf} from '../../src/layer/change.ts'
import {readLayer, startBudget} from '../../src/layer/read.ts'
import {defaultLimits} from '../../src/limits.ts'
import {listFiles} from '../../src/list-files.ts'
import {openSource, type Source, selectImage} from '../../src/open.ts'
import * as os from '../../src/os/libc.ts'
import {measureLayers} from '../../src/sizes.ts'
import {
  contentPath,
  keepsTrees,
  layerPath,
  metadataRoot,
  type StoreDriver,
  storeDrivers,
} from '../../src/store/layout.ts'
import {isSound, verifyArchive} from '../../src/verify.ts'
import {apply, cacheIDOf, imageIDOf, type StoredRecipe, tarSplitOf, write, writeDataRoot} from '../helpers/data-root.ts'
import {Recorder, readEntries} from '../helpers/entries.ts'
import {configOf, scratch, v1ID} from '../helpers/image.ts'
import {directory, file, hardlink, symlink, tar} from '../helpers/tar.ts'

const base = tar(
  directory('d/'),
  file('d/changed', 'before'),
  file('d/deleted', 'deleted'),
  file('d/kept', 'kept'),
  file('d/linked', 'linked'),
  hardlink('d/other', 'd/linked'),
  symlink('d/link', 'kept'),
  file('replaced', 'a file'),
)
const top = tar(
  directory('d/', {mtime: 5}),
  file('d/changed', 'after!'),
  file('d/new', 'new'),
  directory('replaced/'),
  file('replaced/by', 'a directory'),
)
const app: StoredRecipe = {names: ['app:1', 'app:latest'], layers: [base, top]}
const other: StoredRecipe = {names: ['other:1'], layers: [base]}
const [baseID, topID] = chainIDs(app.layers.map(sha256)) as [`sha256:${string}`, `sha256:${string}`]

async function open(t: ExecutionContext, reference: string): Promise<Source> {
  const source = await openSource(`docker-root:${reference}`)
  t.teardown(() => source[Symbol.asyncDispose]())
  return source
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

async function refusal(t: ExecutionContext, work: Promise<unknown>): Promise<string> {
  const error = await t.throwsAsync(work, {instanceOf: ImgtoolError})
  return `${error.code} ${error.message} (layer ${error.details.layer}, entry ${error.details.entry})`
}

/** What reading the layers of the only image comes to. */
async function read(t: ExecutionContext, root: string): Promise<void> {
  const source = await open(t, root)
  const budget = startBudget(defaultLimits)
  for (const layer of selectImage(source).layers) await readLayer(layer, new Recorder(), budget)
}

for (const driver of storeDrivers) {
  test(`images of ${driver} are read, and their layers are what they were`, async (t) => {
    const source = await open(t, writeDataRoot(scratch(t), driver, [other, app]))
    t.deepEqual(source.reference.driver, driver)
    t.deepEqual(source.set.warnings, [])
    t.deepEqual(
      source.set.images.map(({names, imageID, config}) => [names, imageID, config.toString()]),
      [app, other].map((recipe) => [recipe.names, imageIDOf(recipe), configOf(recipe)]),
    )
    const {layers} = source.set.images[0]!
    t.is(layers[0]!.blob, source.set.images[1]!.layers[0]!.blob)
    for (const [at, layer] of layers.entries()) {
      t.deepEqual(await bytesOf(layer.blob.stream()), app.layers[at])
      t.is(layer.blob.size, app.layers[at]!.length)
      t.is(layer.diffID, sha256(app.layers[at]!))
    }
    const files = readEntries(base).reduce((sum, {entry}) => sum + entry.size, 0)
    t.deepEqual(await measureLayers([layers[0]!]), [{size: files, exact: true}])
    t.deepEqual(await measureLayers([layers[0]!], {exact: true}), [{size: files, exact: true}])
    const listed = [...(await listFiles(source.set.images[0]!))].map(({path}) => path)
    t.deepEqual(listed.filter((path) => path !== '').toSorted(), [
      ...['d', 'd/changed', 'd/deleted', 'd/kept', 'd/link', 'd/linked', 'd/new', 'd/other'],
      ...['replaced', 'replaced/by'],
    ])
  })
}

for (const driver of ['overlay2', 'aufs'] as const) {
  test(`files that a layer of ${driver} has below symlinks of lower layers are found where these lead`, async (t) => {
    const layers = [
      tar(directory('d/'), directory('d/e/'), symlink('relative', 'd/e/../other'), symlink('loop', 'loop/further')),
      tar(directory('d/other/'), symlink('d/e/absolute', '/../relative/.')),
      tar(file('relative/one', '1'), file('d/e/absolute/two', '22'), file('loop/three', '3')),
    ]
    const root = writeDataRoot(scratch(t), driver, [{names: ['led:1'], layers}])
    const content = join(root, contentPath(driver, cacheIDOf(chainIDs(layers.map(sha256))[2]!)))
    mkdirSync(join(content, 'd/other'))
    renameSync(join(content, 'relative/one'), join(content, 'd/other/one'))
    renameSync(join(content, 'd/e/absolute/two'), join(content, 'd/other/two'))
    for (const name of ['relative', 'd/e']) rmSync(join(content, name), {recursive: true})
    const {blob} = selectImage(await open(t, root)).layers[2]!
    t.deepEqual(await bytesOf(blob.stream()), layers[2])
    rmSync(join(content, 'loop'), {recursive: true})
    t.regex(await refusal(t, read(t, root)), /^BLOB_MISSING Cannot find "loop\/three" in the store/)
  })
}

/** Takes all tar-splits away. */
function loseTarSplits(root: string, driver: StoreDriver): string {
  const names = [baseID, topID].map((chainID) => `${layerPath(chainID)}/tar-split.json.gz`)
  for (const name of names) rmSync(join(root, metadataRoot(driver), name))
  return root
}

/** What the topmost layer of the only image has, a line an entry. */
async function describeTop(t: ExecutionContext, root: string): Promise<string[]> {
  const {layers} = selectImage(await open(t, root))
  const {blob} = layers.at(-1)!
  const bytes = await bytesOf(blob.stream())
  t.is(blob.size, bytes.length)
  t.deepEqual(await bytesOf(blob.stream()), bytes)
  return readEntries(bytes).map(({entry, content}) => `${entry.kind} ${entry.path} ${content || entry.link}`.trimEnd())
}

const topEntries = [
  'directory d',
  'file d/changed after!',
  'file d/new new',
  'directory replaced',
  'file replaced/by a directory',
]

for (const driver of storeDrivers) {
  test(`layers of ${driver} are made anew where the tar-split is lost, and the config is right for them`, async (t) => {
    const root = loseTarSplits(writeDataRoot(scratch(t), driver, [app]), driver)
    t.deepEqual(await describeTop(t, root), topEntries)
    const source = await open(t, root)
    t.regex(source.set.warnings.join(), /^2 layers have no tar-split .*IDs/)
    const image = selectImage(source)
    t.deepEqual(
      image.layers.map(({diffID, lostDiffID}) => [diffID, lostDiffID]),
      app.layers.map((layer) => [undefined, sha256(layer)]),
    )
    t.is(image.imageID, imageIDOf(app))
    const target = join(scratch(t), 'app.tar')
    const result = await convertImages(source, [image], {format: 'docker-archive', path: target})
    const {diffIDs, imageID} = result.images[0]!
    await using converted = await openSource(target)
    t.is(converted.set.images[0]!.imageID, imageID)
    const restored = converted.set.images[0]!.config.toString().replace(JSON.stringify(diffIDs), '[]')
    t.is(restored, configOf(app).replace(JSON.stringify(app.layers.map(sha256)), '[]'))
    t.true(isSound(await verifyArchive(target)))
    t.false(isSound(await verifyArchive(`docker-root:${root}`)))
  })
}

/** Where the driver keeps a layer. */
function contentOf(root: string, driver: StoreDriver, chainID = topID): string {
  return join(root, contentPath(driver, cacheIDOf(chainID)))
}

test('what vfs has no longer was deleted, and all names of a changed file are written', async (t) => {
  const root = loseTarSplits(writeDataRoot(scratch(t), 'vfs', [app]), 'vfs')
  const content = contentOf(root, 'vfs')
  rmSync(join(content, 'd/deleted'))
  rmSync(join(content, 'replaced'), {recursive: true})
  linkSync(join(content, 'd/kept'), join(content, 'd/also kept'))
  linkSync(join(content, 'd/other'), join(content, 'd/third'))
  t.deepEqual(await describeTop(t, root), [
    'file .wh.replaced',
    'directory d',
    'file d/.wh.deleted',
    ...['file d/also kept kept', 'file d/changed after!', 'hardlink d/kept d/also kept'],
    ...['file d/linked linked', 'file d/new new', 'hardlink d/other d/linked', 'hardlink d/third d/linked'],
  ])
})

test('deletions of aufs stay, and its own names go', async (t) => {
  const root = loseTarSplits(writeDataRoot(scratch(t), 'aufs', [app]), 'aufs')
  const content = contentOf(root, 'aufs')
  write(join(content, '.wh..wh.aufs'), '')
  write(join(content, '.wh..wh.plnk/12.34'), 'a pseudo link')
  write(join(content, '.wh..wh.orph/12'), 'an orphan')
  linkSync(join(content, '.wh..wh.aufs'), join(content, removalOf('d/deleted')))
  linkSync(join(content, '.wh..wh.aufs'), join(content, opaqueMarkOf('replaced')))
  t.deepEqual(await describeTop(t, root), [
    ...['directory d', 'file d/.wh.deleted', 'file d/changed after!', 'file d/new new'],
    ...['directory replaced', 'file replaced/.wh..wh..opq', 'file replaced/by a directory'],
  ])
})

const asRoot = process.getuid?.() === 0 ? test : test.skip

asRoot('devices 0:0 and opaque directories of overlay2 become whiteouts', async (t) => {
  const root = loseTarSplits(writeDataRoot(scratch(t), 'overlay2', [app]), 'overlay2')
  const content = contentOf(root, 'overlay2')
  execFileSync('mknod', [join(content, 'd/deleted'), 'c', '0', '0'])
  execFileSync('mknod', [join(content, 'd/null'), 'c', '1', '3'])
  const place = os.openAt(os.AT_FDCWD, join(content, 'replaced'), os.O_PLACE)
  t.is(os.setXattr(place, 'trusted.overlay.opaque', 'y'), 0)
  os.close(place)
  t.deepEqual(await describeTop(t, root), [
    ...['directory d', 'file d/.wh.deleted', 'file d/changed after!', 'file d/new new', 'character d/null'],
    ...['directory replaced', 'file replaced/.wh..wh..opq', 'file replaced/by a directory'],
  ])
})

test('a file that is called like a deletion is refused where it would become one', async (t) => {
  for (const driver of ['overlay2', 'vfs'] as const) {
    const root = loseTarSplits(writeDataRoot(scratch(t), driver, [app]), driver)
    write(join(contentOf(root, driver), removalOf('d/kept')), '')
    t.regex(await refusal(t, read(t, root)), /^WHITEOUT_INVALID .*layer 1, entry d\/\.wh\.kept/)
  }
})

/** `graph/` of two layers and a third that is nobody's child. */
function writeGraph(root: string, driver: StoreDriver): string {
  const layers = [
    {id: v1ID('a'), parent: undefined, layer: base, below: []},
    {id: v1ID('b'), parent: v1ID('a'), layer: top, below: [base]},
  ]
  for (const {id, parent, layer, below} of layers) {
    write(join(root, 'graph', id, 'json'), JSON.stringify({id, parent, created: '2014-01-02T03:04:05Z'}))
    write(join(root, 'graph', id, 'layersize'), '42')
    write(join(root, 'graph', id, 'tar-data.json.gz'), tarSplitOf(layer))
    const content = join(root, contentPath(driver, id))
    mkdirSync(content, {recursive: true})
    for (const each of keepsTrees(driver) ? [...below, layer] : [layer]) apply(content, each, keepsTrees(driver))
  }
  write(join(root, 'graph/_tmp/x'), '')
  const repositories = {Repositories: {app: {'1': v1ID('b'), gone: v1ID('c')}}}
  write(join(root, `repositories-${driver}`), JSON.stringify(repositories))
  return root
}

for (const driver of storeDrivers) {
  test(`images from before docker 1.10 are read of ${driver}`, async (t) => {
    const root = writeGraph(scratch(t), driver)
    const source = await open(t, root)
    t.regex(source.set.warnings.join(), /"app:gone" names an image that is not there/)
    const image = selectImage(source)
    t.deepEqual([image.format, image.names, image.v1ID], ['docker-v1', ['app:1'], v1ID('b')])
    for (const [at, {blob}] of image.layers.entries()) t.deepEqual(await bytesOf(blob.stream()), app.layers[at])
    t.is((await measureLayers(image.layers))[0]!.size, 42)
    for (const id of ['a', 'b']) rmSync(join(root, 'graph', v1ID(id), 'tar-data.json.gz'))
    t.deepEqual(await describeTop(t, root), topEntries)
    t.regex((await open(t, root)).set.warnings.join(), /2 layers have no tar-split and are made anew of files$/)
  })
}

test('a layer of the graph that is damaged is left out', async (t) => {
  const root = writeGraph(scratch(t), 'aufs')
  write(join(root, 'graph', v1ID('b'), 'json'), '{')
  const {set} = await open(t, root)
  t.regex(set.warnings.join(), /Layer b+ is left out/)
  t.deepEqual(
    set.images.map(({v1ID: id}) => id),
    [v1ID('a')],
  )
})

type Damage = (root: string, metadata: string, content: string) => void

const layerFact = (name: string, value: string | Buffer): Damage => {
  return (_, metadata) => writeFileSync(join(metadata, layerPath(topID), name), value)
}
/** Replaces a name by a symlink. */
const linked = (path: string, target: string) => {
  rmSync(path, {recursive: true})
  symlinkSync(target, path)
}
/** A tar-split that names a file where it cannot be. */
const escaping = (name: string): Damage => {
  const json = gunzipSync(tarSplitOf(tar(file('inside', 'outside')))).toString()
  return layerFact('tar-split.json.gz', gzipSync(json.replace('"inside"', JSON.stringify(name))))
}

const damages: readonly (readonly [string, Damage, RegExp])[] = [
  [
    'a file that was changed',
    (_, __, c) => writeFileSync(join(c, 'd/new'), 'NEW'),
    /^DIGEST_MISMATCH .*"d\/new".*layer 1/,
  ],
  [
    'a file that is longer',
    (_, __, c) => writeFileSync(join(c, 'd/new'), 'newer'),
    /^SIZE_MISMATCH .*"d\/new".*layer 1/,
  ],
  ['a file that is gone', (_, __, c) => unlinkSync(join(c, 'd/new')), /^BLOB_MISSING .*"d\/new".*layer 1/],
  [
    'a tar-split of another layer',
    layerFact('tar-split.json.gz', tarSplitOf(tar(file('d/new', 'new')))),
    /^DIGEST_MISMATCH .*layer 1/,
  ],
  [
    'a tar-split that is cut',
    layerFact('tar-split.json.gz', tarSplitOf(top).subarray(0, 80)),
    /^COMPRESSION_INVALID .*layer 1/,
  ],
  ['a tar-split that leads out', escaping('../../outside'), /^PATH_ESCAPES .*layer 1/],
  [
    'a file that is a symlink out',
    (r, __, c) => linked(join(c, 'd/new'), join(r, 'outside')),
    /^ARCHIVE_INVALID .*"d\/new": .*no regular file.*layer 1/,
  ],
  ['a directory that is a symlink out', (r, __, c) => linked(join(c, 'd'), r), /^BLOB_MISSING .*"d\/.*layer 1/],
  ['a directory that is a symlink up', (_, __, c) => linked(join(c, 'd'), '../../..'), /^BLOB_MISSING .*layer 1/],
  [
    'a fifo in the place of a file',
    (_, __, c) => fifo(join(c, 'd/new')),
    /^ARCHIVE_INVALID .*no regular file.*layer 1/,
  ],
  [
    'a layer that is not there',
    (_, m) => rmSync(join(m, layerPath(topID)), {recursive: true}),
    /^BLOB_MISSING .*layer 1/,
  ],
  ['files that are not there', (_, __, c) => rmSync(c, {recursive: true}), /^BLOB_MISSING .*layer 1/],
  ['a cache id that is a path', layerFact('cache-id', '../../../outside'), /^BLOB_MISSING .*layer 1/],
  ['another layer in its place', layerFact('diff', sha256('other')), /^BLOB_MISSING .*layer 1/],
  ['a layer directory that is a symlink', (r, __, c) => linked(c, r), /^BLOB_MISSING .*layer 1/],
  ['metadata that is a symlink', (r) => moved(join(r, 'image')), /^ARCHIVE_INVALID .*"image" is no directory/],
]

function fifo(path: string): void {
  rmSync(path)
  execFileSync('mkfifo', [path])
}

/** Another place for a directory, and a symlink to it. */
function moved(path: string): void {
  renameSync(path, `${path}-moved`)
  symlinkSync(`${path}-moved`, path)
}

for (const [what, damage, message] of damages) {
  test(`refuses ${what}`, async (t) => {
    const root = writeDataRoot(scratch(t), 'overlay2', [app])
    write(join(root, 'outside'), 'outside')
    write(join(root, 'changed'), 'after!')
    damage(root, join(root, metadataRoot('overlay2')), contentOf(root, 'overlay2'))
    t.regex(await refusal(t, read(t, root)), message)
  })
}

test('an image that is damaged is left out, and so are names', async (t) => {
  const root = writeDataRoot(scratch(t), 'vfs', [app, other])
  const metadata = join(root, metadataRoot('vfs'))
  const config = join(metadata, 'imagedb/content/sha256', imageIDOf(other).slice('sha256:'.length))
  writeFileSync(config, readFileSync(config).subarray(1))
  const {set} = await open(t, root)
  t.deepEqual(
    set.images.map(({names}) => names),
    [['app:1', 'app:latest']],
  )
  t.regex(set.warnings.join(), /^Image "other:1" [0-9a-f]{64} is left out: [^"]*its digest is [^"]*$/)
  writeFileSync(join(metadata, 'repositories.json'), '')
  const unnamed = (await open(t, root)).set
  t.deepEqual(
    unnamed.images.map(({names}) => names),
    [[]],
  )
  t.regex(unnamed.warnings.join(), /Names are left out: .*repositories.json/)
})

test('what was only built on, and names by digest, are not shown', async (t) => {
  const step: StoredRecipe = {layers: [base], config: {author: 'somebody'}}
  const child: StoredRecipe = {...app, names: ['app:1', `app@${sha256('manifest')}`], parent: imageIDOf(step)}
  const {set} = await open(t, writeDataRoot(scratch(t), 'vfs', [step, child, {...other, parent: imageIDOf(child)}]))
  t.deepEqual(
    set.images.map(({names, parent}) => [names, parent]),
    [
      [['app:1'], undefined],
      [['other:1'], undefined],
    ],
  )
})

test('a data-root of several drivers, of none, and of others is refused with what helps', async (t) => {
  const root = writeDataRoot(writeDataRoot(scratch(t), 'vfs', [app]), 'overlay2', [app])
  const error = await t.throwsAsync(openSource(`docker-root:${root}`), {code: 'IMAGE_AMBIGUOUS'})
  t.is((error as ImgtoolError).details.hint, `Name one: docker-root:${root}:overlay2, docker-root:${root}:vfs`)
  t.is((await open(t, `${root}:vfs:app:1`)).reference.driver, 'vfs')
  await t.throwsAsync(openSource(`docker-root:${root}:aufs`), {code: 'FORMAT_UNKNOWN'})
  await t.throwsAsync(openSource(`docker-root:${scratch(t)}`), {code: 'FORMAT_UNKNOWN'})
  await t.throwsAsync(openSource(`docker-root:${root}/nothing`), {code: 'SOURCE_NOT_FOUND'})
  renameSync(join(root, 'image/vfs'), join(root, 'image/zfs'))
  await t.throwsAsync(openSource(`docker-root:${root}:zfs`), {code: 'FORMAT_UNKNOWN', message: /zfs.*can be read/})
  const bare = await t.throwsAsync(openSource(root), {code: 'FORMAT_UNKNOWN'})
  t.is((bare as ImgtoolError).details.hint, `Give it as docker-root:${root}`)
  const missing = await t.throwsAsync(async () => selectImage(await open(t, `${root}:overlay2:nothing`)))
  t.regex((missing as ImgtoolError).details.hint!, new RegExp(`docker-root:${root}:overlay2:app:1`))
})

test('overlay is overlay2 where there is no other overlay', async (t) => {
  const root = writeDataRoot(scratch(t), 'overlay2', [app])
  t.is((await open(t, `${root}:overlay:app:1`)).reference.driver, 'overlay2')
  writeDataRoot(root, 'overlay', [app])
  t.is((await open(t, `${root}:overlay:app:1`)).reference.driver, 'overlay')
  t.is((await open(t, `${root}:overlay2:app:1`)).reference.driver, 'overlay2')
})

test('layers that BuildKit made are read: their places have names of another kind', async (t) => {
  const root = writeDataRoot(scratch(t), 'overlay2', [other])
  const built = 'l4w1tz5d3s0xkd6d2rdmzmdba'
  renameSync(join(root, 'overlay2', cacheIDOf(baseID)), join(root, 'overlay2', built))
  writeFileSync(join(root, metadataRoot('overlay2'), layerPath(baseID), 'cache-id'), built)
  const {set} = await open(t, root)
  t.deepEqual(set.warnings, [])
  t.true(isSound(await verifyArchive(`docker-root:${root}`)))
})
