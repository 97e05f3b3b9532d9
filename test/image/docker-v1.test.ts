import test, {type ExecutionContext} from 'ava'
import {resolveV1} from '../../src/ids.ts'
import {imagesOf, type Member, replaced, v1ID, v1Members, without} from '../helpers/image.ts'

const chain = [{id: 'a'}, {id: 'b', parent: 'a'}, {id: 'c', parent: 'b'}]
const named = {app: {latest: 'c', '1.0': 'c'}, base: {'1': 'a'}}
const raw = (members: readonly Member[], body: string) => replaced(members, 'repositories', {body})

async function topsOf(t: ExecutionContext, members: readonly Member[]) {
  const {images} = await imagesOf(t, members)
  return images.map(({v1ID: id, names}) => [id?.[0], ...names])
}

test('reads images, their names and their parents', async (t) => {
  const {format, images, v1} = await imagesOf(t, v1Members(chain, named))
  t.is(format, 'docker-v1')
  t.deepEqual([...v1.keys()], ['a', 'b', 'c'].map(v1ID))
  t.like(images[0], {index: 0, v1ID: v1ID('c'), names: ['app:latest', 'app:1.0'], imageID: undefined})
  t.like(images[1], {index: 1, v1ID: v1ID('a'), names: ['base:1']})
  t.deepEqual(
    images[0]?.layers.map((layer) => layer.v1ID),
    ['a', 'b', 'c'].map(v1ID),
  )
  t.is(images[0]?.broken, undefined)
})

test('finds parents in any order of the archive', async (t) => {
  const {images} = await imagesOf(t, v1Members(chain.toReversed(), named))
  t.deepEqual(
    images[0]?.layers.map((layer) => layer.v1ID),
    ['a', 'b', 'c'].map(v1ID),
  )
})

test('takes the layers that are nobody’s parent for images where there is no repositories', async (t) => {
  const forked = [...chain, {id: 'd', parent: 'a'}]
  t.deepEqual(await topsOf(t, v1Members(forked)), [['c'], ['d']])
  t.deepEqual(await topsOf(t, v1Members(forked, {app: {latest: 'c'}})), [['c', 'app:latest'], ['d']])
  t.deepEqual(await topsOf(t, v1Members(forked, {})), [['c'], ['d']])
})

test('keeps names that objects of this language have', async (t) => {
  const members = v1Members(chain, {})
  const body = `{"constructor":{"latest":"${v1ID('c')}"},"__proto__":{"prototype":"${v1ID('a')}"}}`
  t.deepEqual(await topsOf(t, raw(members, body)), [
    ['c', 'constructor:latest'],
    ['a', '__proto__:prototype'],
  ])
})

test('reads what old documents say in old words', async (t) => {
  const json = {
    architecture: 'x86_64',
    os: undefined,
    created: '2013-06-13T14:03:50.821769-07:00',
    author: 'me',
    comment: 'c',
    container_config: {Cmd: ['/bin/sh', '-c', '#(nop) CMD [sh]']},
    config: null,
    Size: 7,
    checksum: 'tarsum+sha256:0',
  }
  const {images} = await imagesOf(t, v1Members([{id: 'a', json}]))
  t.deepEqual(images[0]?.platform, {os: 'linux', architecture: 'amd64'})
  t.deepEqual(images[0]?.history, [
    {
      created: '2013-06-13T14:03:50.821769-07:00',
      createdBy: '/bin/sh -c #(nop) CMD [sh]',
      author: 'me',
      comment: 'c',
      emptyLayer: false,
    },
  ])
  t.is(images[0]?.layers[0]?.claimedSize, 7)
})

test('takes a command that is text, and documents without an id or a command', async (t) => {
  const members = v1Members([
    {id: 'a', json: {id: undefined, container_config: {Cmd: 'make it'}}},
    {id: 'b', parent: 'a', json: {container_config: null}},
    {id: 'c', parent: 'b', json: {container_config: {Cmd: null}}},
  ])
  const {images} = await imagesOf(t, members)
  t.deepEqual(
    images[0]?.history.map(({createdBy}) => createdBy),
    ['make it', undefined, undefined],
  )
})

