import test from 'ava'
import fc from 'fast-check'
import {headerNumber, paxNumber, paxTime} from '../../../src/layer/tar/number.ts'
import {base256, toField} from '../../helpers/tar.ts'

const decode = (field: string) => headerNumber(Buffer.from(field, 'latin1'), 0, field.length, 'size')
const safeInteger = fc.maxSafeInteger()

test('a header number is what was encoded, in octal or base 256', (t) => {
  fc.assert(fc.property(safeInteger, (value) => void t.is(decode(toField(value, 12)), value)))
  fc.assert(fc.property(safeInteger, (value) => void t.is(decode(base256(BigInt(value), 12)), value)))
})

for (const [field, value] of [
  ['0000644\0', 0o644],
  ['000644 \0', 0o644],
  ['   644 \0', 0o644],
  ['644\0\0\0\0\0', 0o644],
  ['\0\0\0\x00644\0', 0o644],
  ['77777777', 0o77777777],
  ['777777777777', 2 ** 36 - 1],
  ['        ', 0],
  ['\0\0\0\0\0\0\0\0', 0],
  ['\x80\0\0\0\0\0\0\0', 0],
  ['\xff'.repeat(8), -1],
] as const) {
  test(`the field ${JSON.stringify(field)} is ${value}`, (t) => t.is(decode(field), value))
}

for (const field of [
  '00000008',
  '0x000010',
  '-0000001',
  '+0000001',
  '1e3     ',
  '12 34   ',
  '12\x0034\0',
  'garbage!',
  '٣\0\0',
]) {
  test(`the field ${JSON.stringify(field)} is refused`, (t) => {
    t.throws(() => decode(field), {code: 'TAR_INVALID'})
  })
}

test('base 256 beyond what JavaScript counts exactly is refused, in both directions', (t) => {
  for (const value of [2n ** 53n, 2n ** 62n, -(2n ** 53n), -(2n ** 70n)])
    t.throws(() => decode(base256(value, 12)), {code: 'TAR_INVALID'})
  t.is(decode(base256(2n ** 53n - 1n, 12)), 2 ** 53 - 1)
})

test('a PAX number is what was written in digits', (t) => {
  fc.assert(fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (value) => void t.is(paxNumber(String(value), 'size'), value)))
  t.is(paxNumber('0000000000000042', 'size'), 42)
})

const numbersOfJavaScript = [
  '',
  ' ',
  '-1',
  '+1',
  '1.0',
  '0x5',
  '5e3',
  '1_000',
  ' 1',
  '1 ',
  '1\n',
  'NaN',
  'Infinity',
  '٣',
  '1\0',
  '0b1',
]
const numbersTooLarge = ['9007199254740992', '99999999999999999999', '1'.repeat(400)]

for (const text of [...numbersOfJavaScript, ...numbersTooLarge]) {
  test(`the PAX number ${JSON.stringify(text).slice(0, 40)} is refused`, (t) => {
    t.throws(() => paxNumber(text, 'size'), {code: 'TAR_INVALID'})
  })
}

for (const [text, seconds, nanoseconds] of [
  ['0', 0, 0],
  ['1.5', 1, 500_000_000],
  ['1.', 1, 0],
  ['1.000000001', 1, 1],
  ['1.0000000019', 1, 1],
  ['-1', -1, 0],
  ['-1.5', -2, 500_000_000],
  ['-0.25', -1, 750_000_000],
  ['-0', 0, 0],
  ['9007199254740991', 2 ** 53 - 1, 0],
] as const) {
  test(`the time ${text} is ${seconds} s and ${nanoseconds} ns`, (t) => {
    t.deepEqual(paxTime(text, 'mtime'), {seconds, nanoseconds})
  })
}

test('a time is what was written, to the nanosecond', (t) => {
  const time = fc.tuple(fc.bigInt(-(2n ** 53n) + 2n, 2n ** 53n - 1n), fc.integer({min: 0, max: 999_999_999}))
  fc.assert(
    fc.property(time, ([seconds, nanoseconds]) => {
      const all = seconds * 1_000_000_000n + BigInt(nanoseconds)
      const digits = String(all < 0n ? -all : all).padStart(10, '0')
      const text = `${all < 0n ? '-' : ''}${digits.slice(0, -9)}.${digits.slice(-9)}`
      t.deepEqual(paxTime(text, 'mtime'), {seconds: Number(seconds), nanoseconds})
    }),
  )
})

for (const text of [
  '',
  '.',
  '.5',
  '1.5.5',
  'nan',
  'inf',
  '1e9',
  '+1',
  '0x1',
  '1,5',
  ' 1',
  '1\n',
  '9007199254740992',
  '--1',
  '1.-5',
]) {
  test(`the time ${JSON.stringify(text)} is refused`, (t) => {
    t.throws(() => paxTime(text, 'mtime'), {code: 'TAR_INVALID'})
  })
}
