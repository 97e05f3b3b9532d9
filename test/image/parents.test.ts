import test from 'ava'
import {chainIDs} from '../../src/image/chain.ts'
import type {ImageSet} from '../../src/image/model.ts'
import {addSizes, type ForestNode, findParents} from '../../src/image/parents.ts'
import {diffID, imageOf, setOf, v1ID, v1SetOf} from '../helpers/images.ts'

const base = {layer: 'base'}
const app = {layer: 'app'}
const environment = {does: 'ENV A=1'}

function forest(...sets: ImageSet[]): ForestNode[] {
  return findParents(sets.map((set, n) => ({label: `${n}.tar`, set})))
}

/** The forest as lines of `name parent`, names being what the steps did. */
function family(nodes: readonly ForestNode[]): string[] {
  const names = new Map(nodes.map((node) => [node.id, node.createdBy ?? node.id]))
  return nodes.map((node) => `${names.get(node.id)} < ${names.get(node.parent ?? '') ?? 'nothing'}`)
}

test('the steps of an image stand on each other, with chainIDs for layers', (t) => {
  const image = imageOf([base, environment, app], {names: ['a:1']})
  const nodes = forest(setOf([image]))
  t.deepEqual(family(nodes), ['make base < nothing', 'ENV A=1 < make base', 'make app < ENV A=1'])
  const chain = chainIDs([diffID('base'), diffID('app')])
  t.deepEqual([nodes[0]?.id, nodes[2]?.id], chain)
  t.deepEqual(
    nodes.map(({empty, chainID}) => [empty, chainID]),
    [
      [false, chain[0]],
      [true, undefined],
      [false, chain[1]],
    ],
  )
  t.deepEqual(nodes[2]?.tags, ['a:1'])
  t.deepEqual(nodes[2]?.images, [image.imageID])
  t.deepEqual(nodes[0]?.tags, [])
})

test('images share what they begin with', (t) => {
  const nodes = forest(setOf([imageOf([base, app]), imageOf([base, environment, {does: 'CMD x'}]), imageOf([base])]))
  t.deepEqual(family(nodes).toSorted(), [
    'CMD x < ENV A=1',
    'ENV A=1 < make base',
    'make app < make base',
    'make base < nothing',
  ])
  t.is(nodes.find((node) => node.createdBy === 'make base')?.images.length, 1)
})

test('images of several archives share parents, and names add up', (t) => {
  const first = setOf([imageOf([base], {names: ['b:1', 'b:2']}), imageOf([base, app])])
  const second = setOf([imageOf([base], {names: ['b:1', 'a:1']})])
  const nodes = forest(first, second)
  t.is(nodes.length, 2)
  t.deepEqual(nodes[0]?.tags, ['a:1', 'b:1', 'b:2'])
  t.is(nodes[0]?.archive, '0.tar')
})

test('the order of the archives does not matter', (t) => {
  const sets = [imageOf([base, app]), imageOf([base, environment]), imageOf([{layer: 'other'}])].map((image) =>
    setOf([image]),
  )
  const withoutArchive = (nodes: ForestNode[]) => nodes.map(({archive: _, layer: __, ...node}) => node)
  t.deepEqual(withoutArchive(forest(...sets)), withoutArchive(forest(...sets.toReversed())))
})

test('one stack of layers reached by different steps is two nodes with ids of their own', (t) => {
  const nodes = forest(setOf([imageOf([base, environment, app]), imageOf([base, {does: 'ENV A=2'}, app])]))
  t.is(new Set(nodes.map((node) => node.id)).size, nodes.length)
  const tops = nodes.filter((node) => node.createdBy === 'make app')
  t.is(tops.length, 2)
  t.is(tops[0]?.chainID, tops[1]?.chainID)
})

test('a history that does not fit the layers is left out', (t) => {
  const nodes = forest(setOf([imageOf([base, app], {history: [{emptyLayer: false, createdBy: 'only one'}]})]))
  t.deepEqual(
    nodes.map((node) => [node.createdBy, node.empty]),
    [
      [undefined, false],
      [undefined, false],
    ],
  )
})

test('an image without layers and history is a node of its own', (t) => {
  const image = imageOf([], {names: ['empty:1']})
  const [node] = forest(setOf([image]))
  t.like(node, {id: image.imageID, empty: true, tags: ['empty:1'], images: [image.imageID]})
})

