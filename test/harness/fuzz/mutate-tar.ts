/** Damages the tar of a layer: bytes, fields, members, order; checksums are made right again more often than not. */
import {
  checksumOf,
  directory,
  endOfTar,
  file,
  gnuLong,
  hardlink,
  headerBlock,
  pax,
  sparseFile,
  sparseForms,
  symlink,
} from '../../helpers/tar.ts'
import type {Dice} from '../random.ts'
import {hostileNames, hostileNumbers, hostileRecords, waysOut} from './hostile-words.ts'

/** Header fields: offset and length. @see POSIX pax, "ustar Interchange Format" */
const names = [
  [0, 100],
  [157, 100],
  [345, 155],
] as const
const numbers = [
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [329, 8],
  [337, 8],
  [386, 12],
  [398, 12],
  [483, 12],
] as const

/**
 * @param outside directory that nothing may reach
 * @returns also what was done
 */
export function mutateTar(tar: Buffer, dice: Dice, outside: string): {readonly bytes: Buffer; readonly what: string} {
  const change = dice.weighted(tarChanges)
  return {bytes: change(Buffer.from(tar), dice, outside), what: change.name}
}

type Change = (tar: Buffer, dice: Dice, outside: string) => Buffer

const tarChanges: readonly (readonly [number, Change])[] = [
  [2, changeBytes],
  [6, changeField],
  [3, changeMembers],
  [5, insertMembers],
  [6, insertWayOut],
  [1, cutOrGrow],
]

/** Bytes anywhere, of a file of any kind. */
export function changeBytes(bytes: Buffer, dice: Dice): Buffer {
  if (bytes.length === 0) return bytes
  for (let count = 1 + dice.below(8); count > 0; count--) {
    const at = dice.below(bytes.length)
    bytes[at] = dice.chance(0.5)
      ? bytes[at]! ^ (1 << dice.below(8))
      : dice.pick([0, 0x20, 0x2f, 0x30, 0x37, 0x7f, 0xff])
  }
  return bytes
}

/** Cuts bytes off, out, or puts some in. */
export function cutOrGrow(bytes: Buffer, dice: Dice): Buffer {
  const at = dice.below(bytes.length + 1)
  const count = dice.pick([1, 7, 511, 512, 513, 4096])
  const more = dice.chance(0.5) ? Buffer.alloc(count) : Buffer.from(bytes.subarray(at, at + count))
  return dice.pick([
    () => bytes.subarray(0, at),
    () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]),
    () => Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]),
    () => Buffer.concat([bytes, more]),
  ])()
}

function changeField(tar: Buffer, dice: Dice, outside: string): Buffer {
  const headers = memberStarts(tar)
  if (headers.length === 0) return changeBytes(tar, dice)
  const at = dice.pick(headers)
  const block = tar.subarray(at, at + 512)
  const kind = dice.below(10)
  if (kind < 4) putField(block, dice.pick(names), `${dice.pick(hostileNames(outside))}\0`)
  else if (kind < 7) putField(block, dice.pick(numbers), dice.pick(hostileNumbers))
  else if (kind < 9) block[156] = dice.pick([...'0123456789LKxgSVDAN\0'].map((type) => type.charCodeAt(0)))
  else block.write(dice.pick(['ustar\x0000', 'ustar  \0', '\0\0\0\0\0\0\0\0', 'ustar\x0001']), 257, 'latin1')
  if (dice.chance(0.9)) fixChecksum(block)
  return tar
}

function putField(block: Buffer, [offset, length]: readonly [number, number], value: string): void {
  block.write(value.slice(0, length), offset, length, 'latin1')
}

/** Takes out, repeats or moves whole members. */
function changeMembers(tar: Buffer, dice: Dice): Buffer {
  const starts = memberStarts(tar)
  if (starts.length === 0) return tar
  const ends = [...starts.slice(1), tar.length]
  const which = dice.below(starts.length)
  const taken = tar.subarray(starts[which]!, ends[which]!)
  const rest = Buffer.concat([tar.subarray(0, starts[which]!), tar.subarray(ends[which]!)])
  if (dice.chance(0.3)) return rest
  return insertAt(dice.chance(0.5) ? tar : rest, taken, dice)
}

