import test from 'ava'
import {parseLimits} from '../../src/cli/limit-flag.ts'
import {isUTF8} from '../../src/cli/terminal.ts'
import {Warnings} from '../../src/cli/warnings.ts'
import {defaultLimits} from '../../src/limits.ts'

test('limits that are not given keep their defaults, and the last one wins', (t) => {
  t.deepEqual(parseLimits([]), defaultLimits)
  t.deepEqual(parseLimits(['layers=1', 'bytes=0', 'layers=2']), {...defaultLimits, layers: 2, bytes: 0})
})

for (const word of [
  'layers',
  'layers=',
  'layers=-1',
  'layers=1e3',
  'layers=99999999999999999999',
  'nothing=1',
  '__proto__=1',
  'constructor=1',
  '',
]) {
  test(`the limit "${word}" is refused`, (t) => {
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
