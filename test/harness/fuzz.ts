/**
 * Feeds imgtool with archives that are damaged or generated: fixtures and random layers in every format, with bytes, headers,
 * lengths, names, documents and members changed, and most digests made right again, so that the damage is met where it is.
 * Everything is done with each: trees, lists, history, unpacking with threads and without, over nothing and over itself.
 *
 * What fails: anything thrown that is no ImgtoolError, a crash, a hang, a change outside, anything left after a refusal, memory
 * beyond a bound, a descriptor that stays open, a control character in a text, and two trees of one image.
 *
 *     npm run test:fuzz -- [--seconds N] [--seed N] [--only NUMBER] [--file ARCHIVE]
 */
import {mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {Watch} from './fuzz/watch.ts'
import {Tally} from './tally.ts'

const MiB = 1024 ** 2
const {values} = parseArgs({
  options: {
    seconds: {type: 'string', default: process.env.IMGTOOL_FUZZ_SECONDS ?? '60'},
    /** @default another one each time */
    seed: {type: 'string', default: String(Date.now() % 1_000_000)},
    /** One input of the seed. */
    only: {type: 'string'},
    /** One archive, such as one that was kept. */
    file: {type: 'string'},
  },
})

requireRoot('test:fuzz')
using disk = new Disk({size: 512 * MiB})
const tally = new Tally()
const outcomes = new Map<string, number>()
const seed = Number(values.seed)
const isSingle = values.only !== undefined || values.file !== undefined
const until = isSingle ? undefined : Date.now() + 1000 * Number(values.seconds)
await main()

async function main(): Promise<void> {
  process.stdout.write(`seed ${seed}\n`)
  let next = Number(values.only ?? 0)
  do next = (await watch(next)) + 1
  while (until !== undefined && Date.now() < until)
  if (!isSingle) expectVariety()
  const counts = [...outcomes]
    .sort(([, one], [, other]) => other - one)
    .map(([outcome, count]) => `${outcome} ${count}`)
  process.stdout.write(`${counts.join(', ')}\n`)
  tally.finish()
}

/** @returns the number of the last input */
function watch(from: number): Promise<number> {
  const {file} = values
  const folder = mkdtempSync(join(disk.path, 'fuzz-'))
  return new Watch({folder, keep: tmpdir(), seed, from, ...(until && {until}), ...(file && {file})}, tally, outcomes)
    .ended
}

/** Inputs that are all refused at the door, or all good, try nothing. */
function expectVariety(): void {
  const unpacked = outcomes.get('unpacked') ?? 0
  const isVaried = unpacked > 0 && outcomes.size > 3
  tally.add('the inputs', isVaried ? [] : [`${unpacked} were unpacked, outcomes of ${outcomes.size} kinds`])
}
