import test from 'ava'
import fc from 'fast-check'
import {fromText, isText, printable, printableText, readings, toText} from '../src/text.ts'

test('keeps every text and every byte', (t) => {
  fc.assert(fc.property(fc.string({unit: 'grapheme'}), (text) => toText(fromText(text)) === text))
  fc.assert(
    fc.property(fc.uint8Array(), (array) => {
      const bytes = Buffer.from(array).toString('latin1')
      return !isText(bytes) || fromText(toText(bytes)) === bytes
    }),
  )
  t.is(fromText('ü'), '\xc3\xbc')
  t.true(isText(''))
  t.false(isText('\xff'))
})

test('prints on one line what could be taken for output of the tool or of the terminal', (t) => {
  for (const [text, printed] of [
    ['plain ü 文 😀', 'plain ü 文 😀'],
    ['a\nb\tc\rd', 'a\\nb\\tc\\x0dd'],
    ['\u001b[31mred\u001b[0m', '\\x1b[31mred\\x1b[0m'],
    ['\u0000\u007f\u0085\u009b', '\\x00\\x7f\\x85\\x9b'],
    ['\u202eabc\u2066', '\\u{202e}abc\\u{2066}'],
    ['\u2028\u2029\ufeff\u200b', '\\u{2028}\\u{2029}\\u{feff}\\u{200b}'],
    ['\u{e0041}', '\\u{e0041}'],
    ['\ud800', '\\u{d800}'],
  ] as const) {
    t.is(printableText(text), printed)
  }
})

test('prints bytes that are no UTF-8 one by one', (t) => {
  t.is(printable(fromText('ü\n')), 'ü\\n')
  t.is(printable('a\xff\n\xc3\xbc'), 'a\\xff\\x0a\\xc3\\xbc')
})

test('prints nothing that does not print', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), (array) => {
      return !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(printable(Buffer.from(array).toString('latin1')))
    }),
  )
  t.pass()
})

test('reads back what it prints, where no backslash is in it already', (t) => {
  const texts = fc.string({unit: 'binary'}).map((text) => Buffer.from(text))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), texts), (array) => {
      const bytes = Buffer.from(array).toString('latin1').replaceAll('\\', '')
      return readings(printable(bytes)).includes(bytes)
    }),
  )
  t.pass()
})

test('reads text as itself first', (t) => {
  t.deepEqual(readings('srv/ü'), [fromText('srv/ü')])
  t.deepEqual(readings('a\\xE9'), ['a\\xE9', 'a\xe9', fromText('aé')])
  t.deepEqual(readings('\\u{110000}\\N\\x4'), ['\\u{110000}\\N\\x4'])
  t.true(readings('a\\n\\t\\u{202e}').includes(fromText('a\n\t\u202e')))
})
