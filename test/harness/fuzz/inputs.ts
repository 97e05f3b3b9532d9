/** The inputs of fuzzing: archives of fixtures and generated ones, whole and damaged. A seed and a number make one again. */
import {readdirSync, readFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import fc from 'fast-check'
import {dockerMembers, hybridMembers, type Member, ociMembers, tarOf, v1Members} from '../../helpers/image.ts'
import {layers as arbitraryLayers} from '../../helpers/random-layers.ts'
import {endOfTar} from '../../helpers/tar.ts'
import {Dice} from '../random.ts'
import {
  isDocument,
  isLayer,
  type Packing,
  type Piece,
  packBytes,
  readMembers,
  replaceBody,
  unpackBytes,
} from './members.ts'
import {mutateDocument} from './mutate-document.ts'
import {changeBytes, cutOrGrow, mutateTar} from './mutate-tar.ts'

export interface Input {
  /** What it was made of. */
  readonly title: string
  readonly bytes: Buffer
}

const folder = resolve(import.meta.dirname, '../../../fixtures')
/** By name; those that compress a whole archive come as what they compress. */
const fixtures = readdirSync(folder)
  .filter((name) => name.includes('.tar') && !name.endsWith('.xz'))
  .map((name) => [name, unpackBytes(readFileSync(join(folder, name)))] as const)

const packings: readonly Packing[] = ['none', 'gzip', 'zstd', 'xz']

/** @param outside directory that nothing may reach */
export function makeInput(seed: number, number: number, outside: string): Input {
  const dice = new Dice(Math.imul(seed, 1_000_003) + number)
  const isGenerated = dice.chance(0.4)
  const [title, pieces] = isGenerated ? generate(dice) : takeFixture(dice)
  // Undamaged fixtures are what tests are for.
  const damages = dice.pick(isGenerated ? [0, 1, 1, 2] : [1, 1, 2, 3])
  const titles = Array.from({length: damages}, () => damage(pieces, dice, outside))
  const archive = tarOf(pieces)
  const raw = dice.chance(0.06) ? dice.pick([changeBytes, cutOrGrow])(archive, dice) : archive
  const packing = dice.chance(0.08) ? dice.pick(packings) : 'none'
  return {title: [title, ...titles, packing].join(', '), bytes: packBytes(raw, packing)}
}

function takeFixture(dice: Dice): [string, Piece[]] {
  const [name, tar] = dice.pick(fixtures)
  return [name, readMembers(tar)]
}

function generate(dice: Dice): [string, Piece[]] {
  const [steps] = fc.sample(arbitraryLayers, {numRuns: 1, seed: dice.below(2 ** 31)})
  const layers = steps!.map((list, layer) =>
    Buffer.concat([...list.map(({entry}, at) => entry(1000 * (layer + 1) + at)), endOfTar]),
  )
  const recipe = {layers, names: ['app:latest']}
  const v1 = layers.map((layer, at) => ({id: String(at + 1), layer, ...(at > 0 && {parent: String(at)})}))
  const makers: Record<string, () => Member[]> = {
    docker: () => dockerMembers([recipe]),
    oci: () => ociMembers([recipe]),
    hybrid: () => hybridMembers([recipe]),
    v1: () => v1Members(v1, {app: {latest: String(layers.length)}}),
  }
  const format = dice.pick(Object.keys(makers))
  const pieces = makers[format]!().map(toPiece)
  for (const piece of pieces)
    if (format !== 'v1' && isLayer(piece)) replaceBody(pieces, piece, packBytes(piece.body, dice.pick(packings)))
  return [`generated ${format}`, pieces]
}

function toPiece({body = '', link = '', ...member}: Member): Piece {
  return {...member, link, body: Buffer.from(body as string)}
}

/** Changes one thing, and most often all that follows from it. */
function damage(pieces: Piece[], dice: Dice, outside: string): string {
  const layers = pieces.filter(isLayer)
  const documents = pieces.filter(isDocument)
  return dice.weighted([
    [layers.length > 0 ? 6 : 0, () => damageLayer(pieces, dice.pick(layers), dice, outside)],
    [layers.length > 0 ? 1 : 0, () => damageStored(pieces, dice.pick(layers), dice)],
    [documents.length > 0 ? 3 : 0, () => damageDocument(pieces, dice.pick(documents), dice)],
    [1, () => damageMember(pieces, dice)],
  ])()
}

function damageLayer(pieces: readonly Piece[], piece: Piece, dice: Dice, outside: string): string {
  const before = tryUnpack(piece.body)
  const {bytes: after, what} = mutateTar(before, dice, outside)
  const packing = dice.pick(packings)
  setBody(pieces, piece, packBytes(after, packing), dice, [before, after])
  return `${what} of a layer as ${packing}`
}

/** What a damaged input does to the decompressor. */
function damageStored(pieces: readonly Piece[], piece: Piece, dice: Dice): string {
  const packed = packBytes(tryUnpack(piece.body), dice.pick(packings))
  setBody(pieces, piece, dice.pick([changeBytes, cutOrGrow])(Buffer.from(packed), dice), dice)
  return 'stored layer'
}

function damageDocument(pieces: readonly Piece[], piece: Piece, dice: Dice): string {
  setBody(pieces, piece, mutateDocument(piece.body, dice), dice)
  return `document ${piece.name.slice(0, 20)}`
}

function setBody(pieces: readonly Piece[], piece: Piece, body: Buffer, dice: Dice, plain?: readonly [Buffer, Buffer]) {
  if (dice.chance(0.9)) replaceBody(pieces, piece, body, plain)
  else piece.body = body
}

function damageMember(pieces: Piece[], dice: Dice): string {
  const piece = dice.pick(pieces)
  const other = dice.pick(pieces)
  const replace = (...by: Piece[]) => pieces.splice(pieces.indexOf(piece), 1, ...by)
  const names = [`./${piece.name}`, `/${piece.name}`, `../${piece.name}`, `a/../${piece.name}`, other.name]
  const [what, change] = dice.pick([
    ['a member less', () => pieces.length > 1 && replace()],
    ['a member twice', () => pieces.push({...piece})],
    ['backwards', () => pieces.reverse()],
    ['a link', () => replace({name: piece.name, type: dice.pick(['1', '2']), link: other.name, body: Buffer.alloc(0)})],
    ['another type', () => replace({...piece, type: dice.pick([...'123456xgLKS'])})],
    ['another name', () => replace({...piece, name: dice.pick(names)})],
  ] as const)
  change()
  return what
}

function tryUnpack(bytes: Buffer): Buffer {
  try {
    return unpackBytes(bytes)
  } catch {
    return bytes
  }
}