test('takes layers of no bytes and of one block', async (t) => {
  const members = v1Members([
    {id: 'a', layer: Buffer.alloc(0)},
    {id: 'b', parent: 'a', layer: Buffer.alloc(512)},
    {id: 'c', parent: 'b', layer: Buffer.alloc(1024)},
  ])
  const set = await imagesOf(t, members)
  t.deepEqual((await resolveV1(set)).get(v1ID('c'))?.diffIDs, [
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    'sha256:076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560',
    'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
  ])
})

test('lists a partial archive, and says which parent is missing', async (t) => {
  const {images, v1} = await imagesOf(t, v1Members(chain.slice(1), {app: {latest: 'c'}}))
  t.is(v1.size, 2)
  t.is(images[0]?.layers.length, 2)
  t.is(images[0]?.broken?.code, 'PARENT_MISSING')
  t.true(images[0]?.broken?.message.includes(v1ID('a')))
})

test('lists an image whose layer is missing, its own or an ancestor’s', async (t) => {
  const {images} = await imagesOf(t, v1Members([{id: 'a', layer: null}, ...chain.slice(1)], named))
  t.deepEqual(
    images.map(({broken}) => broken?.code),
    ['BLOB_MISSING', 'BLOB_MISSING'],
  )
})

test('leaves images out for which a document is damaged, and no others', async (t) => {
  const other = {id: 'd', parent: 'a'}
  const members = v1Members([...chain, other], {app: {old: 'b', latest: 'c'}, base: {1: 'a'}, other: {1: 'd'}})
  const {images, lost, warnings, v1} = await imagesOf(t, replaced(members, `${v1ID('b')}/json`, {body: '{"id":'}))
  t.deepEqual(
    images.map(({names}) => names),
    [['base:1'], ['other:1']],
  )
  t.deepEqual(
    lost?.map(({names, error}) => [...names, error.code]),
    [
      ['app:old', 'DOCUMENT_INVALID'],
      ['app:latest', 'DOCUMENT_INVALID'],
    ],
  )
  t.is(warnings.length, 2)
  t.false(v1.has(v1ID('b')))
})

test('takes no image for another because what was built on it is damaged', async (t) => {
  const cut = (members: readonly Member[]) => replaced(members, `${v1ID('c')}/json`, {body: '{"id":'})
  await t.throwsAsync(imagesOf(t, cut(v1Members(chain, {app: {latest: 'c'}}))), {code: 'DOCUMENT_INVALID'})
  await t.throwsAsync(imagesOf(t, cut(v1Members(chain))), {code: 'DOCUMENT_INVALID'})
  const named = v1Members([...chain, {id: 'd', parent: 'a'}], {app: {latest: 'c'}, other: {1: 'd'}})
  const {images, lost} = await imagesOf(t, cut(named))
  t.deepEqual(
    images.map(({names}) => names),
    [['other:1']],
  )
  t.deepEqual(
    lost?.map(({names, v1ID: id}) => [id, ...names]),
    [[v1ID('c'), 'app:latest'], [v1ID('b')]],
  )
})

test('refuses cycles of parents, long and short, reached or not', async (t) => {
  const short = [{id: 'a', parent: 'a'}]
  const long = [{id: 'a', parent: 'c'}, ...chain.slice(1)]
  const apart = [...chain, {id: 'd', parent: 'e'}, {id: 'e', parent: 'd'}]
  for (const recipes of [short, long, apart]) {
    await t.throwsAsync(imagesOf(t, v1Members(recipes)), {code: 'PARENT_CYCLE'})
  }
})

const id = (n: number) => n.toString(16).padStart(64, '0')
const json = (n: number, parent: number | undefined) => ({
  name: `${id(n)}/json`,
  body: JSON.stringify({parent: parent === undefined ? undefined : id(parent)}),
})

test('follows thousands of parents, and no more than the limit', async (t) => {
  const members = Array.from({length: 3000}, (_, n) => json(n, n === 0 ? undefined : n - 1)).toReversed()
  const {images} = await imagesOf(t, members)
  t.is(images[0]?.layers.length, 3000)
  await t.throwsAsync(imagesOf(t, members, {parents: 2999}), {code: 'LIMIT_EXCEEDED', message: /"parents"/})
})

test('refuses many images on one long chain before they take all memory', async (t) => {
  const members = Array.from({length: 5000}, (_, n) => json(n, n === 0 ? undefined : Math.min(n - 1, 2000)))
  await t.throwsAsync(imagesOf(t, members), {code: 'LIMIT_EXCEEDED', message: /"members"/})
})

