import {mkdirSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {chainIDs} from '../../src/image/chain.ts'
import {sha256} from '../../src/index.ts'
import {contentPath, metadataRoot} from '../../src/store/layout.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {apply, imageIDOf, type StoredRecipe, write, writeDataRoot} from '../helpers/data-root.ts'
import {scratch} from '../helpers/layers.ts'
import {directory, file, tar} from '../helpers/tar.ts'

const base = tar(directory('d/'), file('d/x', 'x'), file('gone', 'gone'))
const top = tar(directory('d/'), file('d/new', 'new'))
const app: StoredRecipe = {names: ['app:1'], layers: [base, top]}
const chainID = chainIDs([base, top].map(sha256))[1]!
const [webID, otherID] = ['123456789012'.padEnd(64, 'a'), '123456789012'.padEnd(64, 'b')] as [string, string]
const [mountID, initID] = ['c'.repeat(64), `${'c'.repeat(64)}-init`]

/** A data-root with two containers, of which the one has been at work. */
function writeStore(t: ExecutionContext): string {
  const root = writeDataRoot(scratch(t), 'vfs', [app])
  for (const [place, layers] of Object.entries({
    [initID]: [base, top],
    [mountID]: [base, top, tar(file('d/.wh.x'), file('.wh.gone'))],
  })) {
    mkdirSync(join(root, contentPath('vfs', place)), {recursive: true})
    for (const layer of layers) apply(join(root, contentPath('vfs', place)), layer, true)
  }
  writeFileSync(Buffer.from(join(root, contentPath('vfs', mountID), 'd/\xff'), 'latin1'), '')
  writeContainer(root, webID, {'mount-id': mountID, 'init-id': initID, parent: chainID})
  writeContainer(root, otherID, {'mount-id': initID, parent: chainID})
  write(join(root, `containers/${webID}/config.v2.json`), JSON.stringify({Name: '/web', Image: imageIDOf(app)}))
  return root
}

function writeContainer(root: string, id: string, facts: Record<string, string>): void {
  for (const [name, text] of Object.entries(facts))
    write(join(root, metadataRoot('vfs'), 'layerdb/mounts', id, name), text)
}

const changes = (...words: string[]) => spawnImgtool(['changes', ...words])
const lines = ['C /d', 'D /d/x', 'A /d/\\xff', 'D /gone']

test('changes lists what a container has changed, by its name and its id', async (t) => {
  const root = writeStore(t)
  for (const name of ['web', webID, webID.slice(0, 13)]) {
    const {status, stdout, stderr} = await changes(root, name)
    t.is(status, 0, stderr)
    t.deepEqual(stdout.toString().trim().split('\n'), lines)
  }
  const {stdout} = await changes(root, otherID, '--driver', 'vfs', '--json')
  t.deepEqual(JSON.parse(stdout.toString()), {driver: 'vfs', containerID: otherID, changes: [], warnings: []})
})

test('changes lists what an image has changed last, and paths that are no text', async (t) => {
  const root = writeStore(t)
  const image = JSON.parse((await changes(root, 'app:1', '--json')).stdout.toString())
  const expected = [
    {kind: 'changed', path: '/d'},
    {kind: 'added', path: '/d/new'},
  ]
  t.deepEqual(image, {driver: 'vfs', imageID: imageIDOf(app), changes: expected, warnings: []})
  const container = JSON.parse((await changes(root, 'web', '--json')).stdout.toString())
  t.like(container, {containerID: webID, imageID: imageIDOf(app)})
  t.like(container.changes[2], {kind: 'added', pathBase64: Buffer.from('/d/\xff', 'latin1').toString('base64')})
})

test('changes says what is missing, ambiguous or damaged', async (t) => {
  const root = writeStore(t)
  const refused = async (name: string, message: RegExp, ...words: string[]) => {
    const {status, stdout, stderr} = await changes(root, name, ...words)
    t.not(status, 0)
    t.is(stdout.toString(), '')
    t.regex(stderr, message)
  }
  await refused('none', /Cannot find a container or an image "none" in the store\nHint: Run: imgtool store list/)
  await refused(
    '123456789012',
    /Several containers are called "123456789012": 123456789012aaaa, 123456789012bbbb\nHint: /,
  )
  await refused(webID.slice(0, 11), /Cannot find a container or an image "12345678901" in the store/)
  await refused('web', /Cannot find a data-root of docker with aufs/, '--driver', 'aufs')
  writeContainer(root, webID, {'mount-id': '../../../outside'})
  await refused('web', new RegExp(`The container ${webID} is damaged`))
  writeContainer(root, webID, {'mount-id': 'd'.repeat(64)})
  await refused('web', /The store has no place "d+"/)
  writeFileSync(join(root, `containers/${webID}/config.v2.json`), '{')
  await refused('web', /Cannot find a container or an image "web"/)
  rmSync(join(root, 'image'), {recursive: true})
  await refused('web', /Cannot find a data-root of docker/)
})
