import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {contentPath, metadataRoot} from '../../src/store/layout.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {imageIDOf, type StoredRecipe, write, writeDataRoot} from '../helpers/data-root.ts'
import {scratch} from '../helpers/layers.ts'
import {file, tar} from '../helpers/tar.ts'

const app: StoredRecipe = {names: ['app:1'], layers: [tar(file('x'))]}
const gone = `sha256:${'9'.repeat(64)}`
const [web, old, own, damaged] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [
  string,
  string,
  string,
  string,
]

/** A data-root with containers of docker, one of imgtool, and one that has lost its files. */
function writeStore(t: ExecutionContext): string {
  const root = writeDataRoot(scratch(t), 'vfs', [app])
  for (const id of [web, old, own, damaged]) {
    write(join(root, metadataRoot('vfs'), 'layerdb/mounts', id, 'mount-id'), id)
    if (id !== damaged) mkdirSync(join(root, contentPath('vfs', id)))
  }
  write(join(root, `containers/${web}/config.v2.json`), JSON.stringify({Name: '/web', Image: imageIDOf(app)}))
  write(join(root, `containers/${old}/config.v2.json`), JSON.stringify({Name: '/old', Image: gone}))
  write(join(root, metadataRoot('vfs'), 'layerdb/mounts', own, 'imgtool-image'), imageIDOf(app))
  return root
}

async function list(t: ExecutionContext, ...words: string[]): Promise<string> {
  const {status, stdout, stderr} = await spawnImgtool(['store', 'list', ...words])
  t.is(status, 0, stderr)
  return stdout.toString()
}

test('store list shows containers below the images', async (t) => {
  const root = writeStore(t)
  const lines = (await list(t, root)).split('\n')
  t.is(lines.length, 9)
  t.regex(lines[1]!, /^app:1 /)
  t.deepEqual(lines.slice(2), [
    '',
    'CONTAINER ID   NAME     IMAGE          STATE',
    'bbbbbbbbbbbb   old      999999999999   unmounted',
    'aaaaaaaaaaaa   web      app:1          unmounted',
    'cccccccccccc   <none>   app:1          unmounted',
    'dddddddddddd   <none>   <none>         damaged',
    '',
  ])
  t.true((await list(t, root, '--no-trunc')).includes(own))
  t.is(await list(t, root, '--quiet'), `${imageIDOf(app).slice(7, 19)}\n`)
})

test('store list --json tells containers what they are called, what they were made of, and whether they are mounted', async (t) => {
  const {images, containers} = JSON.parse(await list(t, writeStore(t), '--json'))
  t.is(images.length, 1)
  t.deepEqual(containers, [
    {containerID: old, name: 'old', imageID: gone, isMounted: false},
    {containerID: web, name: 'web', imageID: imageIDOf(app), isMounted: false},
    {containerID: own, imageID: imageIDOf(app), isMounted: false},
    {containerID: damaged, isMounted: false, damage: 'its files are missing'},
  ])
})

test('a container whose own files are damaged hides no other one', async (t) => {
  const root = writeStore(t)
  const mounts = join(root, metadataRoot('vfs'), 'layerdb/mounts')
  mkdirSync(join(mounts, damaged, 'imgtool-image'))
  write(join(mounts, own, 'imgtool-image'), '../../etc\x1b[1m')
  write(join(root, `containers/${old}/config.v2.json`), '{"Name"')
  mkdirSync(join(root, `containers/${own}/config.v2.json`), {recursive: true})
  const {containers} = JSON.parse(await list(t, root, '--json'))
  t.deepEqual(containers, [
    {containerID: web, name: 'web', imageID: imageIDOf(app), isMounted: false},
    {containerID: old, isMounted: false},
    {containerID: own, isMounted: false},
    {containerID: damaged, isMounted: false, damage: 'its files are missing'},
  ])
  const {status, stderr} = await spawnImgtool(['changes', root, 'web'])
  t.is(status, 0, stderr)
})

test('store list of a store without containers is a list of images', async (t) => {
  const root = writeDataRoot(scratch(t), 'vfs', [app])
  t.is((await list(t, root)).split('\n').length, 3)
  t.deepEqual(JSON.parse(await list(t, root, '--json')).containers, [])
})
