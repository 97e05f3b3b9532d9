/**
 * Ends `imgtool unpack` at random moments. After SIGKILL the target must be what it was before, or complete; the next run
 * must give the right tree and take away what was left beside it. After SIGINT and SIGTERM nothing may be left at all, unless
 * the run was complete already.
 *
 *     npm run test:kill -- [--kills N] [--signals N] [--seed N] [--image FILE]
 */
import {existsSync, mkdirSync, readdirSync, rmSync, statSync} from 'node:fs'
import {basename, dirname, join} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {compareTrees, scanTree} from '../helpers/scan-tree.ts'
import {describeEnding, type Ending, runImgtool, threading} from './imgtool.ts'
import {writeMediumImage} from './medium-image.ts'
import {randomNumbers} from './random.ts'
import {prepareSituations, type Situation} from './situations.ts'
import {Tally} from './tally.ts'

const GiB = 1024 ** 3

interface Trial {
  readonly name: string
  readonly signal: NodeJS.Signals
  readonly situation: Situation
  /** When the signal comes: 0 for the start of a run, 1 for the end of one that nothing disturbs. */
  readonly moment: number
  /** Several threads, or none but the first. */
  readonly threads: boolean
}

const {values} = parseArgs({
  options: {
    image: {type: 'string'},
    kills: {type: 'string', default: process.env.IMGTOOL_KILLS ?? '40'},
    signals: {type: 'string', default: process.env.IMGTOOL_SIGNALS ?? '20'},
    seed: {type: 'string', default: '1'},
  },
})
const moments = {early: 0, midway: 0, late: 0}
/** Of the last run that nothing disturbed: the machine may be busy now and idle later. */
let durationMs = 0

requireRoot('test:kill')
using disk = new Disk({size: values.image === undefined ? GiB : GiB + 16 * statSync(values.image).size})
const image = values.image ?? writeMediumImage(disk.path)
const target = join(disk.path, 'place/rootfs')
mkdirSync(dirname(target))
await main()

async function main(): Promise<void> {
  const tally = new Tally()
  const situations = await prepareSituations(image, target, disk.path)
  const trials = makeTrials(situations)
  await unpackUndisturbed(situations[0]!)
  clear()
  process.stdout.write(`${basename(image)}, seed ${values.seed}, ${trials.length} trials\n`)
  for (const trial of trials) {
    trial.situation.prepare(target)
    const ending = await unpack(trial)
    const problems = trial.signal === 'SIGKILL' ? await afterKill(trial) : await afterSignal(trial, ending)
    tally.add(trial.name, problems)
    clear()
  }
  const {early, midway, late} = moments
  process.stdout.write(`${early} kills before anything was made, ${midway} midway, ${late} when all was done\n`)
  tally.finish()
}

function makeTrials(situations: readonly Situation[]): Trial[] {
  const random = randomNumbers(Number(values.seed))
  const polite = Array.from({length: Number(values.signals)}, (_, at) => (at % 2 ? 'SIGTERM' : 'SIGINT'))
  const signals: NodeJS.Signals[] = [...Array(Number(values.kills)).fill('SIGKILL'), ...polite]
  return signals.map((signal, number) => {
    const situation = situations[number % situations.length]!
    // A little longer than a run takes, for the very end of it.
    const moment = random() * 1.2
    const threads = random() < 0.5
    const manner = threads ? 'with threads' : 'without threads'
    const name = `${number}: ${signal} after ${moment.toFixed(3)} of a run ${manner}, target ${situation.name}`
    return {name, signal, situation, moment, threads}
  })
}

function unpack({situation, signal, moment, threads}: Trial): Promise<Ending> {
  const kill = {signal, afterMs: moment * durationMs}
  return runImgtool(['unpack', image, target, ...situation.words], {kill, env: threading(threads)})
}

async function unpackUndisturbed({words}: Situation): Promise<Ending> {
  const start = performance.now()
  const ending = await runImgtool(['unpack', image, target, ...words])
  durationMs = performance.now() - start
  return ending
}

async function afterKill({situation}: Trial): Promise<string[]> {
  const isComplete = await isTree(situation.after)
  const left = beside()
  moments[isComplete ? 'late' : left.length > 0 ? 'midway' : 'early']++
  if (!isComplete && !(await isTree(situation.before))) return [`the target is neither as before nor complete`]
  // A complete target can be unpacked over, but not again; its leftovers are for the next run of any kind.
  if (isComplete && situation.words.length === 0) rmSync(target, {recursive: true})
  const ending = await unpackUndisturbed(situation)
  if (ending.status !== 0) return [`the next run failed: ${describeEnding(ending)}`]
  return [...(await differences(situation)), ...beside().map((name) => `the next run left "${name}"`)]
}

async function afterSignal({signal, situation}: Trial, ending: Ending): Promise<string[]> {
  const left = beside().map((name) => `it left "${name}"`)
  if (ending.status === 0) return [...left, ...(await differences(situation))]
  // The signal itself ends a process that has not made anything yet, and one that has made everything: Node stops handling
  // signals some milliseconds before it exits. Shells show both as the same status.
  const isUnhandled = ending.signal === signal
  if (isUnhandled && (await isTree(situation.after))) return left
  const wanted = signal === 'SIGINT' ? 130 : 143
  const isRight = isUnhandled || ending.status === wanted
  const wrong = isRight ? [] : [`expected exit ${wanted}, got ${describeEnding(ending)}`]
  const changed = (await isTree(situation.before)) ? [] : [`the target is not as before: ${describeEnding(ending)}`]
  return [...left, ...wrong, ...changed]
}

async function differences({after}: Situation): Promise<string[]> {
  if (!existsSync(target)) return ['there is no target']
  return compareTrees(after, await scanTree(target)).slice(0, 5)
}

async function isTree(tree: Situation['before']): Promise<boolean> {
  if (tree === undefined || !existsSync(target)) return tree === undefined && !existsSync(target)
  return compareTrees(tree, await scanTree(target)).length === 0
}

function beside(): string[] {
  return readdirSync(dirname(target)).filter((name) => name !== basename(target))
}

/** Whatever a trial left must not disturb the next one. */
function clear(): void {
  for (const name of readdirSync(dirname(target))) rmSync(join(dirname(target), name), {recursive: true})
}
