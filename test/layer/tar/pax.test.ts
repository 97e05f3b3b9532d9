import test from 'ava'
import fc from 'fast-check'
import {parsePax} from '../../../src/layer/tar/pax.ts'
import {paxRecord} from '../../helpers/tar.ts'

const anyBytes = fc.uint8Array({maxLength: 200}).map((array) => Buffer.from(array).toString('latin1'))
const key = anyBytes.filter((text) => text !== '' && !text.includes('='))
const records = fc.array(fc.tuple(key, anyBytes), {maxLength: 8})
const parse = (text: string) => parsePax(Buffer.from(text, 'latin1'))

test('records of any bytes come out as they went in, in order, also repeated ones', (t) => {
  fc.assert(
    fc.property(records, (list) => {
      t.deepEqual(parsePax(Buffer.concat(list.map(([name, value]) => paxRecord(name, value)))), list)
    }),
  )
})

test('values may hold newlines, NUL, "=" and what is not UTF-8', (t) => {
  const value = 'a\nb\0c=d\xff\n12 path=x\n'
  t.deepEqual(parsePax(paxRecord('SCHILY.xattr.user.x', value)), [['SCHILY.xattr.user.x', value]])
})

test('an empty header has no records', (t) => t.deepEqual(parse(''), []))

test('a record whose length counts its own digits is read at every number of digits', (t) => {
  for (let length = 0; length < 1100; length++) {
    t.deepEqual(parsePax(paxRecord('k', 'v'.repeat(length))), [['k', 'v'.repeat(length)]])
  }
})

for (const [title, text] of [
  ['is shorter than it says', '12 path=a\n'],
  ['is longer than it says', '8 path=a\n'],
  ['says a negative length', '-9 path=a\n'],
  ['says a length of zero', '0 path=a\n'],
  ['has zeros before its length', '010 path=a\n'],
  ['has a sign before its length', '+10 path=a\n'],
  ['has a blank before its length', ' 10 path=a\n'],
  ['has a length in hexadecimal', '0xa path=a\n'],
  ['has a length in digits of another script', '٩ path=a\n'],
  ['has a length that is no safe integer', '99999999999999999999 path=a\n'],
  ['has a length of a thousand digits', `${'1'.repeat(1000)} path=a\n`],
  ['has no length', 'path=a\n'],
  ['has no blank', '10'],
  ['has no "="', '9 path a\n'],
  ['has no key', '5 =a\n'],
  ['has its "=" only in the next record', '7 path\n10 path=a\n'],
  ['does not end in a newline', '9 path=ab'],
  ['is nothing but its length', '2 '],
  ['is nothing but its length and a newline', '3 \n'],
  ['is followed by garbage', '9 path=a\n\0\0\0'],
  ['is followed by a newline', '9 path=a\n\n'],
] as const) {
  test(`a record that ${title} is refused`, (t) => {
    t.throws(() => parse(text), {code: 'TAR_INVALID'})
  })
}

test('any bytes are records or refused', (t) => {
  fc.assert(
    fc.property(fc.oneof(anyBytes, fc.stringMatching(/^([0-9]{1,2} [ab=\n]{0,20})*$/)), (text) => {
      try {
        const parsed = parse(text)
        t.is(Buffer.concat(parsed.map(([name, value]) => paxRecord(name, value))).toString('latin1'), text)
      } catch (error) {
        t.is((error as {code?: string}).code, 'TAR_INVALID')
      }
    }),
  )
})
