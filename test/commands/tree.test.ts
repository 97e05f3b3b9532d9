import test from 'ava'
import type {SizedNode} from '../../src/image/parents.ts'
import {checkUnreadable, imgtool, spawnImgtool} from '../helpers/cli.ts'
import {expected, fixture} from '../helpers/fixtures.ts'
import {damagedLayer} from '../helpers/image.ts'
import {sharedDir, sharedTest} from '../helpers/shared.ts'

async function nodesOf(...words: string[]): Promise<SizedNode[]> {
  const {error, stdout} = await imgtool('tree', ...words, '--json')
  if (error) throw error
  return JSON.parse(stdout).nodes
}

/** Names of a node's ancestors that have any, nearest first. */
function namedAncestors(nodes: readonly SizedNode[], tag: string): string[][] {
  const byID = new Map(nodes.map((node) => [node.id, node]))
  const found: string[][] = []
  let node = nodes.find(({tags}) => tags.includes(tag))
  while (node?.parent !== undefined) {
    node = byID.get(node.parent)
    if (node && node.tags.length > 0) found.push([...node.tags])
  }
  return found
}

for (const [name, archive] of Object.entries(expected)) {
  test.serial(`tree has every image of ${name}, and parents before children`, async (t) => {
    const nodes = await nodesOf(fixture(name))
    const seen = new Set<string>()
    for (const node of nodes) {
      t.true(node.parent === undefined || seen.has(node.parent))
      t.false(seen.has(node.id))
      seen.add(node.id)
    }
    t.deepEqual(
      [...new Set(nodes.flatMap(({tags}) => tags))].toSorted(),
      [...new Set(archive.images.flatMap(({names}) => names))].toSorted(),
    )
  })
}

for (const name of ['docker-0.7.tar', 'docker-1.7-several.tar', 'docker-1.9.tar.gz', 'docker-1.9-by-id.tar']) {
  test.serial(`tree has the parents of ${name} that docker finds`, async (t) => {
    const nodes = await nodesOf(fixture(name))
    const wanted = expected[name]?.nodes ?? []
    const imageIDs = new Map(wanted.map(({v1ID, imageID}) => [v1ID, imageID]))
    t.deepEqual(
      nodes.map(({id, parent}) => [imageIDs.get(id), imageIDs.get(parent ?? '') ?? null]).toSorted(),
      wanted.map(({imageID, parent}) => [imageID, parent]).toSorted(),
    )
  })
}

for (const name of ['docker-1.7-several.tar', 'docker-20.10-several.tar']) {
  test.serial(`tree shows what grew out of what in ${name}`, async (t) => {
    const nodes = await nodesOf(fixture(name))
    t.deepEqual(namedAncestors(nodes, 'shop/db:2'), [['shop/db:1'], ['shop/base:2013']])
    t.deepEqual(namedAncestors(nodes, 'shop/web:1.0'), [['shop/base:2013']])
    t.is(nodes.filter(({parent}) => parent === undefined).length, 1)
  })
}

test.serial('tree counts the steps of an image as its history does', async (t) => {
  const nodes = await nodesOf(fixture('docker-20.10-one.tar'))
  const [image] = expected['docker-20.10-one.tar']?.images ?? []
  t.is(nodes.length, image?.steps as number)
  t.is(nodes.filter(({empty}) => empty).length, image?.emptySteps as number)
  t.deepEqual(nodes.at(-1)?.images, [image?.imageID])
})

test.serial('tree merges what archives share', async (t) => {
  const [one, several] = [fixture('docker-20.10-one.tar'), fixture('docker-20.10-several.tar')]
  const ids = (nodes: SizedNode[]) => nodes.map(({id}) => id)
  t.deepEqual(ids(await nodesOf(one, several)), ids(await nodesOf(several)))
})

test.serial('tree of one image has only its ancestors', async (t) => {
  for (const name of ['docker-1.7-several.tar', 'docker-20.10-several.tar']) {
    const nodes = await nodesOf(`${fixture(name)}:shop/db:1`)
    t.deepEqual(nodes.at(-1)?.tags, ['shop/db:1'])
    t.deepEqual(namedAncestors(nodes, 'shop/db:1'), [['shop/base:2013']])
    t.is(nodes.filter(({tags}) => tags.length > 0).length, 2)
  }
})