test('refuses documents that are too many together, each of them small', async (t) => {
  const members = v1Members(Array.from({length: 10}, (_, n) => ({id: `${n}`})))
  const size = members.filter(({name}) => name.endsWith('/json')).reduce((sum, {body}) => sum + body!.length, 0)
  t.is((await imagesOf(t, members, {documents: size})).images.length, 10)
  await t.throwsAsync(imagesOf(t, members, {documents: size - 1}), {code: 'LIMIT_EXCEEDED', message: /"documents"/})
})

const refused: readonly (readonly [string, string, () => readonly Member[]])[] = [
  ['a name that leads above the archive', 'DIGEST_INVALID', () => raw(v1Members(chain, {}), '{"a":{"b":"../x"}}')],
  ['a name that leads nowhere', 'IMAGE_NOT_FOUND', () => v1Members(chain, {app: {latest: 'f'}})],
  ['an empty id', 'DIGEST_INVALID', () => raw(v1Members(chain, {}), '{"a":{"b":""}}')],
  ['an id in capitals', 'DIGEST_INVALID', () => raw(v1Members(chain, {}), `{"a":{"b":"${'A'.repeat(64)}"}}`)],
  ['an id with a line break', 'DIGEST_INVALID', () => raw(v1Members(chain, {}), `{"a":{"b":"${v1ID('a')}\\n"}}`)],
  ['repositories that are a list', 'DOCUMENT_INVALID', () => raw(v1Members(chain, {}), '[]')],
  ['repositories that are stored twice', 'ARCHIVE_INVALID', () => [...v1Members(chain, {}), {name: 'repositories'}]],
  ['a parent that is a number', 'DOCUMENT_INVALID', () => v1Members([{id: 'a', json: {parent: 7}}])],
  ['a parent that is a path', 'DIGEST_INVALID', () => v1Members([{id: 'a', json: {parent: '../../etc'}}])],
  [
    'a document that is cut',
    'DOCUMENT_INVALID',
    () => replaced(v1Members(chain), `${v1ID('b')}/json`, {body: '{"id":'}),
  ],
  [
    'a document that is a directory',
    'ARCHIVE_INVALID',
    () => replaced(v1Members(chain), `${v1ID('b')}/json`, {type: '5', body: ''}),
  ],
  [
    'a layer that is a fifo',
    'ARCHIVE_INVALID',
    () => replaced(v1Members(chain), `${v1ID('b')}/layer.tar`, {type: '6', body: ''}),
  ],
  [
    'a layer that is a link out of the archive',
    'ARCHIVE_INVALID',
    () => replaced(v1Members(chain), `${v1ID('b')}/layer.tar`, {type: '2', link: '/etc/passwd', body: ''}),
  ],
]

for (const [what, code, members] of refused) {
  test(`refuses ${what}`, async (t) => {
    await t.throwsAsync(imagesOf(t, members()), {code})
  })
}

test('takes layers that are links to one another', async (t) => {
  const members = replaced(v1Members(chain), `${v1ID('c')}/layer.tar`, {
    type: '2',
    link: `../${v1ID('b')}/layer.tar`,
    body: '',
  })
  const resolved = await resolveV1(await imagesOf(t, members))
  const diffIDs = resolved.get(v1ID('c'))?.diffIDs
  t.is(diffIDs?.[1], diffIDs?.[2])
})

test('needs no VERSION and minds no other files', async (t) => {
  const members = without(v1Members(chain), `${v1ID('a')}/VERSION`)
  const beside = [
    {name: 'abc/json', body: 'no'},
    {name: `${v1ID('a')}x/json`, body: 'no'},
    {name: 'x', type: '3'},
  ]
  t.deepEqual(await topsOf(t, [...members, ...beside]), [['c']])
})

test('gives the image IDs of a whole chain and none above a gap', async (t) => {
  const whole = await resolveV1(await imagesOf(t, v1Members(chain)))
  t.is(new Set([...whole.values()].map(({imageID}) => imageID)).size, 3)
  const cut = await resolveV1(await imagesOf(t, v1Members([chain[0]!, {...chain[1]!, layer: null}, chain[2]!])))
  t.deepEqual([...cut.keys()], [v1ID('a')])
  t.is(cut.get(v1ID('a'))?.imageID, whole.get(v1ID('a'))?.imageID)
})
