/**
 * Compares every image of some archives by some ways with what the directory driver makes of it here, and prints a line of JSON
 * for each: a process of its own, which may be in a user namespace.
 *
 *     node compare.ts FOLDER WAY... < ARCHIVES
 */
import process from 'node:process'
import {text} from 'node:stream/consumers'
import {ImgtoolError} from '../../../src/errors.ts'
import {openSource} from '../../../src/open.ts'
import {readFacts} from './facts.ts'
import {type Judgement, judge} from './judge.ts'
import {type Chosen, follow, type WayName} from './ways.ts'

export interface Listed {
  readonly name: string
  readonly path: string
  /** Whether it may be one that cannot even be opened. */
  readonly isHostile: boolean
}

export interface Row extends Judgement {
  readonly name: string
  readonly way: WayName
}

const [folder = '', ...ways] = process.argv.slice(2) as [string?, ...WayName[]]
for (const listed of JSON.parse(await text(process.stdin)) as Listed[]) await compareAll(listed)

async function compareAll({name, path, isHostile}: Listed): Promise<void> {
  try {
    await using source = await openSource({transport: 'auto', path})
    const {images} = source.set
    for (const image of images) {
      const suffix = images.length > 1 ? `@${image.index}` : ''
      await compare(name + suffix, {source, image})
    }
  } catch (error) {
    if (!isHostile || !(error instanceof ImgtoolError)) throw error
  }
}

async function compare(name: string, chosen: Chosen): Promise<void> {
  const reference = await follow('directory', chosen, folder)
  const facts = await readFacts(chosen.image)
  for (const way of ways) {
    const row: Row = {name, way, ...judge(way, reference, await follow(way, chosen, folder), facts)}
    process.stdout.write(`${JSON.stringify(row)}\n`)
  }
}
