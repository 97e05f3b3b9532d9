import test from 'ava'
import fc from 'fast-check'
import {compact, decodeString, encodeString, parseDocument, splitArray, splitObject} from '../../src/image/go-json.ts'
import {fromText, toText} from '../../src/text.ts'

test('splits an object into decoded keys and raw values, repeated keys included', (t) => {
  t.deepEqual(splitObject(parseDocument(' { "a" : 1.50 , "\\u0061":[ 2 ] ,"b":{"c":null} } ')), [
    ['a', '1.50'],
    ['a', '[ 2 ]'],
    ['b', '{"c":null}'],
  ])
  t.deepEqual(splitObject('{ }'), [])
})

test('splits an array into raw values', (t) => {
  t.deepEqual(splitArray('[ [1,2] ,"],", {} ]'), ['[1,2]', '"],"', '{}'])
  t.deepEqual(splitArray('[\n]'), [])
})

test('agrees with JSON.parse about what is JSON', (t) => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '1',
    '-',
    '0',
    '.5',
    'e1',
    'true',
    'null',
    ' ',
    '\\',
    '\n',
    '\\u00e9',
  ]
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), {maxLength: 12}), (parts) => {
      const text = parts.join('')
      t.is(
        accepts(() => parseDocument(text)),
        accepts(() => JSON.parse(text)),
        text,
      )
    }),
    {numRuns: 20_000},
  )
})

function accepts(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch {
    return false
  }
}

test('says where a document is wrong', (t) => {
  t.throws(() => parseDocument('{"a":01}'), {
    code: 'DOCUMENT_INVALID',
    message: 'Cannot parse JSON: byte 6 is wrong, expected "," or "}", got "1"',
  })
  t.throws(() => parseDocument('["'), {
    message: 'Cannot parse JSON: byte 2 is wrong, expected the rest of a string, got the end',
  })
})

test('encodes what decodes to the same text again', (t) => {
  fc.assert(
    fc.property(fc.string({unit: 'binary'}), (text) => {
      t.is(toText(decodeString(encodeString(fromText(text)))), text)
      t.is(JSON.parse(toText(encodeString(fromText(text)))), text)
      t.is(toText(decodeString(fromText(JSON.stringify(text)))), text)
    }),
  )
})

test('escapes what Go escapes, in strings and in compacted values', (t) => {
  t.is(
    encodeString(fromText('<&>\u2028\u2029\b\f\n\r\t\u0001\u007f"\\/é')),
    fromText('"\\u003c\\u0026\\u003e\\u2028\\u2029\\u0008\\u000c\\n\\r\\t\\u0001\u007f\\"\\\\/é"'),
  )
  t.is(
    compact(fromText(' { "a b" : [ "<\\"> \\u003c\\/ \u2028" , 1.0 ] } ')),
    fromText('{"a b":["\\u003c\\"\\u003e \\u003c\\/ \\u2028",1.0]}'),
  )
})

test('replaces each byte that is not UTF-8, and compacting keeps it', (t) => {
  t.is(
    toText(decodeString('"\xe2\x82 \xed\xa0\x80 \xc0\x80 \xf0\x9f\x98\x80"')),
    '\ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd 😀',
  )
  t.is(toText(decodeString('"\\ud83d\\ude00 \\ud83d\\u0041 \\ude00"')), '😀 \ufffdA \ufffd')
  t.is(compact('"\xff\xe2\x80"'), '"\xff\xe2\x80"')
})
