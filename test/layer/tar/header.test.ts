import test from 'ava'
import fc from 'fast-check'
import {decodeHeader, isZeroBlock} from '../../../src/layer/tar/header.ts'
import {base256, checksumOf, gnuMagic, headerBlock, otherMember, posixMagic} from '../../helpers/tar.ts'

const bytes = (maximum: number) =>
  fc.uint8Array({maxLength: maximum}).map((array) => Buffer.from(array.filter((byte) => byte !== 0)).toString('latin1'))
const integer = (minimum: number, maximum: number) => fc.integer({min: minimum, max: maximum})
const number = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
const fields = fc.record({
  name: bytes(100),
  mode: integer(0, 0o7777777),
  uid: integer(-(2 ** 55), 2 ** 53 - 1).map((value) => Math.max(value, Number.MIN_SAFE_INTEGER)),
  gid: number,
  size: number,
  mtime: number,
  type: fc.constantFrom(...'01234567xgLKSVZ'),
  link: bytes(100),
  deviceMajor: integer(0, 2 ** 32),
  deviceMinor: integer(0, 2 ** 32),
})

test('a header is decoded to the fields that it was made of', (t) => {
  fc.assert(fc.property(fields, (header) => void t.deepEqual(decodeHeader(headerBlock(header)), header)))
})

test('a POSIX prefix goes before the name', (t) => {
  fc.assert(
    fc.property(bytes(155), bytes(100), (prefix, name) => {
      const expected = prefix === '' ? name : `${prefix}/${name}`
      t.is(decodeHeader(headerBlock({prefix, name})).name, expected)
    }),
  )
})

test('what GNU, V7 and star keep in the place of the prefix is not taken for one', (t) => {
  const prefix = '14000000000\x0014000000000\0'
  t.is(decodeHeader(headerBlock({name: 'a', magic: gnuMagic, prefix})).name, 'a')
  t.is(decodeHeader(headerBlock({name: 'a', magic: '', prefix})).name, 'a')
  const star = headerBlock({name: 'a', prefix: 'p'.repeat(131), patches: {476: '14000000000', 508: 'tar\0'}})
  t.is(decodeHeader(star).name, `${'p'.repeat(131)}/a`)
})

test('a V7 header has no device numbers', (t) => {
  const {deviceMajor, deviceMinor} = decodeHeader(headerBlock({magic: '', deviceMajor: 'garbage!', deviceMinor: 5}))
  t.deepEqual([deviceMajor, deviceMinor], [0, 0])
})

test('names may fill their fields without a NUL, and end at the first one', (t) => {
  const {name, link} = decodeHeader(headerBlock({name: 'n'.repeat(100), link: 'l'.repeat(100)}))
  t.deepEqual([name, link], ['n'.repeat(100), 'l'.repeat(100)])
  t.is(decodeHeader(headerBlock({name: 'short\0garbage'})).name, 'short')
})

test('the type NUL of old tars is a file', (t) => {
  t.is(decodeHeader(headerBlock({type: '\0'})).type, '0')
})

test('a checksum may be the sum of signed bytes, as old Sun tars have it', (t) => {
  const block = headerBlock({name: '\xff\xfe', magic: posixMagic})
  const sum = checksumOf(block) - 2 * 0x100
  const checksum = `${sum.toString(8).padStart(6, '0')}\0 `
  t.is(decodeHeader(headerBlock({name: '\xff\xfe', checksum})).name, '\xff\xfe')
})

for (const [title, checksum] of [
  ['wrong', '000000\0 '],
  ['blank', '        '],
  ['of NULs', '\0'.repeat(8)],
  ['no number', 'checksum'],
] as const) {
  test(`a checksum that is ${title} is refused`, (t) => {
    t.throws(() => decodeHeader(headerBlock({name: 'a', checksum})), {code: 'TAR_INVALID'})
  })
}

test('any changed byte of a header is refused, or found in the checksum field itself', (t) => {
  const block = headerBlock({name: 'a', size: 5})
  const header = decodeHeader(block)
  fc.assert(
    fc.property(integer(0, 511), integer(1, 255), (at, flip) => {
      const changed = Buffer.from(block)
      changed[at]! ^= flip
      if (at >= 148 && at < 156) {
        try {
          t.deepEqual(decodeHeader(changed), header)
        } catch (error) {
          t.is((error as {code?: string}).code, 'TAR_INVALID')
        }
      } else t.throws(() => decodeHeader(changed), {code: 'TAR_INVALID'})
    }),
  )
})

for (const field of ['mode', 'uid', 'gid', 'size', 'mtime', 'deviceMajor', 'deviceMinor'] as const) {
  test(`a ${field} that is no number is refused`, (t) => {
    t.throws(() => decodeHeader(headerBlock({[field]: '0x10'})), {code: 'TAR_INVALID'})
  })

  test(`a ${field} beyond 2^53-1 is refused`, (t) => {
    const length = field === 'size' || field === 'mtime' ? 12 : 8
    const tooMuch = length === 8 ? 2n ** 53n : 2n ** 62n
    t.throws(() => decodeHeader(headerBlock({[field]: base256(tooMuch, length)})), {code: 'TAR_INVALID'})
  })
}

test('only a block that is all zeros is a zero block', (t) => {
  t.true(isZeroBlock(Buffer.alloc(512)))
  for (const at of [0, 1, 256, 511]) {
    const block = Buffer.alloc(512)
    block[at] = 1
    t.false(isZeroBlock(block))
  }
})

test('headers of another implementation are decoded to what it was told', (t) => {
  const plain = fc.record({
    path: fc.stringMatching(/^[a-z][a-z/]{0,60}[a-z]$/),
    mode: integer(0, 0o777),
    uid: integer(0, 2 ** 40),
    gid: integer(0, 0o777777),
    mtime: integer(0, 2 ** 33),
    type: fc.constantFrom('File' as const, 'Directory' as const, 'SymbolicLink' as const, 'Link' as const),
    linkpath: fc.stringMatching(/^[a-z/]{0,90}$/),
  })
  fc.assert(
    fc.property(plain, (told) => {
      const block = otherMember({...told, mtime: new Date(told.mtime * 1000)}).subarray(-512)
      const {name, mode, uid, gid, mtime, link} = decodeHeader(block)
      t.deepEqual(
        {name: name.replace(/\/$/, ''), mode, uid, gid, mtime, link},
        {name: told.path, mode: told.mode, uid: told.uid, gid: told.gid, mtime: told.mtime, link: told.linkpath},
      )
    }),
  )
})
