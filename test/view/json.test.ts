import test from 'ava'
import fc from 'fast-check'
import {formatJSON, parseExact} from '../../src/view/json.ts'

test('a document means the same after it was made safe for a terminal', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (document) => {
      t.deepEqual(JSON.parse(formatJSON(document)), JSON.parse(JSON.stringify(document)))
    }),
  )
})

test('what a terminal would obey is escaped', (t) => {
  t.is(formatJSON('\u001b\u009b\u202e\u2028\u{e0001}', 0), '"\\u001b\\u009b\\u202e\\u2028\\udb40\\udc01"')
})

test('numbers that no double holds stay as they are written', (t) => {
  const text = '{"Memory":9223372036854775807,"Ratio":0.1,"Few":1,"__proto__":{"a":1}}'
  t.is(formatJSON(parseExact(text), 0), text)
})
