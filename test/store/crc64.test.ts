import test from 'ava'
import {loadCrc64} from '../../src/os/crc64-library.ts'
import {Crc64} from '../../src/store/crc64.ts'

const hex = ({high, low}: {high: number; low: number}) =>
  [high, low].map((half) => half.toString(16).padStart(8, '0')).join('')

test('sums are those of the catalogue, one after the other', (t) => {
  const crc = new Crc64()
  crc.update(Buffer.from('123456789'))
  t.is(hex(crc.finish()), 'b90956c775a41001')
  t.is(hex(crc.finish()), '0000000000000000')
  crc.update(Buffer.from('123456789'))
  t.is(hex(crc.finish()), 'b90956c775a41001')
})

/** The definition, bit by bit. */
function slowly(bytes: Uint8Array): string {
  let sum = 0xffff_ffff_ffff_ffffn
  for (const byte of bytes) {
    sum ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) sum = (sum >> 1n) ^ (sum & 1n ? 0xd800_0000_0000_0000n : 0n)
  }
  return (sum ^ 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, '0')
}

test('sums do not depend on where bytes lie and how they are cut', (t) => {
  const memory = Buffer.from(new SharedArrayBuffer(64))
  for (let at = 0; at < memory.length; at++) memory[at] = (at * 151 + 7) & 0xff
  const crc = new Crc64()
  for (let start = 0; start < 9; start++) {
    for (let end = start; end < memory.length; end += 5) {
      const middle = (start + end) >> 1
      crc.update(memory, start, middle)
      crc.update(memory.subarray(middle, end))
      t.is(hex(crc.finish()), slowly(memory.subarray(start, end)), `${start} to ${end}`)
    }
  }
})

const libraryTest = loadCrc64() === undefined ? test.skip : test

libraryTest('a library gives the same sums, whatever came before', (t) => {
  const bytes = Buffer.from(new SharedArrayBuffer(10_000))
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * at * 151 + 7) & 0xff
  const [own, library] = [new Crc64(), new Crc64(loadCrc64())]
  for (const [start, end] of [
    [0, 9000],
    [5, 12],
    [12, 5000],
    [4999, 10_000],
  ]) {
    for (const crc of [own, library]) crc.update(bytes, start, end)
  }
  const sum = hex(own.finish())
  t.is(hex(library.finish()), sum)
  t.is(hex(library.finish()), '0000000000000000')
})