test('before docker 1.10 parents are those that the layers name, also where no name reaches', (t) => {
  const nodes = forest(v1SetOf([['c', 'b'], ['b', 'a'], ['a'], ['d', 'a']], {b: ['x:1']}))
  t.deepEqual(
    nodes.map((node) => [node.id[0], node.parent?.[0], node.tags]),
    [
      ['a', undefined, []],
      ['b', 'a', ['x:1']],
      ['c', 'b', []],
      ['d', 'a', []],
    ],
  )
  t.is(nodes[0]?.v1ID, v1ID('a'))
})

test('a layer whose parent is in no archive is a root that says so', (t) => {
  const nodes = forest(v1SetOf([['b', 'a']]))
  t.is(nodes[0]?.parent, undefined)
  t.is(nodes[0]?.missingParent, v1ID('a'))
  t.false(addSizes(nodes, [{size: 1, exact: true}])[0]?.sizeExact)
})

test('a missing parent is found in another archive', (t) => {
  const nodes = forest(v1SetOf([['b', 'a']]), v1SetOf([['a']]))
  t.deepEqual(
    nodes.map((node) => [node.id[0], node.parent?.[0], node.missingParent]),
    [
      ['a', undefined, undefined],
      ['b', 'a', undefined],
    ],
  )
})

test('a circle of parents over two archives is refused', (t) => {
  t.throws(() => forest(v1SetOf([['a', 'b']]), v1SetOf([['b', 'a'], ['c']])), {code: 'PARENT_CYCLE'})
})

test('only some images are wanted, with all their ancestors and the names of those', (t) => {
  const images = [
    imageOf([base], {names: ['base:1']}),
    imageOf([base, app], {names: ['app:1']}),
    imageOf([{layer: 'x'}]),
  ]
  const wanted = images.slice(1, 2)
  const nodes = findParents([{label: 'a.tar', set: setOf(images), images: wanted}])
  t.deepEqual(
    nodes.map(({tags}) => tags),
    [['base:1'], ['app:1']],
  )
  const old = v1SetOf([['a'], ['b', 'a'], ['c', 'a'], ['d']], {b: ['b:1'], c: ['c:1']})
  const oldNodes = findParents([{label: 'old.tar', set: old, images: old.images.slice(0, 1)}])
  t.deepEqual(
    oldNodes.map(({id}) => id[0]),
    ['a', 'b'],
  )
})

test('siblings come by age whatever their time zone, and those without a date first', (t) => {
  const dated = (layer: string, created?: string) => {
    const image = imageOf([{layer}])
    return {...image, history: [{...image.history[0]!, ...(created !== undefined && {created})}]}
  }
  const nodes = forest(
    setOf([
      dated('third', '2020-01-01T00:30:00+01:00'),
      dated('fourth', '2020-01-01T00:00:00.5Z'),
      dated('second', '2015-01-01T00:00:00.123456789Z'),
      dated('first'),
    ]),
  )
  t.deepEqual(
    nodes.map((node) => node.createdBy),
    ['make first', 'make second', 'make third', 'make fourth'],
  )
})

test('thousands of layers may stand on each other', (t) => {
  const steps = Array.from({length: 5000}, (_, n) => ({layer: String(n)}))
  const nodes = forest(setOf([imageOf(steps)]))
  t.is(nodes.length, 5000)
  t.is(nodes.at(-1)?.parent, nodes.at(-2)?.id)
})

test('virtual sizes add up from the root, and are exact when every part is', (t) => {
  const nodes = forest(setOf([imageOf([base, environment, app]), imageOf([base, {layer: 'other'}])]))
  const names = nodes.filter((node) => node.layer).map((node) => node.layer?.blob.name)
  const weights: Record<string, {size: number; exact: boolean}> = {
    base: {size: 100, exact: true},
    app: {size: 10, exact: false},
    other: {size: 1, exact: true},
  }
  const sized = addSizes(
    nodes,
    names.map((name) => weights[name!]!),
  )
  const bySteps = Object.fromEntries(
    sized.map((node) => [node.createdBy, [node.size, node.virtualSize, node.sizeExact]]),
  )
  t.deepEqual(bySteps, {
    'make base': [100, 100, true],
    'ENV A=1': [0, 100, true],
    'make app': [10, 110, false],
    'make other': [1, 101, true],
  })
  t.false('layer' in sized[0]!)
})
