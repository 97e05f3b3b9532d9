import test from 'ava'
import {ImgtoolError} from '../../src/errors.ts'
import {formatHistory, formatHistoryIDs, historyOf} from '../../src/view/history.ts'
import {formatImage, inspectedImage} from '../../src/view/inspect.ts'
import {formatList, formatListIDs, listedImage} from '../../src/view/list.ts'
import {diffID, imageOf, v1ID} from '../helpers/images.ts'

const origin = {archive: {label: 'app.tar'}, reference: {transport: 'auto', path: 'app.tar'}} as const
const sizes = [
  {size: 1000, exact: true},
  {size: 20, exact: false},
]
const config = {config: {Cmd: ['sh'], Env: ['A=1', 'B=[2]'], User: '', Labels: null, Volumes: {}}}
const image = imageOf([{layer: 'base'}, {does: 'CMD ["sh"]'}, {layer: 'app'}], {
  names: ['app:1', 'app:latest'],
  created: '2020-01-02T03:04:05.6Z',
  config: Buffer.from(JSON.stringify(config)),
})
const short = (id: string) => id.slice(7, 19)

test('a history has its layers beside the steps that made them', (t) => {
  const steps = historyOf(image, sizes)
  t.deepEqual(
    steps.map(({layer, diffID, createdBy, empty, size, sizeExact}) => [
      layer,
      diffID,
      createdBy,
      empty,
      size,
      sizeExact,
    ]),
    [
      [0, diffID('base'), 'make base', false, 1000, true],
      [undefined, undefined, 'CMD ["sh"]', true, 0, true],
      [1, diffID('app'), 'make app', false, 20, false],
    ],
  )
  t.is(steps[0]?.chainID, diffID('base'))
})

test('a history is shown newest first', (t) => {
  const steps = historyOf(image, sizes)
  t.deepEqual(formatHistory(steps), [
    'LAYER          CREATED   CREATED BY    SIZE   COMMENT',
    `${short(diffID('app'))}   -         make app     ~20 B`,
    '(empty)        -         CMD ["sh"]     0 B',
    `${short(diffID('base'))}   -         make base     1 kB`,
  ])
  t.deepEqual(formatHistoryIDs(steps, {full: true}), [diffID('app'), diffID('base')])
})

test('long steps are cut as docker cuts them, unless whole ones are asked for', (t) => {
  const steps = historyOf(imageOf([{layer: 'base', does: 'x'.repeat(80)}]), [])
  t.true(formatHistory(steps)[1]?.includes(` ${'x'.repeat(44)}… `))
  t.true(formatHistory(steps, {full: true})[1]?.includes('x'.repeat(80)))
})

test('steps fill a terminal, and keep some characters where it is narrow', (t) => {
  const steps = historyOf(imageOf([{layer: 'base', does: 'x'.repeat(80)}]), [])
  for (const columns of [70, 100]) {
    const [head, row] = formatHistory(steps, {columns})
    t.is(head?.length, columns)
    t.true(row?.includes('x… '))
  }
  t.true(formatHistory(steps, {columns: 10})[1]?.includes(` ${'x'.repeat(19)}… `))
  t.true(formatHistory(steps, {columns: 200})[1]?.includes(` ${'x'.repeat(80)} `))
})

test('a whole step is as it is stored', (t) => {
  const steps = historyOf(imageOf([{does: '/bin/sh -c #(nop)  CMD\t["sh"]'}]), [])
  t.true(formatHistory(steps)[1]?.includes(' CMD ["sh"] '))
  t.true(formatHistory(steps, {full: true})[1]?.includes(' /bin/sh -c #(nop)  CMD\\t["sh"] '))
})

test('a list has a row for each name', (t) => {
  const listed = listedImage(origin, image, {size: 1020, exact: false})
  const id = short(image.imageID!)
  t.deepEqual(formatList([listed]), [
    'INDEX   NAME         IMAGE ID       PLATFORM      CREATED                LAYERS       SIZE',
    `@0      app:1        ${id}   linux/amd64   2020-01-02T03:04:05Z        2   ~1.02 kB`,
    `@0      app:latest   ${id}   linux/amd64   2020-01-02T03:04:05Z        2   ~1.02 kB`,
  ])
  t.deepEqual(formatListIDs([listed], {full: true}), [image.imageID])
  t.is(listed.reference, 'app.tar:@0')
})

test('a list of several archives names them, and images without a name are there', (t) => {
  const {imageID: _, ...nameless} = imageOf([], {v1ID: v1ID('a'), index: 3})
  const listed = listedImage(origin, nameless, {size: 0, exact: true})
  const [head, row] = formatList([listed, {...listed, archive: 'b\u001b.tar'}])
  t.regex(head ?? '', /^ARCHIVE /)
  t.regex(row ?? '', /^app\.tar +@3 +<none> +aaaaaaaaaaaa +linux\/amd64/)
  t.regex(formatList([listed, {...listed, archive: 'b\u001b.tar'}])[2] ?? '', /^b\\x1b\.tar/)
})

test('an image that cannot be read is listed as partial', (t) => {
  const broken = new ImgtoolError('PARENT_MISSING', 'Cannot find it')
  const listed = listedImage(origin, imageOf([], {broken}), {size: 0, exact: false})
  t.is(listed.broken, 'Cannot find it')
  t.regex(formatList([listed])[1] ?? '', /partial$/)
})

test('an inspection has facts, what a container would run, and layers', (t) => {
  const inspected = inspectedImage(origin, image, {sizes, compressions: ['none', 'gzip']})
  t.like(inspected, {size: 1020, sizeExact: false, config, format: 'docker-archive'})
  t.deepEqual(
    inspected.layers.map((layer) => [layer.index, layer.diffID, layer.compression, layer.storedSize, layer.size]),
    [
      [0, diffID('base'), 'none', 1024, 1000],
      [1, diffID('app'), 'gzip', 1024, 20],
    ],
  )
  t.false('blob' in inspected.layers[0]!)
  t.deepEqual(formatImage(inspected), [
    'Names:    app:1, app:latest',
    `Image ID: ${image.imageID}`,
    'Archive:  app.tar (docker-archive), @0',
    'Platform: linux/amd64',
    'Created:  2020-01-02T03:04:05Z',
    'Size:     ~1.02 kB in 2 layers',
    'Cmd:      ["sh"]',
    'Env:      A=1',
    '          B=[2]',
    '',
    'LAYER   DIFF ID        CHAIN ID       COMPRESSION     STORED    SIZE',
    `    0   ${short(diffID('base'))}   ${short(diffID('base'))}   none          1.024 kB    1 kB`,
    `    1   ${short(diffID('app'))}   ${short(inspected.layers[1]!.chainID!)}   gzip          1.024 kB   ~20 B`,
  ])
})

test('one layer is not several', (t) => {
  const inspected = inspectedImage(origin, imageOf([{layer: 'base'}]), {sizes: [], compressions: []})
  t.true(formatImage(inspected).some((line) => line.endsWith(' in 1 layer')))
})

for (const hostile of [
  'null',
  '[]',
  '{"config":"x"}',
  '{"config":null}',
  '{"__proto__":{"Cmd":["x"]}}',
  '{"config":{"Env":[null,{}]}}',
]) {
  test(`a config of ${hostile} is summarised without what it does not say`, (t) => {
    const inspected = inspectedImage(origin, imageOf([], {config: Buffer.from(hostile)}), {sizes: [], compressions: []})
    t.false(formatImage(inspected).some((line) => line.startsWith('Cmd')))
  })
}
