import {mkdirSync, readdirSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {chainIDs} from '../../src/image/chain.ts'
import {type Image, openSource, readLayer, selectImage, sha256} from '../../src/index.ts'
import {startBudget} from '../../src/layer/read.ts'
import {defaultLimits} from '../../src/limits.ts'
import {hostPlatform} from '../../src/open.ts'
import {contentPath, metadataRoot} from '../../src/store/layout.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {apply, imageIDOf, type StoredRecipe, write, writeDataRoot} from '../helpers/data-root.ts'
import {Recorder} from '../helpers/entries.ts'
import {scratch} from '../helpers/layers.ts'
import {directory, file, tar} from '../helpers/tar.ts'

const base = tar(directory('d/'), file('d/x', 'x'), file('gone', 'gone'))
const app: StoredRecipe = {names: ['app:1'], layers: [base]}
const otherApp: StoredRecipe = {names: ['other:1'], layers: [tar(file('other'))]}
const lostID = `sha256:${'e'.repeat(64)}`
const webID = 'a'.repeat(64)
const mountID = 'c'.repeat(64)
const document = {
  Name: '/web',
  Image: imageIDOf(app),
  Created: '2020-01-01T00:00:00Z',
  State: {FinishedAt: '2021-02-03T04:05:06.789Z'},
  Path: '/bin/sh',
  Args: ['-c', 'echo <new>'],
  Config: {Env: ['A=<b>'], Cmd: ['/bin/sh']},
}

/** A data-root with a container that has made changes. */
function writeStore(
  t: ExecutionContext,
  layer: Buffer,
  facts: object | undefined = document,
  images: readonly StoredRecipe[] = [app, otherApp],
): string {
  const root = writeDataRoot(scratch(t), 'vfs', images)
  const place = join(root, contentPath('vfs', mountID))
  mkdirSync(place, {recursive: true})
  for (const each of [base, layer]) apply(place, each, true)
  for (const [name, text] of Object.entries({'mount-id': mountID, parent: chainIDs([sha256(base)])[0]!}))
    write(join(root, metadataRoot('vfs'), 'layerdb/mounts', webID, name), text)
  write(join(root, `containers/${webID}/config.v2.json`), JSON.stringify(facts))
  return root
}

const changed = tar(file('.wh.gone'), file('d/new', 'new'))
const commit = (...words: string[]) => spawnImgtool(['commit', ...words])

/** Paths of the topmost layer. */
async function topOf({layers}: Image): Promise<string[]> {
  const recorder = new Recorder()
  await readLayer(layers.at(-1)!, recorder, startBudget(defaultLimits))
  return recorder.entries.map(({entry}) => entry.path)
}

test('commit writes an archive with the changes as a layer, and the same one again', async (t) => {
  const root = writeStore(t, changed)
  const [one, other] = [join(scratch(t), 'one.tar'), join(scratch(t), 'other.tar')]
  const {status, stderr} = await commit(root, 'web', one, '--tag', 'web:1', '--message', 'why')
  t.is(status, 0, stderr)
  t.regex(stderr, /^Committed aaaaaaaaaaaa, 3 B, as sha256:[0-9a-f]{64} to .*one\.tar\n$/)
  const {stdout} = await commit(root, webID.slice(0, 12), other, '--tag', 'web:1', '--message', 'why', '--json')
  t.true(readFileSync(one).equals(readFileSync(other)))
  await using source = await openSource(one)
  const image = selectImage(source)
  t.like(JSON.parse(stdout.toString()), {containerID: webID, imageID: image.imageID, names: ['web:1'], bytes: 3})
  t.deepEqual(
    [image.names, image.layers[0]!.diffID, image.created],
    [['web:1'], sha256(base), document.State.FinishedAt],
  )
  t.deepEqual(await topOf(image), ['.wh.gone', 'd', 'd/new'])
  t.deepEqual(image.history.at(-1), {
    created: document.State.FinishedAt,
    createdBy: '/bin/sh -c echo <new>',
    comment: 'why',
    emptyLayer: false,
  })
  t.deepEqual(JSON.parse(image.config.toString()).config, document.Config)
})

test('commit adds an image to the data-root', async (t) => {
  const root = writeStore(t, changed)
  const {status, stderr} = await commit(root, 'web', '--tag', 'web:1')
  t.is(status, 0, stderr)
  await using source = await openSource(`docker-root:${root}:web:1`)
  t.deepEqual(source.set.images.flatMap(({names}) => names).toSorted(), ['app:1', 'other:1', 'web:1'])
  t.deepEqual(await topOf(selectImage(source)), ['.wh.gone', 'd', 'd/new'])
})

test('commit adds a name as docker looks for it', async (t) => {
  const root = writeStore(t, changed)
  const {stdout} = await commit(root, 'web', '--tag', 'docker.io/library/web:1', '--json')
  t.deepEqual(JSON.parse(stdout.toString()).names, ['web:1'])
  const {Repositories} = JSON.parse(readFileSync(join(root, metadataRoot('vfs'), 'repositories.json'), 'utf8'))
  t.deepEqual(Object.keys(Repositories.web), ['web:1'])
})

test('a container that changed nothing and never ran adds a step without a layer', async (t) => {
  const root = writeStore(t, tar(), {...document, State: {FinishedAt: '0001-01-01T00:00:00Z'}})
  const target = join(scratch(t), 'same.tar')
  const {stdout} = await commit(root, 'web', target, '--json')
  t.false('diffID' in JSON.parse(stdout.toString()))
  await using source = await openSource(target)
  const {layers, history, created, names} = selectImage(source)
  t.deepEqual([layers.length, history.at(-1)!.emptyLayer, created, names], [1, true, document.Created, []])
})

/** What docker does not know of: a container that imgtool made. */
function makeOwn(root: string, facts: Record<string, string>): void {
  rmSync(join(root, 'containers'), {recursive: true})
  for (const [name, text] of Object.entries(facts))
    write(join(root, metadataRoot('vfs'), 'layerdb/mounts', webID, name), text)
}

const runs: StoredRecipe = {
  ...app,
  config: {config: {Env: ['A=<b>'], Entrypoint: ['/bin/sh', '-c'], Cmd: ['echo <x>']}},
}
const twin: StoredRecipe = {...app, names: ['twin:1'], config: {config: {Cmd: ['/twin']}}}

test('a container that imgtool made becomes what its image runs, as old as the container', async (t) => {
  const root = writeStore(t, changed, document, [runs, twin])
  makeOwn(root, {'imgtool-image': imageIDOf(runs), 'imgtool-created': '2022-02-02T02:02:02.222Z'})
  const target = join(scratch(t), 'own.tar')
  const {status, stderr} = await commit(root, webID, target)
  t.is(status, 0, stderr)
  await using source = await openSource(target)
  const image = selectImage(source)
  t.deepEqual(JSON.parse(image.config.toString()).config, {...(runs.config as {config: object}).config})
  t.is(image.created, '2022-02-02T02:02:02.222Z')
  t.deepEqual(image.history.at(-1), {
    created: '2022-02-02T02:02:02.222Z',
    createdBy: '/bin/sh -c echo <x>',
    emptyLayer: false,
  })
  t.deepEqual(await topOf(image), ['.wh.gone', 'd', 'd/new'])
})

test('a container that does not say its image is of the one that has its layers, or of the one that is named', async (t) => {
  const createdBy = async (root: string, ...words: string[]) => {
    const target = join(scratch(t), 'new.tar')
    const {status, stderr} = await commit(root, webID, target, ...words)
    t.is(status, 0, stderr)
    await using source = await openSource(target)
    return selectImage(source).history.at(-1)!.createdBy
  }
  const alone = writeStore(t, changed, document, [runs, otherApp])
  makeOwn(alone, {})
  t.is(await createdBy(alone), '/bin/sh -c echo <x>')
  const several = writeStore(t, changed, document, [runs, twin])
  makeOwn(several, {})
  const {status, stderr} = await commit(several, webID, join(scratch(t), 'none.tar'))
  t.is(status, 1)
  const shown = [runs, twin].map((recipe) => `--image ${imageIDOf(recipe).slice(7, 19)}`).toSorted()
  t.regex(stderr, /Nothing says which of 2 images the container aaaaaaaaaaaa was made of\nHint: Name one: --image /)
  for (const choice of shown) t.true(stderr.includes(choice), choice)
  t.is(await createdBy(several, '--image', 'twin:1'), '/twin')
  t.is(await createdBy(several, '--image', imageIDOf(runs).slice(7, 19)), '/bin/sh -c echo <x>')
})

test('a container whose image is gone is committed on the layers alone', async (t) => {
  const arm: StoredRecipe = {...otherApp, config: {architecture: 'arm64', variant: 'v8'}}
  for (const [others, platform] of [
    [[arm], {os: 'linux', architecture: 'arm64', variant: 'v8'}],
    [[], hostPlatform()],
  ] as const) {
    const root = writeStore(t, changed, document, [app, ...others])
    rmSync(join(root, metadataRoot('vfs'), 'imagedb/content/sha256', imageIDOf(app).slice(7)))
    write(join(root, metadataRoot('vfs'), 'repositories.json'), '{"Repositories":{}}')
    const target = join(scratch(t), 'web.tar')
    const {status, stderr} = await commit(root, 'web', target)
    t.is(status, 0, stderr)
    t.regex(stderr, /Warning: Its image [0-9a-f]{12} is gone or damaged: /)
    await using source = await openSource(target)
    const image = selectImage(source)
    t.deepEqual([image.platform, image.history.length, image.layers.length], [platform, 2, 2])
    t.deepEqual(JSON.parse(image.config.toString()).config, document.Config)
    t.is(image.created, document.State.FinishedAt)
    t.is((await commit(root, 'web', '--tag', 'web:1')).status, 0)
    await using stored = await openSource(`docker-root:${root}:web:1`)
    t.is(selectImage(stored).imageID, image.imageID)
  }
})

test('commit says what is missing, and writes nothing', async (t) => {
  const folder = scratch(t)
  const target = join(folder, 'new.tar')
  const refused = async (root: string, message: RegExp, ...words: string[]) => {
    const {status, stderr} = await commit(root, ...words)
    t.not(status, 0)
    t.regex(stderr, message)
  }
  const root = writeStore(t, changed)
  await refused(root, /Cannot find container "none" of vfs\nHint: Run: imgtool store list/, 'none', target)
  await refused(root, /Cannot find container "aaaaa" of vfs/, 'aaaaa', target)
  await refused(root, /Cannot commit to nowhere\nHint: Give DESTINATION, or --tag/, 'web')
  await refused(root, /Cannot use --force: it is for use with DESTINATION only/, 'web', '--force', '--tag', 'x:1')
  const baseless = writeStore(t, changed, {...document, Image: lostID})
  write(join(baseless, metadataRoot('vfs'), 'layerdb/mounts', webID, 'init-id'), `${mountID}-init`)
  rmSync(join(baseless, metadataRoot('vfs'), 'layerdb/sha256'), {recursive: true})
  await refused(baseless, /its image and layers of it are gone/, 'web', target)
  await refused(root, /its layers are not those of the container/, 'web', target, '--image', 'other:1')
  await refused(root, /Cannot find image "none" in the store/, 'web', target, '--image', 'none')
  t.deepEqual(readdirSync(folder), [])
})
