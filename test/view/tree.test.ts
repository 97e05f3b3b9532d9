import test from 'ava'
import type {SizedNode} from '../../src/image/parents.ts'
import {drawTree} from '../../src/view/tree.ts'

/** A node of a chain of layers. */
function node(id: string, parent?: string, facts: Partial<SizedNode> = {}): SizedNode {
  return {
    id: `sha256:${id.repeat(64)}`,
    ...(parent !== undefined && {parent: `sha256:${parent.repeat(64)}`}),
    empty: false,
    tags: [],
    images: [],
    archive: 'app.tar',
    size: 0,
    virtualSize: 0,
    sizeExact: true,
    ...facts,
  }
}

/** A layer of an archive before docker 1.10. */
function v1Node(digit: string, parent?: string, facts: Partial<SizedNode> = {}): SizedNode {
  const id = digit.repeat(64)
  return {
    ...node(digit),
    id,
    v1ID: id,
    ...(parent !== undefined && {parent: parent.repeat(64)}),
    createdBy: 'make',
    ...facts,
  }
}

test('images before docker 1.10 are drawn as docker drew them', (t) => {
  const nodes = [
    v1Node('a'),
    v1Node('b', 'a', {virtualSize: 103_700_000}),
    v1Node('c', 'b', {virtualSize: 103_700_000, tags: ['ubuntu:12.04', 'ubuntu:precise']}),
    v1Node('d', 'a', {virtualSize: 2_433_303}),
    v1Node('e', 'd', {virtualSize: 2_433_303, tags: ['busybox:latest']}),
    v1Node('f'),
  ]
  t.deepEqual(drawTree(nodes), [
    '├─aaaaaaaaaaaa Virtual Size: 0 B',
    '│ ├─bbbbbbbbbbbb Virtual Size: 103.7 MB',
    '│ │ └─cccccccccccc Virtual Size: 103.7 MB Tags: ubuntu:12.04, ubuntu:precise',
    '│ └─dddddddddddd Virtual Size: 2.433 MB',
    '│   └─eeeeeeeeeeee Virtual Size: 2.433 MB Tags: busybox:latest',
    '└─ffffffffffff Virtual Size: 0 B',
  ])
})

test('since docker 1.10 lines say what the step did', (t) => {
  const nodes = [
    node('a', undefined, {createdBy: '/bin/sh -c #(nop) ADD file:1 in /', virtualSize: 5, sizeExact: false}),
    node('b', 'a', {createdBy: '/bin/sh -c #(nop)  CMD ["sh"]', empty: true, tags: ['a:1']}),
    node('c', 'b', {createdBy: 'RUN /bin/sh -c make\n\t&& make install # buildkit'}),
    node('d', 'c'),
  ]
  t.deepEqual(drawTree(nodes), [
    '└─aaaaaaaaaaaa Virtual Size: ~5 B Step: ADD file:1 in /',
    '  └─bbbbbbbbbbbb Virtual Size: 0 B (empty) Tags: a:1 Step: CMD ["sh"]',
    '    └─cccccccccccc Virtual Size: 0 B Step: RUN /bin/sh -c make && make install # buildkit',
    '      └─dddddddddddd Virtual Size: 0 B',
  ])
})

test('since docker 1.10 a name has its image beside it', (t) => {
  const image = `sha256:${'1'.repeat(64)}` as const
  const other = `sha256:${'2'.repeat(64)}` as const
  const nodes = [node('a', undefined, {images: [other]}), node('b', 'a', {tags: ['a:1'], images: [image, other]})]
  t.deepEqual(drawTree(nodes), [
    '└─aaaaaaaaaaaa Virtual Size: 0 B',
    '  └─bbbbbbbbbbbb Virtual Size: 0 B Image: 111111111111, 222222222222 Tags: a:1',
  ])
  t.true(drawTree(nodes, {full: true})[1]?.endsWith(` Image: ${image}, ${other} Tags: a:1`))
})

test('steps are cut to the width of a terminal, and never with whole ids', (t) => {
  const nodes = [node('a', undefined, {createdBy: 'RUN something that is long'})]
  const [cut] = drawTree(nodes, {columns: 50})
  t.is(cut, '└─aaaaaaaaaaaa Virtual Size: 0 B Step: RUN someth…')
  t.is(cut?.length, 50)
  t.deepEqual(drawTree(nodes, {columns: 20}), ['└─aaaaaaaaaaaa Virtual Size: 0 B'])
  t.deepEqual(drawTree(nodes, {columns: 50, full: true}), [
    `└─sha256:${'a'.repeat(64)} Virtual Size: 0 B Step: RUN something that is long`,
  ])
})

test('whole steps are as they are stored', (t) => {
  const nodes = [node('a', undefined, {createdBy: '/bin/sh -c #(nop)  CMD ["sh"]'})]
  t.true(drawTree(nodes, {full: true})[0]?.endsWith(' Step: /bin/sh -c #(nop)  CMD ["sh"]'))
})

test('without UTF-8 the lines are ASCII', (t) => {
  const nodes = [node('a'), node('b', 'a'), node('c', 'b'), node('d', 'a', {createdBy: 'x'.repeat(50)})]
  t.deepEqual(drawTree(nodes, {unicode: false, columns: 50}), [
    '+-aaaaaaaaaaaa Virtual Size: 0 B',
    '  +-bbbbbbbbbbbb Virtual Size: 0 B',
    '  | +-cccccccccccc Virtual Size: 0 B',
    '  +-dddddddddddd Virtual Size: 0 B Step: xxxxxx...',
  ])
})

test('a missing parent is named', (t) => {
  t.deepEqual(drawTree([v1Node('b', undefined, {missingParent: 'a'.repeat(64)})]), [
    '└─bbbbbbbbbbbb Virtual Size: 0 B (parent aaaaaaaaaaaa missing)',
  ])
})

test('names and steps cannot reach the terminal', (t) => {
  const [line] = drawTree([node('a', undefined, {tags: ['a\u001b]0;x\u0007:1'], createdBy: 'RUN \u202eevil\u0085'})])
  t.is(line, '└─aaaaaaaaaaaa Virtual Size: 0 B Tags: a\\x1b]0;x\\x07:1 Step: RUN \\u{202e}evil\\x85')
})

test('a forest of nothing is drawn as nothing', (t) => {
  t.deepEqual(drawTree([]), [])
})
