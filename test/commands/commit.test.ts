import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {chainIDs} from '../../src/image/chain.ts'
import {type Image, openSource, readLayer, selectImage, sha256} from '../../src/index.ts'
import {startBudget} from '../../src/layer/read.ts'
import {defaultLimits} from '../../src/limits.ts'
import {contentPath, metadataRoot} from '../../src/store/layout.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {apply, imageIDOf, type StoredRecipe, write, writeDataRoot} from '../helpers/data-root.ts'
import {Recorder} from '../helpers/entries.ts'
import {scratch} from '../helpers/layers.ts'
import {directory, file, tar} from '../helpers/tar.ts'

const base = tar(directory('d/'), file('d/x', 'x'), file('gone', 'gone'))
const app: StoredRecipe = {names: ['app:1'], layers: [base]}
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
function writeStore(t: ExecutionContext, layer: Buffer, facts: object = document): string {
  const root = writeDataRoot(scratch(t), 'vfs', [app])
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
  const {stdout} = await commit(root, webID.slice(0, 5), other, '--tag', 'web:1', '--message', 'why', '--json')
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
  t.deepEqual(source.set.images.flatMap(({names}) => names).toSorted(), ['app:1', 'web:1'])
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

test('commit says what is missing, and writes nothing', async (t) => {
  const folder = scratch(t)
  const target = join(folder, 'new.tar')
  const refused = async (root: string, message: RegExp, ...words: string[]) => {
    const {status, stderr} = await commit(root, ...words)
    t.not(status, 0)
    t.regex(stderr, message)
  }
  const root = writeStore(t, changed)
  await refused(root, /Cannot find container "none" of vfs/, 'none', target)
  await refused(root, /Cannot commit to nowhere\nHint: Give DESTINATION, or --tag/, 'web')
  await refused(root, /Cannot use --force: it is for use with DESTINATION only/, 'web', '--force', '--tag', 'x:1')
  const {Image: _, ...nameless} = document
  await refused(writeStore(t, changed, nameless), /nothing says which image/, 'web', target)
  const other = {...document, Image: `sha256:${'e'.repeat(64)}`}
  await refused(writeStore(t, changed, other), /Cannot find image "e+"/, 'web', target)
  t.deepEqual(readdirSync(folder), [])
})
