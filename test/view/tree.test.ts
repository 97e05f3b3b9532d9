import test from 'ava'
import {drawTree} from '../../src/view/tree.ts'
import {sizedNode, sizedV1Node} from '../helpers/images.ts'

test('images before docker 1.10 are drawn as docker drew them', (t) => {
  const nodes = [
    sizedV1Node('a'),
    sizedV1Node('b', 'a', {virtualSize: 103_700_000}),
    sizedV1Node('c', 'b', {virtualSize: 103_700_000, tags: ['ubuntu:12.04', 'ubuntu:precise']}),
    sizedV1Node('d', 'a', {virtualSize: 2_433_303}),
    sizedV1Node('e', 'd', {virtualSize: 2_433_303, tags: ['busybox:latest']}),
    sizedV1Node('f'),
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
    sizedNode('a', undefined, {createdBy: '/bin/sh -c #(nop) ADD file:1 in /', virtualSize: 5, sizeExact: false}),
    sizedNode('b', 'a', {createdBy: '/bin/sh -c #(nop)  CMD ["sh"]', empty: true, tags: ['a:1']}),
    sizedNode('c', 'b', {createdBy: 'RUN /bin/sh -c make\n\t&& make install # buildkit'}),
    sizedNode('d', 'c'),
  ]
  t.deepEqual(drawTree(nodes), [
    '└─aaaaaaaaaaaa Virtual Size: ~5 B Step: ADD file:1 in /',
    '  └─bbbbbbbbbbbb Virtual Size: 0 B (empty) Tags: a:1 Step: CMD ["sh"]',
    '    └─cccccccccccc Virtual Size: 0 B Step: RUN /bin/sh -c make && make install # buildkit',
    '      └─dddddddddddd Virtual Size: 0 B',
  ])
})

test('since docker 1.10 an image is beside its name, or alone where it has none', (t) => {
  const image = `sha256:${'1'.repeat(64)}` as const
  const other = `sha256:${'2'.repeat(64)}` as const
  const nodes = [
    sizedNode('a', undefined, {images: [other]}),
    sizedNode('b', 'a', {tags: ['a:1'], images: [image, other]}),
  ]
  t.deepEqual(drawTree(nodes), [
    '└─aaaaaaaaaaaa Virtual Size: 0 B Image: 222222222222',
    '  └─bbbbbbbbbbbb Virtual Size: 0 B Image: 111111111111, 222222222222 Tags: a:1',
  ])
  t.true(drawTree(nodes, {full: true})[1]?.endsWith(` Image: ${image}, ${other} Tags: a:1`))
})

test('steps are cut to the width of a terminal, and never with whole ids', (t) => {
  const nodes = [sizedNode('a', undefined, {createdBy: 'RUN something that is long'})]
  const [cut] = drawTree(nodes, {columns: 50})
  t.is(cut, '└─aaaaaaaaaaaa Virtual Size: 0 B Step: RUN someth…')
  t.is(cut?.length, 50)
  t.deepEqual(drawTree(nodes, {columns: 20}), ['└─aaaaaaaaaaaa Virtual Size: 0 B'])
  t.deepEqual(drawTree(nodes, {columns: 50, full: true}), [
    `└─sha256:${'a'.repeat(64)} Virtual Size: 0 B Step: RUN something that is long`,
  ])
})

test('whole steps are as they are stored', (t) => {
  const nodes = [sizedNode('a', undefined, {createdBy: '/bin/sh -c #(nop)  CMD ["sh"]'})]
  t.true(drawTree(nodes, {full: true})[0]?.endsWith(' Step: /bin/sh -c #(nop)  CMD ["sh"]'))
})

test('without UTF-8 the lines are ASCII', (t) => {
  const nodes = [
    sizedNode('a'),
    sizedNode('b', 'a'),
    sizedNode('c', 'b'),
    sizedNode('d', 'a', {createdBy: 'x'.repeat(50)}),
  ]
  t.deepEqual(drawTree(nodes, {unicode: false, columns: 50}), [
    '+-aaaaaaaaaaaa Virtual Size: 0 B',
    '  +-bbbbbbbbbbbb Virtual Size: 0 B',
    '  | +-cccccccccccc Virtual Size: 0 B',
    '  +-dddddddddddd Virtual Size: 0 B Step: xxxxxx...',
  ])
})

test('a missing parent is named', (t) => {
  t.deepEqual(drawTree([sizedV1Node('b', undefined, {missingParent: 'a'.repeat(64)})]), [
    '└─bbbbbbbbbbbb Virtual Size: 0 B (parent aaaaaaaaaaaa missing)',
  ])
})

test('names and steps cannot reach the terminal', (t) => {
  const [line] = drawTree([
    sizedNode('a', undefined, {tags: ['a\u001b]0;x\u0007:1'], createdBy: 'RUN \u202eevil\u0085'}),
  ])
  t.is(line, '└─aaaaaaaaaaaa Virtual Size: 0 B Tags: a\\x1b]0;x\\x07:1 Step: RUN \\u{202e}evil\\x85')
})

test('a forest of nothing is drawn as nothing', (t) => {
  t.deepEqual(drawTree([]), [])
})