test.serial('tree marks images without names', async (t) => {
  const name = fixture('docker-20.10-by-id.tar')
  const ids = expected['docker-20.10-by-id.tar']?.images.map(({imageID}) => imageID) ?? []
  t.true(ids.length > 1)
  const tree = (await imgtool('tree', name, '--no-trunc')).stdout.split('\n')
  const dot = (await imgtool('tree', name, '--no-trunc', '--dot')).stdout.split('\n')
  for (const id of ids) {
    t.is(tree.filter((line) => line.includes(` Image: ${id} Step: `)).length, 1)
    t.is(dot.filter((line) => line.includes(`\\nImage: ${id}",shape=box`)).length, 1)
  }
})

test.serial('tree draws lines, writes a graph, prints ids', async (t) => {
  const name = fixture('docker-0.7.tar')
  const tree = (await imgtool('tree', name)).stdout.trimEnd().split('\n')
  t.is(tree[0], '└─511136ea3c5a Virtual Size: 0 B')
  t.regex(tree.at(-1) ?? '', /^ {8}└─[0-9a-f]{12} Virtual Size: 221 B Tags: shop\/web:0\.7, shop\/web:latest$/)
  const dot = (await imgtool('tree', name, '--dot')).stdout
  t.regex(dot, /^digraph docker {\n base -> "511136ea3c5a" \[style=invis\]\n/)
  const ids = (await imgtool('tree', name, '-q', '--no-trunc')).stdout.trimEnd().split('\n')
  t.deepEqual(
    ids,
    (await nodesOf(name)).map(({id}) => id),
  )
})

test.serial('tree cuts steps to 80 characters in a pipe, unless whole ones are asked for', async (t) => {
  const longestStep = async (...words: string[]) => {
    const {stdout} = await imgtool('tree', fixture('docker-20.10-one.tar'), ...words)
    return Math.max(...stdout.split('\n').map((line) => line.split(' Step: ')[1]?.length ?? 0))
  }
  t.is(await longestStep(), 80)
  t.true((await longestStep('--no-trunc')) > 200)
})

test.serial('tree --exact-sizes reads what estimates do not', async (t) => {
  const sizes = (nodes: SizedNode[]) => nodes.map(({virtualSize, sizeExact}) => [virtualSize, sizeExact])
  const zstd = await nodesOf(fixture('skopeo-oci-zstd.tar'), '--exact-sizes')
  const plain = await nodesOf(fixture('docker-20.10-one.tar'), '--exact-sizes')
  t.deepEqual(sizes(zstd), sizes(plain))
  t.true(zstd.every(({sizeExact}) => sizeExact))
})

test('tree is drawn without the archives that cannot be read, and fails', async (t) => {
  const [one, damaged] = [fixture('umoci-oci.tar'), damagedLayer(t)]
  const {status, stdout, stderr} = await spawnImgtool(['tree', damaged, one, '/nowhere.tar', '--exact-sizes'])
  t.is(status, 1)
  t.deepEqual(stdout, (await spawnImgtool(['tree', one, '--exact-sizes'])).stdout)
  checkUnreadable(t, stderr, ['/nowhere.tar', damaged])
  const json = await spawnImgtool(['tree', '/nowhere.tar', damaged, '--json'])
  t.is(json.status, 1)
  const {nodes, errors} = JSON.parse(json.stdout.toString())
  t.is(nodes.length, 1)
  t.like(errors, {0: {code: 'SOURCE_NOT_FOUND'}, length: 1})
})

sharedTest('the tree of a real archive before docker 1.10 is the one that docker drew', async (t) => {
  const {stdout} = await spawnImgtool(['tree', `${sharedDir()}/images/docker-v1-centos-empty-layers.tar`])
  t.is(
    stdout.toString(),
    '└─17d1436ef796 Virtual Size: 0 B\n' +
      '  └─9c7cb910d843 Virtual Size: 0 B\n' +
      '    └─25445a0fc502 Virtual Size: 4 B Tags: matthughes/library-centos:6-2015.03.20\n',
  )
})