/** Puts hostile members in, which often belong together: a link and what is to be written through it. */
function insertMembers(tar: Buffer, dice: Dice, outside: string): Buffer {
  let changed = tar
  const name = dice.pick(hostileNames(outside))
  for (let count = 1 + dice.below(3); count > 0; count--)
    changed = insertAt(changed, makeMember(name, dice, outside), dice)
  return changed
}

/** A link that leads out, and something that goes through it: made, replaced, linked to, deleted. */
function insertWayOut(tar: Buffer, dice: Dice, outside: string): Buffer {
  const name = dice.pick(['a', 'a/b', 'etc', 'way-out', 'way-out'])
  const below = `${name}/${dice.pick(['file', 'new', 'a', 'a/file', 'a/new', 'a/b/file', 'a/b/new', 'empty', 'link/file'])}`
  const link = symlink(name, dice.pick(waysOut(outside)).slice(0, 100))
  const through = dice.pick([
    () => file(below, 'written', {mode: 0o4777}),
    () => directory(below, {mode: 0o700, uid: 1}),
    () => symlink(below, 'elsewhere'),
    () => hardlink('stolen', below),
    () => hardlink(below, 'stolen'),
    () => file(below.replace(/[^/]*$/, '.wh.$&')),
    () => file(`${name}/.wh..wh..opq`),
    () => file(`${below}/.wh..wh..opq`),
    () => directory(name, {mode: 0o711}),
    () => file(name, 'in its place'),
    () => Buffer.concat([pax([['SCHILY.xattr.user.a', 'b']]), directory(below)]),
  ])()
  return insertAt(tar, Buffer.concat(dice.chance(0.8) ? [link, through] : [through, link]), dice)
}

function makeMember(name: string, dice: Dice, outside: string): Buffer {
  const target = dice.pick(hostileNames(outside))
  const below = dice.pick([name, `${name}/x`, `${name}/file`])
  const record = () => dice.pick(hostileRecords(outside))
  const plain = () =>
    file(below.slice(0, 100), 'content '.repeat(dice.below(100)), {mode: dice.pick([0o644, 0o4755, 0, 0o7777])})
  return dice.pick([
    plain,
    () => file(below.slice(0, 100), Buffer.alloc(dice.below(600_000), 'large '), {mtime: dice.below(2 ** 31)}),
    () => symlink(name.slice(0, 100), target.slice(0, 100)),
    () => hardlink(name.slice(0, 100), target.slice(0, 100)),
    () =>
      headerBlock({name: below.slice(0, 100), type: dice.pick(['3', '4', '5', '6']), deviceMajor: 1, deviceMinor: 3}),
    () => Buffer.concat([pax([record(), record(), record()], dice.pick(['x', 'x', 'g'])), plain()]),
    () => Buffer.concat([gnuLong(dice.pick(['L', 'K']), below), plain()]),
    () => Buffer.concat([gnuLong('K', target), gnuLong('L', below), symlink('short', 'short')]),
    () =>
      sparseFile(dice.pick(sparseForms), below.slice(0, 100), 4096 * (1 + dice.below(8)), [
        {offset: 0, data: 'head'},
        {offset: 1024, data: 'more'},
      ]),
    () => endOfTar.subarray(0, dice.pick([512, 1024])),
  ])()
}

function insertAt(tar: Buffer, member: Buffer, dice: Dice): Buffer {
  const at = dice.pick([0, ...memberStarts(tar)])
  return Buffer.concat([tar.subarray(0, at), member, tar.subarray(at)])
}

/** Where members begin, as far as the tar can be followed. */
function memberStarts(tar: Buffer): number[] {
  const starts: number[] = []
  for (let at = 0; at + 512 <= tar.length; ) {
    const block = tar.subarray(at, at + 512)
    const sum = Number.parseInt(block.toString('latin1', 148, 156), 8)
    if (sum !== checksumOf(block)) break
    starts.push(at)
    const size = Number.parseInt(block.toString('latin1', 124, 136), 8) || 0
    at += 512 + Math.ceil(size / 512) * 512
  }
  return starts
}

/** Makes the sum of a header right. */
export function fixChecksum(block: Buffer): void {
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}
