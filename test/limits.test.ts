import test from 'ava'
import {checkLimit, defaultLimits} from '../src/limits.ts'

test('takes a value up to its limit, and names the limit that it is beyond', (t) => {
  const limits = {...defaultLimits, entries: 5}
  t.notThrows(() => checkLimit(limits, 'entries', 5, 'entries'))
  t.notThrows(() => checkLimit(limits, 'entries', 5n, 'entries'))
  for (const value of [6, 6n, Number.POSITIVE_INFINITY]) {
    const error = t.throws(() => checkLimit(limits, 'entries', value, 'entries of the image'), {code: 'LIMIT_EXCEEDED'})
    t.is(error?.message, `Limit "entries" exceeded: ${value} entries of the image, at most 5 are read`)
    t.like(error, {details: {hint: 'Raise it with --limit entries=N if the archive is trusted'}})
  }
})

test('has limits that are positive and exact', (t) => {
  for (const [name, value] of Object.entries(defaultLimits)) t.true(Number.isSafeInteger(value) && value > 0, name)
})
