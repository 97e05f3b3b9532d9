import test from 'ava'
import {formatSize} from '../../src/view/size.ts'
import {formatTable} from '../../src/view/table.ts'
import {cut, formatDate, formatID, formatStep} from '../../src/view/text.ts'

const sizes: Record<string, number> = {
  '0 B': 0,
  '999 B': 999,
  '1 kB': 1000,
  '2.433 MB': 2_433_303,
  '12.54 MB': 12_540_000,
  '103.7 MB': 103_700_000,
  '1.113 GB': 1_113_000_000,
}

for (const [text, size] of Object.entries(sizes)) {
  test(`${size} bytes are ${text}`, (t) => {
    t.is(formatSize(size), text)
    t.is(formatSize(size, false), `~${text}`)
  })
}

test('ids have twelve digits, with or without their algorithm', (t) => {
  t.is(formatID(`sha256:${'ab'.repeat(32)}`), 'abababababab')
  t.is(formatID('ab'.repeat(32)), 'abababababab')
  t.is(formatID('sha256:ab', true), 'sha256:ab')
})

test('steps lose the shell that docker put in front, and nothing else', (t) => {
  t.is(formatStep('/bin/sh -c #(nop)  CMD ["sh"]'), 'CMD ["sh"]')
  t.is(formatStep('/bin/sh -c make   all'), '/bin/sh -c make all')
  t.is(formatStep(), '')
})

test('dates are shown in UTC, and what is no date as it is', (t) => {
  t.is(formatDate('2013-06-13T14:03:50.821769-07:00'), '2013-06-13T21:03:50Z')
  t.is(formatDate('0001-01-01T00:00:00Z'), '0001-01-01T00:00:00Z')
  t.is(formatDate('yesterday\n'), 'yesterday\\n')
  t.is(formatDate(undefined), '-')
})

test('lines are cut at characters, not in the middle of one', (t) => {
  t.is(cut('abcdef', 4), 'abc…')
  t.is(cut('abcd', 4), 'abcd')
  t.is(cut('😀😀😀', 3), '😀😀😀')
  t.is(cut('😀😀😀😀', 3), '😀😀…')
  t.is(cut('abcdef', undefined), 'abcdef')
  t.is(cut('abcdef', 0), '…')
})

test('tables are aligned by what characters take of a line', (t) => {
  const columns = [{title: 'NAME'}, {title: 'SIZE', align: 'right'}] as const
  t.deepEqual(
    formatTable(columns, [
      ['日本', '10 B'],
      ['a', ''],
    ]),
    ['NAME   SIZE', '日本   10 B', 'a'],
  )
})
