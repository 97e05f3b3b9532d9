import test from 'ava'
import {parseLimits} from '../../src/cli/limit-flag.ts'
import {suggest} from '../../src/cli/suggest.ts'
import {isUTF8} from '../../src/cli/terminal.ts'
import {Warnings} from '../../src/cli/warnings.ts'
import type {ImgtoolError} from '../../src/errors.ts'
import {defaultLimits} from '../../src/limits.ts'

test('limits that are not given keep their defaults, and the last one wins', (t) => {
  t.deepEqual(parseLimits([]), defaultLimits)
  t.deepEqual(parseLimits(['layers=1', 'bytes=0', 'layers=2']), {...defaultLimits, layers: 2, bytes: 0})
})

test('limits may have units, which are binary', (t) => {
  const limits = ['bytes=1GiB', 'document=2M', 'config=3k', 'members=1K', 'sparseSize=1TiB']
  t.like(parseLimits(limits), {bytes: 2 ** 30, document: 2 ** 21, config: 3072, members: 1024, sparseSize: 2 ** 40})
})

test('an unknown limit is named, with those there are', (t) => {
  const error = t.throws(() => parseLimits(['layer=2']), {message: 'Unknown limit "layer"'})
  t.regex((error as ImgtoolError).details.hint ?? '', /^The limits are layers, entries, bytes, /)
  t.throws(() => parseLimits(['layers=many']), {
    message: 'Cannot read limit "layers": expected a whole number, got "many"',
  })
})

for (const word of [
  'layers',
  'layers=',
  'layers=-1',
  'layers=1e3',
  'layers=1.5G',
  'layers=1GB',
  'layers=9999999TiB',
  'layers=1\n',
  'layers=99999999999999999999',
  'nothing=1',
  '__proto__=1',
  'constructor=1',
  '',
]) {
  test(`the limit ${JSON.stringify(word)} is refused`, (t) => {
    t.throws(() => parseLimits([word]), {code: 'REFERENCE_INVALID'})
  })
}

test('the locale is found in the order of POSIX, and none is UTF-8', (t) => {
  t.true(isUTF8({}))
  t.true(isUTF8({LANG: 'en_US.UTF-8'}))
  t.true(isUTF8({LC_ALL: '', LC_CTYPE: 'C.utf8', LANG: 'C'}))
  t.false(isUTF8({LC_ALL: 'C', LANG: 'en_US.UTF-8'}))
  t.false(isUTF8({LC_CTYPE: 'POSIX', LANG: 'en_US.UTF-8'}))
  t.false(isUTF8({LANG: 'de_DE.ISO-8859-1'}))
})

test('warnings with one code are one line with their number', (t) => {
  const warnings = new Warnings()
  warnings.add('cannot keep the owner of a', 'owner')
  warnings.add('odd')
  warnings.add('cannot keep the owner of b', 'owner')
  warnings.add('cannot keep the owner of c', 'owner')
  t.deepEqual(warnings.lines(), ['Warning: cannot keep the owner of a (and 2 more)', 'Warning: odd'])
  t.deepEqual(warnings.list(), [
    {code: 'owner', message: 'cannot keep the owner of a', count: 3},
    {code: 'odd', message: 'odd', count: 1},
  ])
})

test('a word that is nearly another one is taken for a slip', (t) => {
  const flags = ['--platform', '--limit', '--json']
  t.is(suggest('--platfrom', flags), '--platform')
  t.is(suggest('--jsno', flags), '--json')
  t.is(suggest('--verbose', flags), undefined)
  t.is(suggest('--x', []), undefined)
})
