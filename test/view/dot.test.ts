import test from 'ava'
import {formatDot} from '../../src/view/dot.ts'
import {sizedNode, sizedV1Node} from '../helpers/images.ts'

const root = sizedV1Node('a')
const child = sizedV1Node('b', 'a', {tags: ['ubuntu:14.04', 'ubuntu:trusty']})

test('the graph is the one that docker wrote', (t) => {
  t.deepEqual(formatDot([root, child]), [
    'digraph docker {',
    ' base -> "aaaaaaaaaaaa" [style=invis]',
    ' "aaaaaaaaaaaa" -> "bbbbbbbbbbbb"',
    ' "bbbbbbbbbbbb" [label="bbbbbbbbbbbb\\nubuntu:14.04\\nubuntu:trusty",shape=box,fillcolor="paleturquoise",style="filled,rounded"];',
    ' base [style=invisible]',
    '}',
  ])
})

test('an image without a name has a box with its ID, one with a name has only that', (t) => {
  const image = `sha256:${'1'.repeat(64)}` as const
  const [, , nameless, , named] = formatDot([sizedNode('a', undefined, {images: [image]}), {...child, images: [image]}])
  t.true(nameless?.startsWith(' "aaaaaaaaaaaa" [label="aaaaaaaaaaaa\\nImage: 111111111111",shape=box,'), nameless)
  t.true(named?.includes('label="bbbbbbbbbbbb\\nubuntu:14.04\\nubuntu:trusty"'), named)
})

test('ids can be whole', (t) => {
  t.true(formatDot([root], {full: true}).includes(` base -> "${root.id}" [style=invis]`))
})

test('a name cannot end its string', (t) => {
  const [, , , label] = formatDot([root, {...child, tags: ['a"];x\\']}])
  t.true(label?.includes('a\\"];x\\\\",shape'))
})
